/** @file The memory of a process beside its tensors, and what it leaves to them. */

import { loadAddon } from './addon.js'
import type { Device } from './device.js'

/**
 * Node with the engine's code, V8's heap, tokenizer, stacks, in bytes. Measured: 71 to 110 MiB over training steps of
 * several shapes.
 */
const PROCESS_BYTES = 90 * 2 ** 20

/** What the process takes of the memory that the tensors of a device are in. */
export function processBytes({ isGpu }: { readonly isGpu: boolean }): number {
  return isGpu ? 0 : PROCESS_BYTES
}

/** As the engine has it for the budget: the rest is for what the process takes while it runs. */
const SHARE_OF_MEMORY = 0.9

/** Whether the budget of a device is what the engine found to be free, and not what the user set. */
function isMeasured({ isGpu }: Pick<Device, 'isGpu'>, memoryBudget: number | undefined): boolean {
  return !isGpu && memoryBudget === undefined && !process.env.LOWRANK_MEMORY_BUDGET
}

/**
 * The budget of a device, for a plan: of what is free now, the process itself will take what it has not taken yet. A
 * budget that the user set is taken as it is.
 */
export function plannedBudget(device: Device, memoryBudget?: number): number {
  const { budget } = device.memory()
  if (!isMeasured(device, memoryBudget)) return budget
  const toCome = Math.max(0, PROCESS_BYTES - process.memoryUsage.rss())
  return Math.max(1, Math.floor(budget - SHARE_OF_MEMORY * toCome))
}

/**
 * Bytes that tensors may take, those that are there included, once tokenizer and rows are there. The budget was
 * measured when the first device was opened: what the process has taken since is no longer free. The device is held to
 * it.
 */
export function remainingBudget(device: Device, memoryBudget?: number): number {
  const { budget, touched } = device.memory()
  if (!isMeasured(device, memoryBudget)) return budget
  const remaining = Math.floor(SHARE_OF_MEMORY * (loadAddon().info().availableMemory + touched))
  if (remaining >= budget || remaining < 1) return budget
  device.limitMemory(remaining)
  return remaining
}
