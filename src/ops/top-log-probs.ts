/** @file topLogProbs: log probabilities of the chosen and of the likeliest ids, without reading logits back. */

import { LowrankError } from '../lowrank-error.js'
import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectSameDevice, expectShape } from './check.js'

/** The most ids that topLogProbs tells. */
const MOST_LOG_PROBS = 20

/**
 * For each row of logits the log-softmax of the chosen id and of the `count` likeliest, from the likeliest down; the
 * lower of two ids comes first that are equally likely. A row with fewer ids ends with id -1 and -infinity. Logits with
 * a NaN, or with nothing above -infinity, are a fault: the next read of the device rejects. Nothing is recorded.
 * @param logits float32 [S, V].
 * @param chosen int32 [S], each in [0, V).
 * @param count from 1 to 20.
 * @returns `logProbs` float32 [S, 1 + count], the chosen id's first; `ids` int32 [S, count].
 */
export function topLogProbs(logits: Tensor, chosen: Tensor, count: number): { logProbs: Tensor; ids: Tensor } {
  expectSameDevice('topLogProbs', { logits, chosen })
  expectShape('topLogProbs', 'logits', logits, [undefined, undefined], 'S, V')
  expectDType('topLogProbs', 'logits', logits, 'float32')
  expectShape('topLogProbs', 'chosen', chosen, [logits.rows], 'S')
  expectDType('topLogProbs', 'chosen', chosen, 'int32')
  if (!Number.isInteger(count) || count < 1 || count > MOST_LOG_PROBS)
    throw new LowrankError(
      'INVALID_CALL',
      `[topLogProbs] expected a whole number from 1 to ${MOST_LOG_PROBS} for count, got ${count}`,
    )
  const { device } = logits
  const logProbs = Tensor.empty(device, [logits.rows, 1 + count], 'float32')
  const ids = Tensor.empty(device, [logits.rows, count], 'int32')
  device.enqueue('topLogProbs', { logits, chosen, logProbs, ids })
  return { logProbs, ids }
}
