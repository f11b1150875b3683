/** @file argmax: greedy choice. */

import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectShape } from './check.js'

/**
 * The index of the first largest value of each row: [N, V] -> int32 [N]. Not differentiable.
 * A row with a NaN, or with nothing above -infinity, is a fault: the next read of the device rejects.
 * @param out where the indices go; default a new tensor.
 */
export function argmax(x: Tensor, out: Tensor = Tensor.empty(x.device, [x.rows], 'int32')): Tensor {
  expectShape('argmax', 'x', x, [undefined, undefined], 'N, V')
  expectShape('argmax', 'out', out, [x.rows], 'N')
  expectDType('argmax', 'out', out, 'int32')
  x.device.enqueue('argmax', { x, ids: out })
  out.bumpVersion()
  return out
}
