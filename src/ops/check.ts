/** @file Argument checks shared by the ops: one wording for shape, dtype and device mistakes. */

import { LowrankError } from '../lowrank-error.js'
import { type DType, isComputeDType } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'

/** @throws unless `tensor` has the shape; `undefined` dimensions are free. `legend` names the dimensions, as 'N, D'. */
export function expectShape(
  op: string,
  name: string,
  tensor: Tensor,
  expected: readonly (number | undefined)[],
  legend: string,
): void {
  const { shape } = tensor
  const fits = shape.length === expected.length && expected.every((want, i) => want === undefined || want === shape[i])
  if (fits) return
  const wanted = expected.map((want) => want ?? '*').join(', ')
  throw new LowrankError(
    'INVALID_CALL',
    `[${op}] expected shape [${wanted}] ([${legend}]) for ${name}, got [${shape.join(', ')}]`,
  )
}

/** @throws unless `tensor` has the dtype. */
export function expectDType(op: string, name: string, tensor: Tensor, expected: DType): void {
  if (tensor.dtype === expected) return
  throw new LowrankError(
    'INVALID_CALL',
    `[${op}] expected ${expected} for ${name}, got ${tensor.dtype}; convert it with cast()`,
  )
}

/** @throws unless `tensor` is float32, bfloat16 or float16, the dtypes of activations. */
export function expectCompute(op: string, name: string, tensor: Tensor): void {
  if (isComputeDType(tensor.dtype)) return
  throw new LowrankError(
    'INVALID_CALL',
    `[${op}] expected float32, bfloat16 or float16 for ${name}, got ${tensor.dtype}; convert it with cast()`,
  )
}

/** @throws unless all tensors live on the device of the first. */
export function expectSameDevice(op: string, tensors: Readonly<Record<string, Tensor | undefined>>): void {
  let first: [string, Tensor] | undefined
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!tensor) continue
    if (!first) first = [name, tensor]
    else if (tensor.device !== first[1].device) {
      throw new LowrankError(
        'INVALID_CALL',
        `[${op}] expected all tensors on one device, but ${first[0]} and ${name} are on different ones`,
      )
    }
  }
}
