/**
 * @file What a form of rows is: the columns that tell it, and what they are read into. Shared by the families of forms
 * beside this file; the list of all is in `../row-forms.ts`.
 */

import { describeValue } from '../../errors.js'
import type { Steps } from '../../turns.js'
import type { Messages } from '../messages.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import { isPresent, wrongType } from '../row-values.js'

/** A conversation, and what reaches the chat template beside it. */
export interface Conversation extends Messages {
  tools?: readonly unknown[]
  variables?: Record<string, unknown>
}

/** A part of a text that is learnt or not. */
export interface Segment {
  readonly text: string
  readonly isLearnt: boolean
}

/** Token ids that a row brings, and for each whether it is learnt; a mask that is absent asks for all. */
export interface PreparedTokens {
  readonly inputIds: Int32Array
  /** 1 where `labels` repeats the id. */
  readonly labelled?: Uint8Array
  readonly completionMask?: Uint8Array
  readonly assistantMask?: Uint8Array
  /** What each counts in the loss; default 1. */
  readonly weights?: Float64Array
}

/** What becomes one sequence. */
export type SequenceContent =
  | ({ form: 'messages' } & Conversation)
  // Messages from `promptMessages` on are the completion.
  | ({ form: 'conversation'; promptMessages: number } & Conversation)
  | { form: 'completion'; prompt: string; completion: string }
  | { form: 'alpaca'; instruction: string; input: string; output: string }
  | { form: 'text'; text: string }
  | { form: 'segments'; segments: readonly Segment[] }
  | ({ form: 'tokens' } & PreparedTokens)

/** What other objectives than supervised fine-tuning learn from. */
export type OtherContent =
  | { form: 'preference'; chosen: SequenceContent; rejected: SequenceContent }
  | { form: 'labelled'; answer: SequenceContent; label: boolean }
  | { form: 'stepwise'; prompt: string; completions: readonly string[]; labels: readonly boolean[] }
  | { form: 'classification'; text: string; label: string | number | boolean }
  | { form: 'prompt'; prompt: string | Conversation }

export type RowContent = SequenceContent | OtherContent

export type Columns = Record<string, unknown>

/** What the option `rowForm` may say. */
export const ROW_FORM_NAMES = [
  'messages',
  'sharegpt',
  'promptCompletion',
  'alpaca',
  'alpacaMessages',
  'text',
  'questionAnswer',
  'vertex',
  'segments',
  'tokens',
  'reflection',
  'preference',
  'labelled',
  'stepwise',
  'prompt',
  'classification',
] as const

export type RowFormName = (typeof ROW_FORM_NAMES)[number]

/** One way in which rows are written. */
export interface RowForm {
  /** What the option `rowForm` calls it; ways that say the same have one name. */
  readonly name: RowFormName
  /** Columns that a row of this form has. */
  readonly columns: readonly string[]
  /** Columns that it may have beside them. */
  readonly optional: readonly string[]
  /** Whether a row that has `columns` is of this form. Default: it is. */
  readonly matches?: (row: Columns) => boolean
  /** Whether only the option `rowForm` asks for it: its columns alone mean something else. */
  readonly isNamed?: true
  /**
   * Checks the columns and takes what they hold.
   * @throws naming the row for what is of the wrong type or would be lost
   */
  readonly read: (row: Columns, origin: RowOrigin) => Steps<RowContent>
}

// biome-ignore lint/correctness/useYield: it stands where others read rows of any size.
export function* atOnce<Content>(content: Content): Steps<Content> {
  return content
}

/** Whether a row has something in a column. */
export function has(row: Columns, name: string): boolean {
  return isPresent(row[name])
}

/** Whether a column holds more than nothing: no empty text, no empty list. */
export function isFilled(value: unknown): boolean {
  return isPresent(value) && value !== '' && !(Array.isArray(value) && value.length === 0)
}

export function textOf(row: Columns, name: string, origin: RowOrigin): string {
  const value = row[name]
  if (typeof value !== 'string') throw wrongType('a string', name, origin, value)
  return value
}

/** The text of a column that may be missing; then it is empty. */
export function optionalTextOf(row: Columns, name: string, origin: RowOrigin): string {
  return has(row, name) ? textOf(row, name, origin) : ''
}

export function refuse(row: Columns, name: string, origin: RowOrigin, remedy: string): void {
  if (!isFilled(row[name])) return
  throw rowError(
    origin,
    `[data] expected no column ${name} in ${describeOrigin(origin)}, got ${describeValue(row[name])}; ${remedy}`,
  )
}
