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
import type { AskingOptions } from './asking-options.js'
import { Fewshot, type FewshotOptions, fewshotSource, type PoolRow } from './fewshot.js'
import { type ReadRow, readTaskRows, type TaskRows } from './read-task-rows.js'
import {
  encodeQuestion,
  NO_CONTEXT,
  namingRow,
  type PromptContext,
  type Question,
  questionOfRow,
  questionOfText,
  type RowPrompt,
} from './row-prompt.js'
import { columnsOf, type RowColumns, type RowTemplate, readRowTemplate } from './row-template.js'
import type { PreparedTask, TaskRow } from './task.js'
import type { CommonTaskOptions } from './task-options.js'

/** A row that asks something, before it is encoded. */
export interface QuestionRow extends TaskRow {
  readonly columns: RowColumns
  /** What is right, as `docToTarget` or a column gives it. */
  readonly target: unknown
}

/** A row that asks something. */
export interface AskedRow extends QuestionRow, Pick<RowPrompt, 'ids' | 'delimiter' | 'continuation'> {}

/** What a task makes of its rows. */
export interface AskedRows<Row>
  extends TaskRows<{ readonly asked: AskedRow; readonly refined: Row }>,
    Pick<PreparedTask, 'fewshot'> {}

/** How a type of task reads a row. */
export interface Refinement<Row> {
  /** A row that it throws a DataError for has a defect, as others have. */
  refine(row: QuestionRow, origin: RowOrigin): Row
  /** What is right, in words, where the row is an example before another one; undefined: it is none. */
  exampleAnswer(refined: Row, row: QuestionRow): string | undefined
}

/** What a task needs of its options to read such rows. */
export type AskRowsOptions = Required<
  Pick<CommonTaskOptions, 'columns' | 'chatTemplateKwargs' | 'roleMapping'> &
    Pick<AskingOptions, 'targetDelimiter' | 'fewshotDelimiter' | 'fewshotAsMultiturn'>
> &
  FewshotOptions &
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
 * Reads what rows ask, and puts examples before it where the task has some.
 * @throws DataError for rows that have a defect or ask nothing, unless `onError` is 'skip'; OptionError where an answer
 * takes all positions of the model
 */
export async function askRows<Row>(
  where: string,
  tokenizer: Tokenizer,
  options: AskRowsOptions,
  { positions, answerTokens, needsReference, textColumns = [], targetColumns = [] }: AskRowsLimits,
  signal: AbortSignal | undefined,
  { refine, exampleAnswer }: Refinement<Row>,
): Promise<AskedRows<Row>> {
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
    targetDelimiter: options.targetDelimiter,
    fewshotDelimiter: options.fewshotDelimiter,
    fewshotAsMultiturn: options.fewshotAsMultiturn,
  }
  type Found = { readonly row: QuestionRow; readonly question: Question; readonly refined: Row }
  function* ask(value: unknown, origin: RowOrigin, index: number): Steps<ReadRow<Found>> {
    const columns = columnsOf(value)
    const column = docToText ? undefined : textColumns.find((name) => columns.has(name))
    const text = docToText ? docToText(columns, origin) : column === undefined ? undefined : columns.get(column)
    const steps =
      docToText || column !== undefined
        ? questionOfText(textOf(where, text, column ?? 'docToText', origin), undefined, context)
        : questionOfRow(yield* recognizeSteps(value, origin, options.rowForm, 'task'), context)
    const question = yield* namingRow<Question | undefined>(origin, steps)
    if (question === undefined) return { leftOut: 'withoutPrompt' }
    const ofColumn = targetColumns.find((name) => columns.has(name))
    const target = docToTarget
      ? docToTarget(columns, origin)
      : (question.reference ?? (ofColumn === undefined ? undefined : columns.get(ofColumn)))
    const references = referencesOf(target)
    if (needsReference && !references.some((reference) => reference.trim() !== ''))
      return { leftOut: 'withoutReference' }
    const bare = { index, origin: describeOrigin(origin), prompt: question.shown, columns, target }
    const row: QuestionRow = references.length > 0 ? { ...bare, references } : bare
    return { row: { row, question, refined: refine(row, origin) } }
  }
  const reasons = {
    withoutPrompt: 'left out: they ask nothing, as plain text does; name the prompt with docToText',
    withoutReference: 'left out: they do not say what is right, or say it with an empty text; see docToTarget',
    tooLong: `left out: their prompt is longer than ${mostTokens} tokens, so that no answer fits behind it`,
  }
  const fewshot = await readExamples(where, options, signal, reasons, function* pool(value, origin, index) {
    const found = yield* ask(value, origin, index)
    if ('leftOut' in found) return found
    const { row, question, refined } = found.row
    const answer = exampleAnswer(refined, row)
    if (answer === undefined) return { leftOut: 'withoutReference' }
    return { row: { columns: row.columns, example: { question, answer } } }
  })
  function* read(value: unknown, origin: RowOrigin, index: number) {
    // Drawn for every row, so that a row that is left out changes nothing for those behind it.
    const examples = fewshot?.next(columnsOf(value), describeOrigin(origin)) ?? NO_CONTEXT.examples
    const found = yield* ask(value, origin, index)
    if ('leftOut' in found) return found
    const { row, question, refined } = found.row
    const before = { description: options.description ?? '', examples }
    const prompt = yield* namingRow<RowPrompt>(origin, encodeQuestion(question, before, context))
    const { ids, delimiter, continuation } = prompt
    if (ids.length > mostTokens) return { leftOut: 'tooLong' }
    fewshot?.asked(prompt.text)
    return { row: { asked: { ...row, ids, delimiter, continuation }, refined } }
  }
  const found = await readTaskRows(where, options, read, reasons, signal)
  return {
    ...found,
    warnings: [...found.warnings, ...(fewshot?.warnings ?? [])],
    ...(fewshot && { fewshot: fewshot.report() }),
  }
}

/** Reads the rows that examples are drawn from; undefined where a task has no examples. */
async function readExamples(
  where: string,
  options: AskRowsOptions,
  signal: AbortSignal | undefined,
  reasons: Readonly<Record<string, string>>,
  read: (value: unknown, origin: RowOrigin, index: number) => Steps<ReadRow<PoolRow>>,
): Promise<Fewshot | undefined> {
  if (options.numFewshot === 0) {
    const unused = (['fewshotSplit', 'fewshotSamples'] as const).find((name) => options[name] !== undefined)
    if (unused === undefined) return undefined
    throw new OptionError(`[${where}] expected numFewshot with ${unused}, got 0; say how many examples there are`)
  }
  const { dataset, isSame } = fewshotSource(where, options)
  const { columns, onError } = options
  const pool = await readTaskRows(`${where}, examples`, { dataset, columns, onError }, read, reasons, signal)
  return new Fewshot(where, options, pool, isSame)
}

/** A row as a report shows it. */
export function shownRow({ index, origin, prompt, references }: TaskRow): TaskRow {
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
