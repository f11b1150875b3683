/** @file What became of the rows of a data set: the counts, and in words what was lost. */

import { DataError } from '../lowrank-error.js'
import type { DroppedPart } from '../tokenizer/dropped-parts.js'
import type { UnusualKind } from './unusual-rows.js'

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
  /** Rows left out because there was nothing to learn: no assistant turn, none with a weight, or an empty text. */
  rowsWithoutTarget: number
  /** Tokens and learnt tokens in the examples that remain, and the longest of these. */
  tokens: number
  supervisedTokens: number
  longest: number
  /** Rows of which the chat template left something out, by what it was. Absent where there are none. */
  droppedParts?: Partial<Record<DroppedKind, number>>
  /** Rows with nulls among the arguments of tools, which were taken as absent fields. Absent where there are none. */
  nullArgumentRows?: number
  /**
   * Rows whose tool calls have arguments as JSON text, which the template prints as a string in quotes. Absent where
   * there are none.
   */
  quotedArgumentRows?: number
  /**
   * Rows with an answer, a prompt or another message without words, or one role twice in a row. Absent where there are
   * none.
   */
  unusualRows?: Partial<Record<UnusualKind, number>>
  /** Columns beside those of the rows' form. Absent where there are none. */
  ignoredColumns?: string[]
  /** Rows of `rows` that `onError: 'skip'` left out. Absent where there are none. */
  skippedRows?: number
  /** What the errors of the first of these say, each with file and row. Absent where there are none. */
  skippedRowErrors?: string[]
}

export type DroppedKind = DroppedPart['kind']

/** One thing that was lost, or not done as asked for. */
export interface DataWarning {
  readonly code: DataWarningCode
  /** How many rows it concerns. */
  readonly rows: number
  /** What happened and what to do, in one line. */
  readonly message: string
}

export type DataWarningCode =
  | 'skipped'
  | 'maxLengthClipped'
  | 'truncated'
  | 'cutToNothing'
  | 'withoutTarget'
  | 'dropped'
  | 'nullArguments'
  | 'quotedArguments'
  | UnusualKind

const NAMES: Readonly<Record<DroppedKind, string>> = {
  tools: 'tools',
  tool_calls: 'tool calls',
  system: 'a system message',
  message: 'a message',
  reasoning: 'reasoning',
}

const UNUSUAL: Readonly<Record<UnusualKind, string>> = {
  emptyAnswer:
    'have an answer without text, which teaches to say nothing; leave them out, or set weight: 0 for the message',
  emptyPrompt: 'have a prompt without text; check the columns',
  emptyMessage: 'have a message without text; check its content',
  repeatedRole: 'have two messages of one role, one after the other; check that none is missing between them',
}

const DROPPED_REMEDY = 'it has no place for them; use another chatTemplate, or onDroppedContent: error to stop there'

/** The error for a row of which the template leaves something out, where that is not wanted. */
export function leavesOut({ kind, message }: DroppedPart): Error {
  const where = message === undefined ? '' : ` (message ${message + 1})`
  return new DataError(
    `[data] expected a chat template with a place for all of a row, got one that leaves out ${NAMES[kind]}${where}; use another ` +
      "chatTemplate, change the row, or set onDroppedContent: 'warn'",
  )
}

/** Errors of rows that are told: enough to see what is wrong with all of them. */
export const MOST_ERRORS = 3

/** Counts a row that is left out. */
export function countSkipped(statistics: DataStatistics, { message }: DataError): void {
  statistics.rows++
  statistics.skippedRows = (statistics.skippedRows ?? 0) + 1
  statistics.skippedRowErrors ??= []
  if (statistics.skippedRowErrors.length < MOST_ERRORS) statistics.skippedRowErrors.push(message)
}

/** `the error: ...`, or `the first 3 errors: ... | ... | ...` */
export function firstErrors(count: number, errors: readonly string[]): string {
  const what = count === 1 ? 'the error' : count === errors.length ? 'the errors' : `the first ${errors.length} errors`
  return `${what}: ${errors.join(' | ')}`
}

interface LengthLimits {
  readonly wantedMaxLength?: number
  readonly maxPositions?: number
}

/**
 * What of the statistics somebody should know.
 *
 * @param maxLength As used.
 * @param limits `wantedMaxLength` as asked for, default: `maxLength`; `maxPositions` of the model, default: no limit.
 */
export function dataWarnings(
  statistics: DataStatistics,
  maxLength: number,
  { wantedMaxLength = maxLength, maxPositions = Number.POSITIVE_INFINITY }: LengthLimits = {},
): DataWarning[] {
  const { rows, truncatedRows, rowsCutToNothing, rowsWithoutTarget } = statistics
  const warnings: DataWarning[] = []
  const add = (code: DataWarningCode, count: number, message: string): void => {
    if (count > 0) warnings.push({ code, rows: count, message: `${count} of ${rows} rows ${message}` })
  }
  // A maxLength that no row needs is nobody's loss: mostly it is the default.
  if (wantedMaxLength > maxLength && truncatedRows > 0) {
    warnings.push({
      code: 'maxLengthClipped',
      rows,
      message: `rows are cut at ${maxLength} tokens, not at maxLength ${wantedMaxLength}: the model has no more positions`,
    })
  }
  const { skippedRows = 0, skippedRowErrors = [] } = statistics
  add('skipped', skippedRows, `skipped: they have a defect, ${firstErrors(skippedRows, skippedRowErrors)}`)
  const canBeLonger = maxLength < maxPositions
  add(
    'cutToNothing',
    rowsCutToNothing,
    `left out: their answer begins beyond maxLength ${maxLength}; ${canBeLonger ? 'raise maxLength or shorten' : 'shorten'} the prompts`,
  )
  add(
    'withoutTarget',
    rowsWithoutTarget,
    'left out: they have nothing to learn (no assistant turn, only ones of weight 0, no {% generation %} span, or an empty text)',
  )
  for (const [kind, count] of Object.entries(statistics.droppedParts ?? {})) {
    add('dropped', count, `have ${NAMES[kind as DroppedKind]} that the chat template leaves out: ${DROPPED_REMEDY}`)
  }
  add(
    'nullArguments',
    statistics.nullArgumentRows ?? 0,
    'have nulls in arguments or defaults of tools, taken as absent fields; to keep them, write tools or tool_calls as JSON text',
  )
  add(
    'quotedArguments',
    statistics.quotedArgumentRows ?? 0,
    'have arguments of tool calls as JSON text, which the chat template prints as a string in quotes; write arguments as objects',
  )
  for (const kind of Object.keys(UNUSUAL) as UnusualKind[])
    add(kind, statistics.unusualRows?.[kind] ?? 0, UNUSUAL[kind])
  const shortened = truncatedRows - rowsCutToNothing
  add(
    'truncated',
    shortened,
    `lost their end to maxLength ${maxLength}; ${canBeLonger ? 'raise maxLength' : 'split them'} to learn all of them`,
  )
  return warnings
}
