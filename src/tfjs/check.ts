/** @file What tensors of TensorFlow.js must be, in one wording for all ops. */

import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { isTfTensor } from './options.js'
import type { TfTensor } from './tf.js'

/**
 * @param expected sizes, undefined where any is right; `legend` names them, as 'O, K'
 * @throws unless it is a float32 tensor of that shape with at least one element
 */
export function expectTensor(
  op: string,
  name: string,
  tensor: TfTensor,
  expected: readonly (number | undefined)[],
  legend: string,
): void {
  expectFloat32(op, name, tensor)
  const { shape } = tensor
  if (shape.length === expected.length && expected.every((size, i) => size === undefined || size === shape[i])) return
  const wanted = expected.map((size) => size ?? '*').join(', ')
  throw wrong(`[${op}] expected shape [${wanted}] ([${legend}]) for ${name}, got [${shape.join(', ')}]`)
}

/** @throws unless it is a float32 tensor of at least one element. */
export function expectFloat32(op: string, name: string, tensor: TfTensor): void {
  if (!isTfTensor(tensor))
    throw wrong(`[${op}] expected a tensor of TensorFlow.js for ${name}, got ${describeValue(tensor)}`)
  if (tensor.isDisposed) throw wrong(`[${op}] expected a live tensor for ${name}, got one that was disposed`)
  if (tensor.dtype !== 'float32')
    throw wrong(`[${op}] expected float32 for ${name}, got ${tensor.dtype}; convert it with tf.cast(x, 'float32')`)
  if (tensor.shape.includes(0))
    throw wrong(`[${op}] expected at least one element for ${name}, got shape [${tensor.shape.join(', ')}]`)
}

/** Rows of an input whose leading dimensions are folded: [..., K] counts as [N, K]. @throws unless K is `inner` */
export function expectRows(op: string, x: TfTensor, inner: number): number {
  expectFloat32(op, 'x', x)
  const { shape } = x
  if (shape.length < 1 || shape[shape.length - 1] !== inner)
    throw wrong(`[${op}] expected shape [..., ${inner}] ([..., K]) for x, got [${shape.join(', ')}]`)
  return sizeOf(shape) / inner
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

export function wrong(message: string): LowrankError {
  return new LowrankError('INVALID_CALL', message)
}
