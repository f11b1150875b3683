/** @file What became of the rows of a data set: the counts, and in words what was lost. */

/** What became of the rows. */
export interface DataStatistics {
  /** Rows read. */
  rows: number
  /** Rows of these that are conversations, which the chat template renders. */
  conversations: number
  /** Rows that lost their end to `maxLength`. */
  truncatedRows: number
  /** Rows left out because `maxLength` cut away all that was to be learnt. */
  rowsCutToNothing: number
  /** Rows left out because there was nothing to learn: no assistant turn, or an empty text. */
  rowsWithoutTarget: number
  /** Tokens and learnt tokens in the examples that remain, and the longest of these. */
  tokens: number
  supervisedTokens: number
  longest: number
}

/** One thing that was lost, or not done as asked for. */
export interface DataWarning {
  readonly code: DataWarningCode
  /** How many rows it concerns. */
  readonly rows: number
  /** What happened and what to do, in one line. */
  readonly message: string
}

export type DataWarningCode = 'maxLengthClipped' | 'truncated' | 'cutToNothing' | 'withoutTarget'

/**
 * What of the statistics somebody should know.
 *
 * @param maxLength As used.
 * @param wantedMaxLength As asked for, where the model has fewer positions than that.
 */
export function dataWarnings(
  statistics: DataStatistics,
  maxLength: number,
  wantedMaxLength: number = maxLength,
): DataWarning[] {
  const { rows, truncatedRows, rowsCutToNothing, rowsWithoutTarget } = statistics
  const warnings: DataWarning[] = []
  const add = (code: DataWarningCode, count: number, message: string): void => {
    if (count > 0) warnings.push({ code, rows: count, message: `${count} of ${rows} rows ${message}` })
  }
  if (wantedMaxLength > maxLength) {
    warnings.push({
      code: 'maxLengthClipped',
      rows,
      message: `maxLength is ${maxLength} instead of ${wantedMaxLength}: the model has no more positions`,
    })
  }
  add(
    'cutToNothing',
    rowsCutToNothing,
    `left out: their answer begins beyond maxLength ${maxLength}; raise maxLength or shorten the prompts`,
  )
  add(
    'withoutTarget',
    rowsWithoutTarget,
    'left out: they have nothing to learn (no assistant turn, no {% generation %} span, or an empty text)',
  )
  const shortened = truncatedRows - rowsCutToNothing
  add('truncated', shortened, `lost their end to maxLength ${maxLength}; raise maxLength to learn all of them`)
  return warnings
}
