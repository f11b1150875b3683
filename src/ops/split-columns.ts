/**
 * @file splitColumns: views of column ranges, as q, k and v of one projection; and the gradient buffers that match
 * them.
 */

import { needsRecording, record } from '../autograd/tape.js'
import { LowrankError } from '../lowrank-error.js'
import { dtypeBytes } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'

/**
 * Views of `x` [N, sum of widths], one per width. Nothing is copied, forward or (when the gradients come as
 * neighbouring views, as `emptyLikeColumns` makes them) backward.
 */
export function splitColumns(x: Tensor, widths: readonly number[]): Tensor[] {
  const total = widths.reduce((sum, width) => sum + width, 0)
  if (total !== x.cols)
    throw new LowrankError(
      'INVALID_CALL',
      `[splitColumns] expected widths that sum to ${x.cols}, got ${widths.join(' + ')} = ${total}`,
    )
  let start = 0
  const views = widths.map((width) => {
    const view = x.columns(start, start + width)
    start += width
    return view
  })
  if (needsRecording([x])) record('splitColumns', [x], views, [], (grads) => [joinColumns(x.rows, widths, grads)])
  return views
}

/**
 * One new buffer, seen through neighbouring views of the shapes of `tensors`; where these differ in rows or dtype, one
 * buffer each.
 */
export function emptyLikeColumns(tensors: readonly Tensor[]): Tensor[] {
  const first = tensors[0] as Tensor
  if (tensors.some((tensor) => tensor.rows !== first.rows || tensor.dtype !== first.dtype)) {
    return tensors.map((tensor) => Tensor.empty(tensor.device, tensor.shape, tensor.dtype))
  }
  const total = tensors.reduce((sum, tensor) => sum + tensor.cols, 0)
  const whole = Tensor.activation(first.device, [first.rows, total], first.dtype)
  let start = 0
  return tensors.map((tensor) => {
    start += tensor.cols
    return whole.columns(start - tensor.cols, start)
  })
}

function areNeighbours(tensors: readonly Tensor[]): boolean {
  const first = tensors[0] as Tensor
  let end = first.byteOffset
  for (const tensor of tensors) {
    const sameRows = tensor.rowStride === first.rowStride && tensor.rows === first.rows && tensor.dtype === first.dtype
    if (!sameRows || tensor.byteOffset !== end || !tensor.sharesStorageWith(first)) return false
    end += tensor.cols * dtypeBytes(tensor.dtype)
  }
  return true
}

function joinColumns(
  rows: number,
  widths: readonly number[],
  grads: readonly (Tensor | undefined)[],
): Tensor | undefined {
  const some = grads.find((grad) => grad !== undefined)
  if (!some) return undefined
  const total = widths.reduce((sum, width) => sum + width, 0)
  if (grads.every((grad) => grad !== undefined)) {
    const present = grads as readonly Tensor[]
    const first = present[0] as Tensor
    if (first.rowStride >= total && areNeighbours(present) && !present.some((grad) => grad.shared))
      return first.widen(total)
  }
  const { device, dtype } = some
  const whole = Tensor.activation(device, [rows, total], dtype)
  let start = 0
  widths.forEach((width, i) => {
    const target = whole.columns(start, start + width)
    const grad = grads[i]
    if (grad) device.enqueue('copy', { x: grad, y: target })
    else device.enqueue('fill', { y: target, value: 0 })
    start += width
  })
  return whole
}
