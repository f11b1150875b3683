/** @file add: elementwise sum, also of gradients. */

import { installAddGradients, needsRecording, record } from '../autograd/tape.js'
import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectSameDevice, expectShape } from './check.js'

/** `a + b`, same shape and dtype. */
export function add(a: Tensor, b: Tensor): Tensor {
  expectSameDevice('add', { a, b })
  expectShape('add', 'b', b, a.shape, 'like a')
  expectDType('add', 'b', b, a.dtype)
  const y = Tensor.empty(a.device, a.shape, a.dtype)
  a.device.enqueue('add', { a, b, y })
  if (needsRecording([a, b])) record('add', [a, b], [y], [], ([dy]) => [dy, dy])
  return y
}

installAddGradients(add)
