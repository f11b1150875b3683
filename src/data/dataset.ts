/**
 * @file From a data source to encoded examples, with an account of what became of every row and of where they came
 * from.
 */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { callback, integer } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { filesOfTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { sourceParts } from './cached-source.js'
import { chatRenderer } from './chat-renderer.js'
import { sizeOfPlain } from './encode-messages.js'
import { encodeOptionsOf, encodeRows, PROGRESS_MS } from './encode-rows.js'
import { EncodedCache } from './encoded-cache.js'
import type { Example } from './examples.js'
import type { Item } from './items.js'
import {
  DATA_OPTIONS,
  type DataOptions,
  expectConsistent,
  type ResolvedDataOptions,
  withPresentNames,
} from './options.js'
import type { DataStatistics } from './report.js'
import { ONE_SEQUENCE, type RowCoding } from './row-coding.js'
import { itemOf } from './row-record.js'
import { RowStore, type RowStoreOptions } from './row-store.js'
import { type DataSource, openSource } from './sources/open-source.js'
import type { SourceLineage } from './sources/row-source.js'

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
  const prepared = await encodeRows(openSource(source), tokenizer, ONE_SEQUENCE, resolved, resolved, {
    add: (example) => examples.push(example),
    addRecord: ({ words }) => examples.push(itemOf(words)),
  })
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
  /** They were encoded by an earlier run. */
  isCached: boolean
}

/**
 * `prepareDataset` for what any objective makes of rows, in bounded memory, with options that are complete.
 *
 * @param cache Folder of rows that were encoded before, and the data set as it was asked for. Default: none.
 */
export async function prepareItems<I extends Item>(
  source: DataSource,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  options: ResolvedPrepareOptions,
  storage: RowStoreOptions,
  cache?: { readonly directory: string; readonly dataset: unknown },
): Promise<PreparedItems<I>> {
  const { signal, onProgress } = options
  const parts = cache && (await cacheParts(cache.dataset, tokenizer, coding, options))
  const entry = cache && parts !== undefined ? new EncodedCache(cache.directory, parts) : undefined
  if (entry !== undefined) {
    onProgress?.(0, 0)
    let told = performance.now()
    const onFraction = (fraction: number): void => {
      if (performance.now() - told < PROGRESS_MS) return
      told = performance.now()
      onProgress?.(0, fraction)
    }
    const found = await entry.read<I>(storage, new Turns(signal), onFraction)
    if (found !== undefined) {
      onProgress?.(found.facts.statistics.rows, 1)
      return { items: found.items, ...found.facts, isCached: true }
    }
  }
  const made = await makeItems(source, tokenizer, coding, options, storage)
  try {
    await entry?.write(made.items, { statistics: made.statistics, lineage: made.lineage }, new Turns(signal))
    return made
  } catch (error) {
    made.items.close()
    throw error
  }
}

/** All that decides what rows become but the bytes of their files; undefined where that cannot be told. */
async function cacheParts<I extends Item>(
  dataset: unknown,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  { vocabSize, columns, rowForm, onError, padding, ...options }: ResolvedPrepareOptions,
): Promise<unknown> {
  const digest = filesOfTokenizer(tokenizer)?.digest
  const template = chatRenderer(tokenizer, options.chatTemplate).source
  // What prints the time changes with it.
  if (digest === undefined || coding.exported === undefined || template?.includes('strftime_now')) return undefined
  const encoding = encodeOptionsOf(options)
  const plain = { ...encoding, vocabSize, columns, rowForm, onError, padding }
  if (sizeOfPlain(plain, Number.POSITIVE_INFINITY) === undefined) return undefined
  const files = await sourceParts(dataset)
  return files && [coding.exported.name, digest, template ?? null, plain, files]
}

async function makeItems<I extends Item>(
  source: DataSource,
  tokenizer: Tokenizer,
  coding: RowCoding<I>,
  options: ResolvedPrepareOptions,
  storage: RowStoreOptions,
): Promise<PreparedItems<I>> {
  const items = new RowStore<I>(storage)
  try {
    const prepared = await encodeRows(openSource(source), tokenizer, coding, options, options, {
      add: (item) => items.add(item),
      addRecord: (record) => items.addRecord(record),
    })
    items.finish()
    return { items, ...prepared, isCached: false }
  } catch (error) {
    items.close()
    throw error
  }
}
