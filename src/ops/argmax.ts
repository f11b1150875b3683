/** @file argmax: greedy choice. */

import { Tensor } from '../tensor/tensor.js'
import { expectShape } from './check.js'

/** The index of the first largest value of each row: [N, V] -> int32 [N]. Not differentiable. */
export function argmax(x: Tensor): Tensor {
  expectShape('argmax', 'x', x, [undefined, undefined], 'N, V')
  const ids = Tensor.empty(x.device, [x.rows], 'int32')
  x.device.enqueue('argmax', { x, ids })
  return ids
}
