/**
 * @file From a source to encoded rows: all of them at a stretch, or one after the other as they are asked for. Where
 * they go, and what becomes of them, is their taker's.
 */

import { DataError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { chatRenderer } from './chat-renderer.js'
import { Columns } from './columns.js'
import { DroppedContent } from './dropped-content.js'
import type { EncodeRowOptions } from './examples.js'
import type { Item } from './items.js'
import type { ResolvedDataOptions } from './options.js'
import { countSkipped, type DataStatistics, firstErrors } from './report.js'
import { RowAccount } from './row-account.js'
import type { RecognizedRow, RowCoding } from './row-coding.js'
import { RowEncoder, type RowSink } from './row-encoder.js'
import type { RowOrigin } from './row-origin.js'
import { type StoredRecord, storedRecordOf } from './row-store.js'
import { readRows } from './rows.js'
import type { ReadContext, RowSource, SourceLineage } from './sources/row-source.js'

/** What decides what a row becomes. */
export type EncodeOptions = Omit<ResolvedDataOptions, 'evalSplit'> & {
  /** Rows of the model's embedding; a larger token id is an error naming token and row. Default: not checked. */
  readonly vocabSize?: number
}

// A bar that moves ten times a second looks smooth.
export const PROGRESS_MS = 100

/** A pass over the rows of a source. */
interface Pass<I extends Item> {
  readonly rows: AsyncIterable<RecognizedRow>
  readonly encoder: RowEncoder<I>
}

/** What a pass tells of. */
interface PassHooks<I extends Item> extends Omit<RowSink<I>, 'onBadRow'> {
  /** A row with a defect, where such rows are left out. */
  onSkipped(error: DataError): void
  readonly reading: Pick<ReadContext, 'onFraction' | 'onLocation' | 'onLineage' | 'needsHash'>
}

function beginPass<I extends Item>(
  source: RowSource,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  { vocabSize, onError, datasetNumProc, ...options }: EncodeOptions,
  turns: Turns,
  { onSkipped, reading, ...sink }: PassHooks<I>,
): Pass<I> {
  const now = new Date()
  const onBadRow = onError === 'skip' ? onSkipped : undefined
  const encoder = new RowEncoder(
    {
      coding,
      context: {
        tokenizer,
        renderer: chatRenderer(tokenizer, options.chatTemplate, now),
        options: { ...encodeOptionsOf(options), vocabSize, droppedContent: new DroppedContent() },
      },
      padding: options.padding ? { length: options.maxLength, id: paddingId(tokenizer, vocabSize) } : undefined,
      chatTemplate: options.chatTemplate,
      now,
      threads: datasetNumProc,
      turns,
    },
    { ...sink, onBadRow },
  )
  const context: ReadContext = {
    signal: turns.signal,
    turns,
    ...reading,
    ...(onBadRow && { onBadRow: (error) => encoder.skip(error, onBadRow) }),
  }
  const recognize = (value: unknown, origin: RowOrigin) => coding.recognize(value, origin, options.rowForm)
  return { rows: readRows(source, new Columns(options.columns), recognize, context), encoder }
}

/** Rows that were read and encoded, and the files or tables that they came from. */
export interface EncodedRows {
  readonly statistics: DataStatistics
  readonly lineage: readonly SourceLineage[]
}

/**
 * Reads all rows and encodes them. A row is left out where one of its sequences has nothing to learn.
 *
 * @param to Takes the items, in the order of the rows.
 */
export async function encodeRows<I extends Item>(
  source: RowSource,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  options: EncodeOptions,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (rows: number, fraction: number | undefined) => void },
  to: Pick<RowSink<I>, 'add' | 'addRecord'>,
): Promise<EncodedRows> {
  const account = new RowAccount()
  const turns = new Turns(signal)
  const lineage: SourceLineage[] = []
  let fraction: number | undefined
  const { rows, encoder } = beginPass(source, tokenizer, coding, options, turns, {
    ...to,
    count: (facts) => account.add(facts),
    onSkipped: (error) => countSkipped(account.statistics, error),
    reading: {
      onFraction: (share) => {
        fraction = share
      },
      onLineage: (entry) => lineage.push(entry),
    },
  })
  let reported = performance.now()
  onProgress?.(0, 0)
  try {
    try {
      for await (const row of rows) {
        await encoder.push(row)
        if (!turns.isOver) continue
        if (performance.now() - reported > PROGRESS_MS) {
          reported = performance.now()
          onProgress?.(account.statistics.rows, fraction)
        }
        await turns.next()
      }
    } finally {
      // What an earlier row has wrong is told before what a later one has.
      await encoder.finish()
    }
  } finally {
    await encoder.close()
  }
  const statistics = account.finish()
  onProgress?.(statistics.rows, 1)
  expectTokens(source.name, lineage, statistics, options.maxLength)
  return { statistics, lineage }
}

/** A row that was read, in the order of the source. */
export interface StreamedRow {
  /** Counts what became of it. */
  readonly count: (account: RowAccount) => void
  /** What it became; absent where it is left out. */
  readonly record?: StoredRecord
}

/**
 * Reads rows and encodes them as they are asked for. What is given does not depend on how fast rows come: while the
 * source lets one wait for the next, all that came before it are given.
 */
export async function* streamRows<I extends Item>(
  source: RowSource,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  options: EncodeOptions,
  turns: Turns,
  reading: PassHooks<I>['reading'],
): AsyncGenerator<StreamedRow> {
  let ready: StreamedRow[] = []
  let count: StreamedRow['count'] | undefined
  const settle = (record?: StoredRecord): void => {
    if (count !== undefined) ready.push({ count, ...(record && { record }) })
    count = undefined
  }
  const { rows, encoder } = beginPass(source, tokenizer, coding, options, turns, {
    // A row is counted, and then added where it stays.
    count(facts) {
      settle()
      count = (account) => account.add(facts)
    },
    add: (item) => settle(storedRecordOf(item)),
    // The words of many rows lie in one piece of memory, which few of them would keep.
    addRecord: (record) => settle({ ...record, words: record.words.slice() }),
    onSkipped(error) {
      settle()
      count = (account) => countSkipped(account.statistics, error)
    },
    reading,
  })
  /** The rows that are there after some work, then what the work has thrown: no row behind one that fails is given. */
  async function* rowsAfter(work: Promise<void>): AsyncGenerator<StreamedRow> {
    const failure = await work.then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    settle()
    const given = ready
    ready = []
    yield* given
    if (failure !== undefined) throw failure.error
  }
  const iterator = rows[Symbol.asyncIterator]()
  let isOver = false
  try {
    while (!isOver) {
      const next = iterator.next()
      if (encoder.isWaiting && (await isSlow(next))) yield* rowsAfter(encoder.finish())
      const result = await next.catch((error: unknown) => ({ error }))
      isOver = 'error' in result || result.done === true
      yield* rowsAfter('error' in result || result.done ? encoder.finish() : encoder.push(result.value))
      if ('error' in result) throw result.error
      if (turns.isOver) await turns.next()
    }
  } finally {
    if (!isOver) await iterator.return?.(undefined)
    await encoder.close()
  }
}

/** Whether a promise is not settled within this turn of the event loop. */
async function isSlow(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([
    promise.then(
      () => false,
      () => false,
    ),
    new Promise<boolean>((resolve) => setImmediate(() => resolve(true))),
  ])
}

/** What of the options a row is encoded by; all of it plain data. */
export function encodeOptionsOf(options: Omit<EncodeRowOptions, 'vocabSize' | 'droppedContent'>): EncodeRowOptions {
  const { maxLength, completionOnlyLoss, assistantOnlyLoss, chatTemplateKwargs, roleMapping } = options
  const { trainOnTurns, trainOnReasoning, onDroppedContent } = options
  return {
    maxLength,
    completionOnlyLoss,
    assistantOnlyLoss,
    chatTemplateKwargs,
    roleMapping,
    trainOnTurns,
    trainOnReasoning,
    onDroppedContent,
  }
}

/**
 * Padding is told by its place, never by its id: any id that the model has will do where the tokenizer has none for it,
 * as GPT-2's.
 */
function paddingId({ padTokenId, eosTokenId }: Tokenizer, vocabSize = Number.POSITIVE_INFINITY): number {
  return [padTokenId, eosTokenId].find((id) => id !== undefined && id < vocabSize) ?? 0
}

/** @throws DataError where nothing of all rows is left to learn, saying why */
export function expectTokens(
  name: string,
  lineage: readonly SourceLineage[],
  statistics: DataStatistics,
  maxLength: number,
): void {
  const { rows, tokens, rowsCutToNothing, rowsWithoutTarget, skippedRows = 0, skippedRowErrors = [] } = statistics
  if (tokens > 0) return
  if (rows === 0) {
    const where =
      lineage.length > 0
        ? ` in ${name}, got none; check that the file is whole`
        : ', got none; check that the rows are given'
    throw new DataError(`[data] expected at least one row${where}`)
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
  throw new DataError(`[data] expected tokens to learn from, got none in ${rows} rows; ${reasons.join('; ')}`)
}
