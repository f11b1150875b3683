/** @file rope: rotary position embedding (Su et al. 2021, arXiv:2104.09864), in the half-split layout of Llama. */

import { needsRecording, record, Saved } from '../autograd/tape.js'
import { LowrankError } from '../lowrank-error.js'
import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectShape } from './check.js'

export interface RopeOptions {
  headDim: number
  /** Rotates the first `columns` columns only, in place: q and k of a [q | k | v] projection. */
  columns: number
}

/**
 * Rotates the heads in the first columns of `x` by their token's position, in place, and returns `x` as a result of the
 * rotation.
 * @param x [N, >= columns] compute dtype; changed.
 * @param cosSin [P, headDim] float32: cosines, then sines, per position.
 * @param positions int32 [N], each in [0, P).
 */
export function rope_(x: Tensor, cosSin: Tensor, positions: Tensor, { headDim, columns }: RopeOptions): Tensor {
  const { device } = x
  expectShape('rope_', 'cosSin', cosSin, [undefined, headDim], 'P, headDim')
  expectShape('rope_', 'positions', positions, [x.rows], 'N')
  expectDType('rope_', 'positions', positions, 'int32')
  if (columns % headDim !== 0 || columns > x.cols) {
    throw new LowrankError(
      'INVALID_CALL',
      `[rope_] expected columns to be whole heads of ${headDim} within [${x.shape}], got ${columns}`,
    )
  }
  rotate(x, cosSin, positions, false)
  x.bumpVersion()
  const y = x.alias()
  if (needsRecording([x])) {
    const savedPositions = new Saved(positions, 'rope_')
    const savedTable = new Saved(cosSin, 'rope_')
    record('rope_', [x], [y], [savedPositions, savedTable], ([dy]) => {
      if (!dy) return [undefined]
      const dx = dy.shared ? copyOf(dy) : dy
      rotate(dx, savedTable.get(), savedPositions.get(), true)
      return [dx]
    })
  }
  return y

  function rotate(tensor: Tensor, table: Tensor, at: Tensor, inverse: boolean): void {
    const heads = tensor.columns(0, columns)
    device.enqueue('rope', { x: heads, cosSin: table, positions: at, y: heads, headDim, inverse })
    heads.dispose()
  }
}

function copyOf(x: Tensor): Tensor {
  const y = Tensor.empty(x.device, x.shape, x.dtype)
  x.device.enqueue('copy', { x, y })
  return y
}
