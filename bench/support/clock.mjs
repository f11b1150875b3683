// @ts-check
/** @file Timing kernels, and the machine's ceilings beside them: both on the same threads, with the same clock, within the same second. */

import { loadAddon } from '../../dist/tensor/addon.js'
import { UsageError } from './options.mjs'

/** @type {import('./options.mjs').OptionTable} */
export const CLOCK_OPTIONS = {
  clock: {
    choices: ['wall', 'cpu'],
    default: 'wall',
    help: 'cpu: the time that this process computed, with --threads 1 only; others on the machine then hardly count',
  },
  rounds: { type: 'count', default: 5, help: 'how often each figure is taken, all in turn' },
  seconds: { type: 'number', default: 0.1, help: 'length of one figure' },
}

/**
 * @typedef {'fma' | 'vdpbf16ps' | 'read'} Ceiling
 * @typedef {object} Clock
 * @property {(enqueue: () => void) => Promise<number>} seconds of one run, from as many as the time allows.
 * @property {(kind: Ceiling, bytes?: number) => number} ceiling operations or bytes per second.
 */

/** @param {import('../../dist/index.js').Device} device @param {import('./options.mjs').Values} options @returns {Clock} */
export function openClock(device, { clock, threads, seconds: length }) {
  const addon = loadAddon()
  if (clock === 'cpu' && device.isGpu) throw new UsageError('expected --clock wall on a GPU')
  if (clock === 'cpu' && threads !== 1) throw new UsageError('expected --threads 1 with --clock cpu')
  const now =
    clock === 'cpu'
      ? () => {
          const { user, system } = process.cpuUsage()
          return (user + system) / 1e6
        }
      : () => performance.now() / 1000
  const time = async (/** @type {() => void} */ enqueue, /** @type {number} */ runs) => {
    const begin = now()
    for (let i = 0; i < runs; i++) enqueue()
    await device.sync()
    return now() - begin
  }
  return {
    seconds: async (enqueue) => {
      const once = await time(enqueue, 1)
      const runs = Math.max(1, Math.ceil(length / Math.max(once, 1e-6)))
      return (await time(enqueue, Math.min(runs, 10_000))) / Math.min(runs, 10_000)
    },
    ceiling: (kind, bytes) => {
      const begin = now()
      const { work, seconds } = addon.measure(kind, { threads, seconds: Math.min(length, 0.05), bytes })
      // The probe's own time leaves out what it prepares; CPU time is only known of the whole, which is little more for arithmetic.
      return work / (clock === 'cpu' && kind !== 'read' ? now() - begin : seconds)
    },
  }
}

/** Whether the processor runs vdpbf16ps: where it does not say so, only LOWRANK_ISA_UNCHECKED=1 dares to try. */
export function runsDotProducts() {
  return loadAddon().info().detectedIsa === 'avx512bf16' || process.env.LOWRANK_ISA_UNCHECKED === '1'
}
