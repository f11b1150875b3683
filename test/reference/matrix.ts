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
  if (fill) for (let i = 0; i < values.length; i++) values[i] = fill(Math.floor(i / cols), i % cols)
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
