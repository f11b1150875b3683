/**
 * @file What `dataset` may be, turned into a source of rows. A new kind of address is an entry in the list of openers.
 */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import type { DeltaTable } from '../delta/delta-source.js'
import { isArrowTable } from './arrow-values.js'
import {
  type DatasetEntry,
  type DatasetMix,
  isEntry,
  isEntryList,
  openEntry,
  openEntryList,
  type PlainSource,
} from './dataset-entry.js'
import { fileSource } from './file-source.js'
import { iterableSource } from './iterable-source.js'
import { batchesOf } from './row-batches.js'
import type { RowSource } from './row-source.js'
import type { SqlQuery } from './sql-source.js'

/**
 * Where rows come from: a path, glob or folder, several of them, an iterable of objects, an object that reads them, a
 * version of a Delta table, a query, or data sets as objects that say which of their rows. A list holds data sets or
 * rows.
 */
export type DataSource = PlainSource | DatasetEntry | DatasetMix | readonly (string | DatasetEntry)[]

type SourceOpener = (address: string) => RowSource

/** How addresses are opened, by their scheme: `uc` for `uc://main.default.rows`. */
const OPENERS: Readonly<Record<string, SourceOpener>> = {
  uc: unread('tables of Unity Catalog are not read yet; export the table to a .jsonl file'),
  hf: unread('data sets of the Hub are not read yet; download its .jsonl file'),
}
const openUnknown = unread('such addresses are not read; download the file')
const openWithinList = unread('a list holds paths alone; give the address by itself')

/**
 * Opens what was given for a data set. Looks at no file: `check()` of the source does.
 *
 * @param name What errors call it, for example `evalDataset`.
 * @throws for what holds no rows, and for addresses that are not read
 */
export function openSource(source: DataSource, name = 'dataset'): RowSource {
  const open = (path: PlainSource, split: string | undefined): RowSource => openPlain(path, split, name)
  if (isEntryList(source)) return openEntryList(source, open)
  if (isIterable(source) || isRowSource(source) || !isEntry(source)) return open(source as PlainSource, undefined)
  return openEntry(source, open)
}

function openPlain(source: PlainSource, split: string | undefined, name: string): RowSource {
  if (typeof source === 'string') {
    const scheme = schemeOf(source)
    if (scheme === undefined) return pathSource(source, split, name)
    const open = Object.hasOwn(OPENERS, scheme) ? OPENERS[scheme] : undefined
    return (open ?? openUnknown)(source)
  }
  if (isPaths(source)) {
    const address = source.find((path) => schemeOf(path) !== undefined)
    return address === undefined ? fileSource(source, split ?? defaultSplit(name)) : openWithinList(address)
  }
  expectWhole(split)
  // A table could be iterated too, but its rows are views that read as objects without keys.
  if (isArrowTable(source)) return iterableSource(source.batches)
  if (isIterable(source)) return iterableSource(source)
  if (isRowSource(source)) return source
  if (isDelta(source)) return deltaTable(source)
  if (isQuery(source)) return lazySource(source.sql, async () => (await import('./sql-source.js')).sqlSource(source))
  throw new OptionError(
    `[data] expected a path, a glob or an iterable of rows for ${name}, got ${describeValue(source)}`,
  )
}

/** A folder may be a Delta table, whose log says which of its files count. */
function pathSource(path: string, split: string | undefined, name: string): RowSource {
  const files = fileSource([path], split ?? defaultSplit(name))
  const load = async (): Promise<RowSource> => {
    const log = await stat(join(path, '_delta_log')).catch(() => undefined)
    if (!log?.isDirectory()) return files
    expectWhole(split)
    return deltaTable({ delta: path })
  }
  return lazySource(files.name, load)
}

/** @throws for a split of what has none */
function expectWhole(split: string | undefined): void {
  if (split === undefined || split === 'train') return
  throw new OptionError(
    `[data] expected the split 'train' of rows that are in no folder of files, got ${describeValue(split)}; they are all of that split`,
  )
}

function deltaTable(table: DeltaTable): RowSource {
  const { delta, version } = table
  const name = version === undefined ? delta : `${delta}@v${version}`
  return lazySource(name, async () => (await import('../delta/delta-source.js')).deltaSource(table))
}

/** A source whose code is loaded when it is read. */
function lazySource(name: string, load: () => Promise<RowSource>): RowSource {
  return {
    name,
    check: async (signal) => await (await load()).check?.(signal),
    rows: (context) => delegated(async () => (await load()).rows(context)),
    batches: (context) => delegated(async () => batchesOf(await load(), context)),
  }
}

/** The rows of what `open` gives. A generator in between would take as long for a row as reading a short one. */
function delegated<T>(open: () => Promise<AsyncIterable<T>>): AsyncIterableIterator<T> {
  let rows: AsyncIterator<T> | undefined
  let opening: Promise<void> | undefined
  let isClosed = false
  const begin = async (): Promise<void> => {
    rows = (await open())[Symbol.asyncIterator]()
  }
  const over = { done: true, value: undefined } as const
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    next() {
      if (isClosed) return Promise.resolve(over)
      if (rows !== undefined) return rows.next()
      opening ??= begin()
      return opening.then(() => this.next())
    },
    async return() {
      isClosed = true
      await opening?.catch(() => {})
      await rows?.return?.()
      return over
    },
  }
}

/** The split of a folder that names none: what one evaluates on must not be what was trained on. */
function defaultSplit(name: string): string | readonly string[] {
  return name === 'evalDataset' ? ['validation', 'test', 'train'] : 'train'
}

/** Whether a value is what `dataset` may be, whatever is in it. */
export function isDataSource(value: unknown): value is DataSource {
  return (
    (typeof value === 'string' && value.trim() !== '') ||
    isIterable(value) ||
    isRowSource(value) ||
    isDelta(value) ||
    isQuery(value) ||
    isEntry(value)
  )
}

/** Refuses addresses: the one wording for all that are not read. */
function unread(remedy: string): SourceOpener {
  return (address) => {
    throw new OptionError(`[data] expected a file, a glob or rows, got ${describeValue(address)}; ${remedy}`)
  }
}

/** `uc` of `uc://main.default.rows`; undefined for paths. */
function schemeOf(path: string): string | undefined {
  return /^([a-z][a-z\d+.-]*):\/\//i.exec(path)?.[1]?.toLowerCase()
}

function isPaths(source: unknown): source is readonly string[] {
  return Array.isArray(source) && source.length > 0 && source.every((entry) => typeof entry === 'string')
}

function isIterable(source: unknown): source is Iterable<object> | AsyncIterable<object> {
  return typeof source === 'object' && source !== null && (Symbol.iterator in source || Symbol.asyncIterator in source)
}

function isDelta(source: unknown): source is DeltaTable {
  return typeof source === 'object' && source !== null && 'delta' in source && typeof source.delta === 'string'
}

function isQuery(source: unknown): source is SqlQuery {
  return typeof source === 'object' && source !== null && 'sql' in source && typeof source.sql === 'string'
}

function isRowSource(source: unknown): source is RowSource {
  return typeof source === 'object' && source !== null && 'rows' in source && typeof source.rows === 'function'
}
