// @ts-check
/** @file A line chart of falling losses for a terminal, on a logarithmic scale. Knows numbers and characters alone. */

/**
 * The chart as lines of text. Each column is the mean of its share of the losses, left to right; where a column is higher or lower than the
 * one before, a vertical line joins them.
 * @param {readonly number[]} losses one per step, above 0
 * @param {{ columns?: number, rows?: number }} [size] of the field, without the labels
 * @returns {string[]}
 */
export function lossChart(losses, { columns = 60, rows = 8 } = {}) {
  const width = Math.min(columns, losses.length)
  const means = Array.from({ length: width }, (_, column) => {
    const part = losses.slice(
      Math.floor((column * losses.length) / width),
      Math.floor(((column + 1) * losses.length) / width),
    )
    return part.reduce((sum, loss) => sum + loss, 0) / part.length
  })
  const highest = Math.max(...means)
  const lowest = Math.min(...means)
  const rowOf = (/** @type {number} */ mean) =>
    highest === lowest ? rows - 1 : Math.round((Math.log(highest / mean) / Math.log(highest / lowest)) * (rows - 1))
  const field = Array.from({ length: rows }, () => Array(width).fill(' '))
  const draw = (/** @type {number} */ row, /** @type {number} */ column, /** @type {string} */ character) => {
    const line = /** @type {string[]} */ (field[row])
    line[column] = character
  }
  means.forEach((mean, column) => {
    const to = rowOf(mean)
    const from = column === 0 ? to : rowOf(/** @type {number} */ (means[column - 1]))
    if (from === to) {
      draw(to, column, '─')
      return
    }
    for (let row = Math.min(from, to) + 1; row < Math.max(from, to); row++) draw(row, column, '│')
    draw(from, column, from < to ? '╮' : '╯')
    draw(to, column, from < to ? '╰' : '╭')
  })
  const label = (/** @type {number} */ row) =>
    row === 0 || row === rows - 1 ? (row === 0 ? highest : lowest).toPrecision(2) : ''
  const labels = field.map((_, row) => label(row))
  const labelWidth = Math.max(...labels.map((text) => text.length))
  const lines = field.map((line, row) => `${(labels[row] ?? '').padStart(labelWidth)} ┤${line.join('')}`.trimEnd())
  const last = `step ${losses.length}`
  const axis = `${' '.repeat(labelWidth)} └${'─'.repeat(width)}`
  return [...lines, axis, `${' '.repeat(labelWidth + 2)}1${last.padStart(width - 1)}`]
}
