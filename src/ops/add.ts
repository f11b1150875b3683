/** @file add: elementwise sum, also of gradients. */

import { runsAgain } from '../autograd/gradient-checkpointing.js'
import { installAddGradients, needsRecording, record } from '../autograd/tape.js'
import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectSameDevice, expectShape } from './check.js'

export interface AddOptions {
  /**
   * The result only leaves a checkpointed block: when the block runs again nobody reads it, and it is not made. Default
   * false.
   */
  lastOfBlock?: boolean
}

/** `a + b`, same shape and dtype. */
export function add(a: Tensor, b: Tensor, { lastOfBlock = false }: AddOptions = {}): Tensor {
  expectSameDevice('add', { a, b })
  expectShape('add', 'b', b, a.shape, 'like a')
  expectDType('add', 'b', b, a.dtype)
  const y = Tensor.activation(a.device, a.shape, a.dtype)
  if (!lastOfBlock || !runsAgain()) a.device.enqueue('add', { a, b, y })
  if (needsRecording([a, b])) record('add', [a, b], [y], [], ([dy]) => [dy, dy])
  return y
}

installAddGradients(add)
