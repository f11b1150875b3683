/** @file swiglu: the gated activation of Llama's MLP (Shazeer 2020, arXiv:2002.05202). */

import { LowrankError } from '../lowrank-error.js'
import type { Tensor } from '../tensor/tensor.js'
import { activation } from './activation.js'

/**
 * `gate * sigmoid(gate) * up`.
 * @param gateUp [N, 2F]: gate in the first half of the columns, up in the second.
 * @returns [N, F].
 */
export function swiglu(gateUp: Tensor): Tensor {
  if (gateUp.cols % 2 !== 0)
    throw new LowrankError(
      'INVALID_CALL',
      `[swiglu] expected an even number of columns (gate | up), got [${gateUp.shape}]`,
    )
  return activation('swiglu', gateUp, gateUp.cols / 2)
}
