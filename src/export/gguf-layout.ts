/** @file The order of rows in llama.cpp's q and k: where rotary pairs are neighbours. */

/** Rows of the first and the second half of each head in turn. */
export function interleave(values: Float32Array, rows: number, headDim: number): Float32Array<ArrayBuffer> {
  return moveRows(values, rows, (row) => interleavedRow(row, headDim), false)
}

/** The other way round. */
export function deinterleave(values: Float32Array, rows: number, headDim: number): Float32Array<ArrayBuffer> {
  return moveRows(values, rows, (row) => interleavedRow(row, headDim), true)
}

function interleavedRow(row: number, headDim: number): number {
  const half = headDim / 2
  const inHead = row % headDim
  return row - inHead + 2 * (inHead % half) + (inHead < half ? 0 : 1)
}

function moveRows(
  values: Float32Array,
  rows: number,
  placeOf: (row: number) => number,
  isBack: boolean,
): Float32Array<ArrayBuffer> {
  const cols = values.length / rows
  const moved = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    const [from, to] = isBack ? [placeOf(row), row] : [row, placeOf(row)]
    moved.set(values.subarray(from * cols, (from + 1) * cols), to * cols)
  }
  return moved
}
