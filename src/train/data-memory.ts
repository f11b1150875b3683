/** @file How much memory encoded rows take where nobody says it. */

import { loadAddon } from '../tensor/addon.js'

const MIB = 2 ** 20
const SHARE = 16
const LEAST = 8 * MIB
const MOST = 128 * MIB

/**
 * A sixteenth of the memory that is available, and of the budget where tensors have one in the same memory, from 8 to
 * 128 MiB.
 *
 * @param memoryBudget Of a device that computes in the machine's memory. Default: none.
 * @param available Bytes. Default: what the engine finds, control groups included.
 */
export function usualDataMemory(
  memoryBudget = Number.POSITIVE_INFINITY,
  available = loadAddon().info().availableMemory,
): number {
  return Math.max(LEAST, Math.min(MOST, Math.floor(Math.min(available, memoryBudget) / SHARE)))
}
