/**
 * @file Float64 matrices, the currency of the references: row-major, no views. Also numeric gradients, to check the
 * references.
 */

export interface Matrix {
  readonly rows: number
  readonly cols: number
  readonly values: Float64Array
}

/** A matrix from a function of row and column; zeros without one. */
export function matrix(rows: number, cols: number, fill?: (row: number, col: number) => number): Matrix {
  const values = new Float64Array(rows * cols)
  if (fill)
    for (let row = 0, i = 0; row < rows; row++) for (let col = 0; col < cols; col++) values[i++] = fill(row, col)
  return { rows, cols, values }
}

export function at(m: Matrix, row: number, col: number): number {
  return m.values[row * m.cols + col] as number
}

export function set(m: Matrix, row: number, col: number, value: number): void {
  m.values[row * m.cols + col] = value
}

export function accumulate(m: Matrix, row: number, col: number, value: number): void {
  m.values[row * m.cols + col] = at(m, row, col) + value
}

/** a[i..] . b[j..], over `count` elements. */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, count: number): number {
  let sum = 0
  for (let d = 0; d < count; d++) sum += (a[i + d] as number) * (b[j + d] as number)
  return sum
}

/** y[i..] += factor x[j..], over `count` elements. */
export function add(y: Float64Array, i: number, factor: number, x: Float64Array, j: number, count: number): void {
  for (let d = 0; d < count; d++) y[i + d] = (y[i + d] as number) + factor * (x[j + d] as number)
}

export function map(m: Matrix, fn: (value: number, row: number, col: number) => number): Matrix {
  return matrix(m.rows, m.cols, (row, col) => fn(at(m, row, col), row, col))
}

export function product(a: Matrix, b: Matrix): number {
  return a.values.reduce((total, value, i) => total + value * (b.values[i] as number), 0)
}

/** d objective / d input by central differences; the objective reads `input`, which is changed and restored. */
export function numericGradient(input: Matrix, objective: () => number, step = 1e-5): Matrix {
  const { values } = input
  return map(input, (value, row, col) => {
    const i = row * input.cols + col
    values[i] = value + step
    const above = objective()
    values[i] = value - step
    const below = objective()
    values[i] = value
    return (above - below) / (2 * step)
  })
}
