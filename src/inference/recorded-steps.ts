/**
 * @file Passes of growing answers as command lists: those of as many rows are the same ops on the same tensors, and are
 * queued by one call from the third time on.
 */

import type { AdapterTensors } from '../adapters/adapter-set.js'
import type { CommandList, Device } from '../tensor/device.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { PassValues } from './pass-layout.js'

/** The vectors of a pass on the device; `table` is [S, blocks], `ranges` and `drawRanges` are [A, 2]. */
export type PassTensors = Readonly<Record<keyof PassValues, Tensor>>

interface Shape {
  readonly tensors: PassTensors
  /** What the tensors hold. */
  values: PassValues
  readonly adapters: readonly (AdapterTensors | undefined)[]
  uses: number
  list: CommandList | undefined
  /** Where the list leaves its logits. */
  logits: Tensor | undefined
}

/** How many lists are kept. Each keeps the memory of all that it computes. */
export const MOST_SHAPES = 8

/**
 * Lists are kept for the shapes that were used last. The first pass of a shape is not recorded: it makes what later
 * ones share, as the table of rope, which no list may make.
 */
export class RecordedSteps {
  readonly #device: Device
  /** The one that was used the longest time ago first. */
  readonly #shapes = new Map<string, Shape>()
  readonly #names = new Map<AdapterTensors | undefined, number>()
  #count = 0

  constructor(device: Device) {
    this.#device = device
  }

  /**
   * Queues a pass and returns its logits.
   * @param prepare queues what has to be in the tensors besides `values`
   * @param compute queues the pass; called in a scope, for this pass or for all that follow
   * @returns the logits, and whether they belong to a list, which writes over them the next time
   */
  run(
    adapters: readonly (AdapterTensors | undefined)[],
    values: PassValues,
    prepare: (tensors: PassTensors) => void,
    compute: (tensors: PassTensors) => Tensor,
  ): { readonly logits: Tensor; readonly isKept: boolean } {
    const shape = this.#shapeOf(adapters, values)
    shape.uses++
    const { tensors } = shape
    for (const name of Object.keys(values) as (keyof PassValues)[])
      if (values[name].some((value, i) => value !== shape.values[name][i])) tensors[name].write_(values[name])
    shape.values = values
    scope(() => prepare(tensors))
    if (shape.uses === 1) return { logits: unregisterFromScope(scope(() => compute(tensors))), isKept: false }
    if (!shape.list)
      shape.list = this.#device.record(() => {
        shape.logits = unregisterFromScope(scope(() => compute(tensors)))
      })
    shape.list.replay()
    return { logits: shape.logits as Tensor, isKept: true }
  }

  /** Forgets what was recorded with an adapter that goes. */
  forget(adapter: AdapterTensors): void {
    this.#names.delete(adapter)
    for (const [key, shape] of this.#shapes) if (shape.adapters.includes(adapter)) this.#remove(key, shape)
  }

  dispose(): void {
    for (const [key, shape] of this.#shapes) this.#remove(key, shape)
  }

  #shapeOf(adapters: readonly (AdapterTensors | undefined)[], values: PassValues): Shape {
    const names = adapters.map((adapter) => {
      const name = this.#names.get(adapter) ?? ++this.#count
      this.#names.set(adapter, name)
      return name
    })
    const key = [...names, '', values.ids.length, values.table.length].join()
    const shape = this.#shapes.get(key) ?? this.#newShape(adapters, values)
    this.#shapes.delete(key)
    this.#shapes.set(key, shape)
    if (this.#shapes.size > MOST_SHAPES) {
      const [oldest] = this.#shapes
      if (oldest) this.#remove(...oldest)
    }
    return shape
  }

  #newShape(adapters: readonly (AdapterTensors | undefined)[], values: PassValues): Shape {
    const tensors = passTensors(this.#device, values)
    for (const tensor of Object.values(tensors)) unregisterFromScope(tensor)
    return { tensors, values, adapters, uses: 0, list: undefined, logits: undefined }
  }

  #remove(key: string, { tensors, list, logits }: Shape): void {
    this.#shapes.delete(key)
    list?.dispose()
    logits?.dispose()
    for (const tensor of Object.values(tensors)) tensor.dispose()
  }
}

/** The vectors of a pass on the device; they belong to the scope. */
export function passTensors(device: Device, values: PassValues): PassTensors {
  const sequences = values.used.length
  const entries = Object.entries(values).map(([name, vector]: [string, Int32Array]) => {
    const rows =
      name === 'table' ? sequences : name === 'ranges' || name === 'drawRanges' ? vector.length / 2 : undefined
    const shape = rows === undefined ? [vector.length] : [rows, vector.length / rows]
    return [name, Tensor.from(device, vector, shape)]
  })
  return Object.fromEntries(entries)
}
