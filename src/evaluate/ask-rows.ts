/**
 * @file The rows of a task that are questions: prompts as tokens, what is right, and the columns of each row. Shared by
 * generation, classification and multiple choice.
 */

import { chatRenderer } from '../data/chat-renderer.js'
import { recognizeSteps } from '../data/row-forms.js'
import { describeOrigin, type RowOrigin, rowError } from '../data/row-origin.js'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { type ReadRow, readTaskRows, type TaskRows } from './read-task-rows.js'
import { namingRow, type PromptContext, promptOfRow, promptOfText, type RowPrompt } from './row-prompt.js'
import { columnsOf, type RowColumns, type RowTemplate, readRowTemplate } from './row-template.js'
import type { TaskRow } from './task.js'
import type { AskingOptions, CommonTaskOptions } from './task-options.js'

/** A row that asks something. */
export interface AskedRow extends TaskRow, Pick<RowPrompt, 'ids' | 'delimiter' | 'continuation'> {
  readonly columns: RowColumns
  /** What is right, as `docToTarget` or a column gives it. */
  readonly target: unknown
}

/** What a task needs of its options to read such rows. */
export type AskRowsOptions = Required<
  Pick<CommonTaskOptions, 'dataset' | 'columns' | 'chatTemplateKwargs' | 'roleMapping'>
> &
  Pick<CommonTaskOptions, 'limit' | 'onError' | 'rowForm' | 'chatTemplate'> &
  AskingOptions

/** Which rows are left out. */
export interface AskRowsLimits {
  /** Positions of the model. */
  readonly positions: number
  /** How many of them an answer takes; rows whose prompt does not fit before it are left out. */
  readonly answerTokens: number
  /** Whether a row without what is right, or with an empty text for it, is left out. */
  readonly needsReference: boolean
  /** Columns that say what is asked where neither `docToText` nor the form of the row does; default none. */
  readonly textColumns?: readonly string[]
  /** Columns that say what is right where neither `docToTarget` nor the form of the row does; default none. */
  readonly targetColumns?: readonly string[]
}

/**
 * @param refine Makes of a row what the task needs. A row that it throws a DataError for has a defect, as others have.
 * @throws DataError for rows that have a defect or ask nothing, unless `onError` is 'skip'; OptionError where an answer
 * takes all positions of the model
 */
export async function askRows<Row>(
  where: string,
  tokenizer: Tokenizer,
  options: AskRowsOptions,
  { positions, answerTokens, needsReference, textColumns = [], targetColumns = [] }: AskRowsLimits,
  signal: AbortSignal | undefined,
  refine: (row: AskedRow, origin: RowOrigin) => Row,
): Promise<TaskRows<Row>> {
  const mostTokens = positions - answerTokens
  if (mostTokens < 1)
    throw new OptionError(
      `[${where}] expected less than ${positions}, the positions of the model, for generation.maxNewTokens, got ${answerTokens}; leave room for the prompt`,
    )
  const template = (name: 'docToText' | 'docToTarget'): RowTemplate | undefined => {
    const source = options[name]
    return source === undefined ? undefined : readRowTemplate(where, name, source)
  }
  const docToText = template('docToText')
  const docToTarget = template('docToTarget')
  const context: PromptContext = {
    tokenizer,
    renderer: chatRenderer(tokenizer, options.chatTemplate),
    roleMapping: options.roleMapping,
    chatTemplateKwargs: options.chatTemplateKwargs,
    applyChatTemplate: options.applyChatTemplate === true,
    systemInstruction: options.systemInstruction,
  }
  function* read(value: unknown, origin: RowOrigin, index: number): Steps<ReadRow<Row>> {
    const columns = columnsOf(value)
    const column = docToText ? undefined : textColumns.find((name) => columns.has(name))
    const text = docToText ? docToText(columns, origin) : column === undefined ? undefined : columns.get(column)
    const steps =
      docToText || column !== undefined
        ? promptOfText(textOf(where, text, column ?? 'docToText', origin), undefined, context)
        : promptOfRow(yield* recognizeSteps(value, origin, options.rowForm), context)
    const prompt = yield* namingRow<RowPrompt | undefined>(origin, steps)
    if (prompt === undefined) return { leftOut: 'withoutPrompt' }
    const ofColumn = targetColumns.find((name) => columns.has(name))
    const target = docToTarget
      ? docToTarget(columns, origin)
      : (prompt.reference ?? (ofColumn === undefined ? undefined : columns.get(ofColumn)))
    const references = referencesOf(target)
    if (needsReference && !references.some((reference) => reference.trim() !== ''))
      return { leftOut: 'withoutReference' }
    const { ids, shown, delimiter, continuation } = prompt
    if (ids.length > mostTokens) return { leftOut: 'tooLong' }
    const row: AskedRow = {
      index,
      origin: describeOrigin(origin),
      prompt: shown,
      ids,
      delimiter,
      continuation,
      columns,
      target,
    }
    return { row: refine(references.length > 0 ? { ...row, references } : row, origin) }
  }
  return await readTaskRows(
    where,
    options,
    read,
    {
      withoutPrompt: 'left out: they ask nothing, as plain text does; name the prompt with docToText',
      withoutReference: 'left out: they do not say what is right, or say it with an empty text; see docToTarget',
      tooLong: `left out: their prompt is longer than ${mostTokens} tokens, so that no answer fits behind it`,
    },
    signal,
  )
}

/** A row as a report shows it. */
export function shownRow({ index, origin, prompt, references }: AskedRow): TaskRow {
  return { index, origin, prompt, ...(references && { references }) }
}

/** What is right as texts: a list gives several. */
function referencesOf(target: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(target) ? target : [target]
  return list.flatMap((item) => (item === null || item === undefined ? [] : [asText(item)]))
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function textOf(where: string, value: unknown, name: string, origin: RowOrigin): string {
  if (typeof value === 'string') return value
  throw rowError(
    origin,
    `[${where}] expected text for ${name} in ${describeOrigin(origin)}, got ${describeValue(value)}; name a column of text with docToText`,
  )
}
