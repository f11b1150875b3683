/** @file Transposing a matrix in host memory. Imports nothing. */

/** [cols, rows] of a row-major [rows, cols], element by element whatever they stand for. */
export function transpose<T extends Float32Array | Uint32Array | Uint16Array>(
  values: T,
  rows: number,
  cols: number,
): T {
  const turned = values.slice() as T
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) turned[col * rows + row] = values[row * cols + col] as number
  }
  return turned
}
