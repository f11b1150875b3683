/** @file What log events tell on request: gradient norms of layers, and memory. */

import type { Device } from '../tensor/device.js'
import type { MemoryFigures } from './events.js'

/** `model.layers.3`, whatever lies in it. */
const LAYER = /^(.*?\.\d+)\./

/**
 * L2 norms of the gradients by layer: `model.layers.3` for all that is trained in it, by its own name what is in none.
 */
export function layerGradNorms(byName: ReadonlyMap<string, number>): Record<string, number> {
  const squares: Record<string, number> = {}
  for (const [name, norm] of byName) {
    const layer = LAYER.exec(name)?.[1] ?? name
    squares[layer] = (squares[layer] ?? 0) + norm ** 2
  }
  return mapNumbers(squares, Math.sqrt)
}

/** Sums by name; undefined where those of earlier steps are not known. */
export function addNorms(
  sums: Readonly<Record<string, number>> | undefined,
  norms: Readonly<Record<string, number>>,
): Record<string, number> {
  const all = { ...sums }
  for (const [name, norm] of Object.entries(norms)) all[name] = (all[name] ?? 0) + norm
  return all
}

export function mapNumbers(
  numbers: Readonly<Record<string, number>>,
  change: (value: number) => number,
): Record<string, number> {
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, change(value)]))
}

export function memoryFigures(device: Device): MemoryFigures {
  const { live, peak } = device.memory()
  return { processRss: process.memoryUsage.rss(), deviceLive: live, devicePeak: peak }
}
