/** @file withSumOrder: in which order linear sums, where bits may not depend on how many rows a call has. */

/**
 * How `linear` sums. All orders give the same to rounding.
 * - `by-rows`: in the order that is fastest for so many rows.
 * - `few`: as is fastest for few rows, such as one token of each sequence.
 * - `many`: as is fastest for many rows, such as a prompt.
 * With the last two the bits of a row of the result depend on that row of x alone: not on the other rows, their number
 * or the row's place. A layer with up to 40 LoRA pairs keeps to it.
 */
export type SumOrder = 'by-rows' | 'few' | 'many'

/** The numbers that the native op takes. */
const NUMBERS = { 'by-rows': 0, few: 1, many: 2 } as const satisfies Record<SumOrder, number>

let current: SumOrder = 'by-rows'

/**
 * Queues what `fn` queues with sums in an order. A recorded step keeps its order. A prompt that is computed with `many`
 * and tokens that are computed with `few` have the same bits alone and in any batch.
 */
export function withSumOrder<T>(order: SumOrder, fn: () => T): T {
  const before = current
  current = order
  try {
    return fn()
  } finally {
    current = before
  }
}

/** The order of now, as the native op takes it. */
export function sumOrderNumber(): number {
  return NUMBERS[current]
}
