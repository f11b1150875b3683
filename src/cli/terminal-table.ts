/** @file Rows of words in columns. */

import { textWidth } from '../progress/text-width.js'

/**
 * A line for each row, its columns as wide as their widest word.
 * @param isRight whether a column of figures is set to the right
 */
export function terminalTable(rows: readonly (readonly string[])[], isRight: (column: number) => boolean): string[] {
  const columns = Math.max(...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => textWidth(row[column] ?? ''))),
  )
  return rows.map((row) =>
    row
      .map((word, column) => {
        const space = ' '.repeat((widths[column] as number) - textWidth(word))
        return isRight(column) ? space + word : word + space
      })
      .join('  ')
      .trimEnd(),
  )
}
