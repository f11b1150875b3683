/** @file gatherRows and scatterRows: chosen rows of a matrix. Neither is recorded: for caches and results. */

import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectSameDevice, expectShape } from './check.js'

/** x[rows[i]]: x [M, D], rows int32 [N], each in [0, M) -> [N, D]. */
export function gatherRows(x: Tensor, rows: Tensor): Tensor {
  expectShape('gatherRows', 'rows', rows, [undefined], 'N')
  expectDType('gatherRows', 'rows', rows, 'int32')
  const y = Tensor.empty(x.device, [rows.size, x.cols], x.dtype)
  x.device.enqueue('embedding', { ids: rows, weight: x, y })
  return y
}

/**
 * y[rows[i]] = x[i], in place; the other rows stay.
 * @param y [M, D].
 * @param rows int32 [N], distinct, each in [0, M).
 * @param x [N, D], of y's dtype.
 */
export function scatterRows_(y: Tensor, rows: Tensor, x: Tensor): void {
  expectSameDevice('scatterRows_', { y, rows, x })
  expectShape('scatterRows_', 'x', x, [undefined, y.cols], 'N, D')
  expectShape('scatterRows_', 'rows', rows, [x.rows], 'N')
  expectDType('scatterRows_', 'rows', rows, 'int32')
  expectDType('scatterRows_', 'x', x, y.dtype)
  y.device.enqueue('scatterRows', { x, rows, y })
  y.bumpVersion()
}
