/**
 * @file From a data source to encoded examples, with an account of what became of every row and of where they came
 * from.
 */

import { describeValue } from '../errors.js'
import { DataError, OptionError } from '../lowrank-error.js'
import { callback, integer } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { type ChatRenderer, ChatTemplate } from '../tokenizer/chat-template.js'
import { templateText } from '../tokenizer/named-templates.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { orBad } from './bad-rows.js'
import { Columns } from './columns.js'
import { DroppedContent } from './dropped-content.js'
import { type Example, padExample } from './examples.js'
import { type Item, mapSequences, sequencesOf } from './items.js'
import {
  DATA_OPTIONS,
  type DataOptions,
  expectConsistent,
  type ResolvedDataOptions,
  withPresentNames,
} from './options.js'
import { countSkipped, type DataStatistics, firstErrors } from './report.js'
import { ONE_SEQUENCE, type RowCoding } from './row-coding.js'
import type { RowOrigin } from './row-origin.js'
import { RowStore, type RowStoreOptions } from './row-store.js'
import { readRows } from './rows.js'
import { type DataSource, openSource } from './sources/open-source.js'
import type { ReadContext, SourceLineage } from './sources/row-source.js'

/** The rows of a source, encoded. `splitExamples` holds some of them out. */
export interface PreparedData {
  /** In the order of the rows; those with nothing to learn are left out. */
  examples: Example[]
  statistics: DataStatistics
  /** The files or tables that the rows came from; empty where a program gave them. */
  lineage: readonly SourceLineage[]
}

export interface PrepareOptions extends Omit<DataOptions, 'evalSplit'> {
  /**
   * Rows of the model's embedding; a larger token id is an error naming token and row.
   * @default none: ids are not checked
   */
  vocabSize?: number
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Called with the rows encoded so far, and the share of the data that has been read where its size is known: at the
   * beginning, at the end, and at most ten times a second between.
   * @default none
   */
  onProgress?: (rows: number, fraction: number | undefined) => void
}

/** The options of `prepareDataset`. */
export const PREPARE_OPTIONS = {
  ...DATA_OPTIONS,
  vocabSize: {
    rule: integer({ min: 1 }),
    otherwise: 'none: ids are not checked',
    help: "rows of the model's embedding; a larger token id is an error",
  },
  signal: SIGNAL,
  onProgress: { rule: callback, otherwise: 'none', help: 'told the rows encoded so far, and their share' },
} as const satisfies OptionTable<PrepareOptions & DataOptions>

// A set whose columns are data would fill the log with names.
const MOST_COLUMNS = 32
// A bar that moves ten times a second looks smooth.
const PROGRESS_MS = 100

/**
 * Reads and encodes a data set. Encoded rows stay in memory as 8 bytes per token. The event loop stays free.
 *
 * @throws DataError for a row with a defect (with file and row), for a data set without rows, and for one where nothing
 * is left to learn (saying why).
 */
export async function prepareDataset(
  source: DataSource,
  tokenizer: Tokenizer,
  options: PrepareOptions = {},
): Promise<PreparedData> {
  expectTokenizer(tokenizer)
  const resolved = readOptions(
    'data',
    withPresentNames('data', options as PrepareOptions & DataOptions),
    PREPARE_OPTIONS,
  )
  expectConsistent('data', resolved)
  if (resolved.evalSplit !== 0)
    throw new OptionError(
      `[data] expected no evalSplit to prepare data, got ${resolved.evalSplit}; give the examples to splitExamples()`,
    )
  const examples: Example[] = []
  const prepared = await encodeRows(source, tokenizer, ONE_SEQUENCE, resolved, (example) => examples.push(example))
  return { examples, ...prepared }
}

function expectTokenizer(tokenizer: Tokenizer): void {
  if (typeof tokenizer?.encode === 'function') return
  throw new OptionError(`[data] expected what loadTokenizer() gives for tokenizer, got ${describeValue(tokenizer)}`)
}

/** What `prepareItems` works with. */
type ResolvedPrepareOptions = Omit<ResolvedDataOptions, 'evalSplit'> &
  Pick<PrepareOptions, 'vocabSize' | 'signal' | 'onProgress'>

/** `PreparedData` of any objective. */
export interface PreparedItems<I extends Item> extends Omit<PreparedData, 'examples'> {
  /** Whoever has them closes them. */
  items: RowStore<I>
}

/** `prepareDataset` for what any objective makes of rows, in bounded memory, with options that are complete. */
export async function prepareItems<I extends Item>(
  source: DataSource,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  options: ResolvedPrepareOptions,
  storage: RowStoreOptions,
): Promise<PreparedItems<I>> {
  const items = new RowStore<I>(storage)
  try {
    const prepared = await encodeRows(source, tokenizer, coding, options, (item) => items.add(item))
    items.finish()
    return { items, ...prepared }
  } catch (error) {
    items.close()
    throw error
  }
}

/**
 * Reads rows and encodes them. A row is left out where one of its sequences has nothing to learn.
 *
 * @param add Takes the items, in the order of the rows.
 */
async function encodeRows<I extends Item>(
  source: DataSource,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  { vocabSize, signal, onProgress, onError, ...resolved }: ResolvedPrepareOptions,
  add: (item: I) => void,
): Promise<Omit<PreparedData, 'examples'>> {
  const rowSource = openSource(source)
  const columns = new Columns(resolved.columns)
  const renderer = chatRenderer(tokenizer, resolved.chatTemplate)
  const encodeOptions = { ...resolved, vocabSize, droppedContent: new DroppedContent() }
  const context = { tokenizer, renderer, options: encodeOptions }
  const statistics: DataStatistics = {
    rows: 0,
    conversations: 0,
    truncatedRows: 0,
    rowsCutToNothing: 0,
    rowsWithoutTarget: 0,
    tokens: 0,
    supervisedTokens: 0,
    longest: 0,
  }
  const droppedParts: NonNullable<DataStatistics['droppedParts']> = {}
  const unusualRows: NonNullable<DataStatistics['unusualRows']> = {}
  const ignored = new Set<string>()
  let nullArgumentRows = 0
  let quotedArgumentRows = 0
  const padId = resolved.padding ? paddingId(tokenizer, vocabSize) : undefined
  const turns = new Turns(signal)
  const lineage: SourceLineage[] = []
  let fraction: number | undefined
  const reading: ReadContext = {
    signal,
    turns,
    onFraction: (share) => {
      fraction = share
    },
    onLineage: (entry) => lineage.push(entry),
    ...(onError === 'skip' && { onBadRow: (error) => countSkipped(statistics, error) }),
  }
  let reported = performance.now()
  onProgress?.(0, 0)
  const recognize = (value: unknown, origin: RowOrigin) => coding.recognize(value, origin, resolved.rowForm)
  for await (const row of readRows(rowSource, columns, recognize, reading)) {
    const encoded = await turns.run(orBad(coding.encode(row, context), reading.onBadRow))
    if (encoded === undefined) continue
    const { item, truncated, dropped, quotesArguments, unusual } = encoded
    statistics.rows++
    if (row.form === 'messages' || row.form === 'conversation') statistics.conversations++
    if (truncated) statistics.truncatedRows++
    for (const kind of unusual) unusualRows[kind] = (unusualRows[kind] ?? 0) + 1
    for (const { kind } of dropped) droppedParts[kind] = (droppedParts[kind] ?? 0) + 1
    for (const name of row.ignoredColumns ?? []) ignored.add(name)
    if ('nullArguments' in row) nullArgumentRows++
    if (quotesArguments) quotedArgumentRows++
    const sequences = sequencesOf(item)
    if (sequences.every(({ numSupervised }) => numSupervised > 0)) {
      add(
        padId === undefined ? item : mapSequences(item, (sequence) => padExample(sequence, resolved.maxLength, padId)),
      )
      for (const { inputIds, numSupervised } of sequences) {
        statistics.tokens += inputIds.length
        statistics.supervisedTokens += numSupervised
        statistics.longest = Math.max(statistics.longest, inputIds.length)
      }
    } else if (truncated) statistics.rowsCutToNothing++
    else statistics.rowsWithoutTarget++
    if (turns.isOver) {
      if (performance.now() - reported > PROGRESS_MS) {
        reported = performance.now()
        onProgress?.(statistics.rows, fraction)
      }
      await turns.next()
    }
  }
  onProgress?.(statistics.rows, 1)
  if (Object.keys(droppedParts).length > 0) statistics.droppedParts = droppedParts
  if (Object.keys(unusualRows).length > 0) statistics.unusualRows = unusualRows
  if (ignored.size > 0) statistics.ignoredColumns = [...ignored].slice(0, MOST_COLUMNS)
  if (nullArgumentRows > 0) statistics.nullArgumentRows = nullArgumentRows
  if (quotedArgumentRows > 0) statistics.quotedArgumentRows = quotedArgumentRows
  if (statistics.tokens === 0) throw nothingToLearn(rowSource.name, lineage, statistics, resolved.maxLength)
  return { statistics, lineage }
}

/**
 * Padding is told by its place, never by its id: any id that the model has will do where the tokenizer has none for it,
 * as GPT-2's.
 */
function paddingId({ padTokenId, eosTokenId }: Tokenizer, vocabSize = Number.POSITIVE_INFINITY): number {
  return [padTokenId, eosTokenId].find((id) => id !== undefined && id < vocabSize) ?? 0
}

/**
 * The template that conversations are rendered with: the given one, the tokenizer's, or whatever the tokenizer does.
 */
export function chatRenderer(tokenizer: Tokenizer, chatTemplate?: string): ChatRenderer {
  const source = chatTemplate === undefined ? tokenizer.chatTemplate : templateText(chatTemplate)
  if (source !== undefined) return new ChatTemplate(source, tokenizer.templateVariables)
  return { render: (messages, options) => tokenizer.applyChatTemplate(messages, options) }
}

function nothingToLearn(
  name: string,
  lineage: readonly SourceLineage[],
  statistics: DataStatistics,
  maxLength: number,
): Error {
  const { rows, rowsCutToNothing, rowsWithoutTarget, skippedRows = 0, skippedRowErrors = [] } = statistics
  if (rows === 0) {
    const where =
      lineage.length > 0
        ? ` in ${name}, got none; check that the file is whole`
        : ', got none; check that the rows are given'
    return new DataError(`[data] expected at least one row${where}`)
  }
  const reasons: string[] = []
  if (skippedRows > 0) reasons.push(`${skippedRows} were skipped, ${firstErrors(skippedRows, skippedRowErrors)}`)
  if (rowsCutToNothing > 0) {
    reasons.push(
      `in ${rowsCutToNothing} the answer begins beyond maxLength ${maxLength}: raise maxLength or shorten the prompts`,
    )
  }
  if (rowsWithoutTarget > 0) {
    reasons.push(
      `${rowsWithoutTarget} have no assistant turn, only ones of weight 0, no {% generation %} span or an empty text: check ` +
        'roles and weights, or set assistantOnlyLoss: false',
    )
  }
  return new DataError(`[data] expected tokens to learn from, got none in ${rows} rows; ${reasons.join('; ')}`)
}
