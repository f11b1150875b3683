/**
 * @file What `dataset` may be, turned into a source of rows. A new kind of address is an entry in the list of openers.
 */

import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isArrowTable } from '../../arrow/values.js'
import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import type { DeltaTable } from '../delta/delta-source.js'
import {
  type DatasetEntry,
  type DatasetMix,
  isEntry,
  isEntryList,
  openEntry,
  openEntryList,
  type PathOptions,
  type PlainSource,
} from './dataset-entry.js'
import type { DescribedDataset } from './dataset-info.js'
import type { FetchOptions } from './fetch-options.js'
import { fileSource } from './file-source.js'
import { isDatasetId, parseHubAddress } from './hub-address.js'
import { iterableSource } from './iterable-source.js'
import { batchesOf, someRowsOf } from './row-batches.js'
import type { RowSource } from './row-source.js'
import { concatenated } from './select-rows.js'
import type { SqlQuery } from './sql-source.js'
import { webSource } from './web-source.js'

/**
 * Where rows come from: a path, glob or folder, several of them, an iterable of objects, an object that reads them, a
 * version of a Delta table, a query, or data sets as objects that say which of their rows. A list holds data sets or
 * rows.
 */
export type DataSource = PlainSource | DatasetEntry | DatasetMix | readonly (string | DatasetEntry)[]

/** What is read of a path or an address, and how it is fetched. */
interface Opening {
  readonly options: PathOptions & { readonly split?: string }
  readonly fetching: FetchOptions
  /** What errors call the data set. */
  readonly name: string
}

type SourceOpener = (address: string, opening: Opening) => RowSource

/** How addresses are opened, by their scheme: `uc` for `uc://main.default.rows`. */
const OPENERS: Readonly<Record<string, SourceOpener>> = {
  uc: tableAddress,
  hf: hubAddress,
  https: webAddress,
  http: webAddress,
  kaggle: (address) => unread(`data sets of Kaggle are fetched first: lowrank pull ${address}`)(address),
}
const openUnknown = unread('such addresses are not read; download the file')

/**
 * Opens what was given for a data set. Looks at no file: `check()` of the source does.
 *
 * @param name What errors call it, for example `evalDataset`.
 * @param fetching How it is fetched where it is not on this machine.
 * @throws for what holds no rows, and for addresses that are not read
 */
export function openSource(source: DataSource, name = 'dataset', fetching: FetchOptions = {}): RowSource {
  const open = (path: PlainSource, options: Opening['options']): RowSource =>
    openPlain(path, { options, fetching, name })
  if (isEntryList(source)) return openEntryList(source, open)
  if (isIterable(source) || isRowSource(source) || !isEntry(source)) return open(source as PlainSource, {})
  return openEntry(source, open)
}

function openPlain(source: PlainSource, opening: Opening): RowSource {
  const { name, options } = opening
  const { split } = options
  if (typeof source === 'string') return openText(source, opening)
  if (isPaths(source)) {
    const isFetched = source.some((path) => schemeOf(path) !== undefined || isDatasetId(path))
    if (isFetched) return concatenated(source.map((path) => openText(path, opening)))
    expectNone(options, ['name', 'dataDir', 'dataFiles', 'revision', 'token'], 'a list of paths')
    return fileSource(source, split ?? defaultSplit(name))
  }
  expectWhole(split)
  expectNone(options, ['name', 'dataDir', 'dataFiles', 'revision', 'token'], 'rows of a program')
  // A table could be iterated too, but its rows are views that read as objects without keys.
  if (isArrowTable(source)) {
    const { batches } = source
    const count = batches.reduce((sum, { numRows }) => sum + numRows, 0)
    return { ...iterableSource(batches), count: async () => count }
  }
  if (isIterable(source)) return iterableSource(source)
  if (isRowSource(source)) return source
  if (isDelta(source)) return deltaTable(source)
  if (isQuery(source)) return lazySource(source.sql, async () => (await import('./sql-source.js')).sqlSource(source))
  throw new OptionError(
    `[data] expected a path, a glob or an iterable of rows for ${name}, got ${describeValue(source)}`,
  )
}

function openText(source: string, opening: Opening): RowSource {
  const scheme = schemeOf(source)
  if (scheme === undefined) return pathSource(source, opening)
  const open = Object.hasOwn(OPENERS, scheme) ? OPENERS[scheme] : undefined
  return (open ?? openUnknown)(source, opening)
}

/**
 * What a text without a scheme is: what is there under this path goes first, then the name of a dataset_info.json
 * beside it, then the id of a data set of the Hub. A folder may be a Delta table, whose log says which of its files
 * count.
 */
function pathSource(path: string, { options, fetching, name }: Opening): RowSource {
  const split = options.split ?? defaultSplit(name)
  const files = fileSource([path], split, options)
  let fromHub: RowSource | undefined
  const load = async (): Promise<RowSource> => {
    const found = await stat(path).catch(() => undefined)
    if (found === undefined) {
      const { findDescribed } = await import('./dataset-info.js')
      const described = await findDescribed(path)
      if (described !== undefined) return await openDescribed(described, { options, fetching, name })
      if (!isDatasetId(path)) return files
      fromHub ??= (await import('./hub-source.js')).hubSource(path, { ...options, split }, fetching)
      return fromHub
    }
    expectNone(options, ['revision', 'token'], `${path}, which is on this machine`, hubHint(path))
    if (found.isFile()) {
      const { DATASET_INFO, describedIn, expectNoDescriptions } = await import('./dataset-info.js')
      if (basename(path) === DATASET_INFO) {
        const { name: described, ...others } = options
        if (described !== undefined)
          return await openDescribed(await describedIn(path, described), { options: others, fetching, name })
        await expectNoDescriptions(path)
      }
      expectNone(options, ['name', 'dataDir', 'dataFiles'], `the file ${path}`)
    }
    const log = await stat(join(path, '_delta_log')).catch(() => undefined)
    if (!log?.isDirectory()) return files
    expectWhole(options.split)
    return deltaTable({ delta: path })
  }
  return lazySource(files.name, load)
}

/** What a dataset_info.json says goes first; the split may be another one than it names. */
async function openDescribed(described: DescribedDataset, { options, fetching, name }: Opening): Promise<RowSource> {
  const { convertedRows } = await import('./dataset-info.js')
  const { revision, token, streaming, split } = options
  expectNone(options, ['name', 'dataDir', 'dataFiles'], `a data set of dataset_info.json`)
  const over = { revision, token, streaming, split: described.entry.split ?? split }
  const given = Object.fromEntries(Object.entries(over).filter(([, value]) => value !== undefined && value !== false))
  return convertedRows(openSource({ ...described.entry, ...given }, name, fetching), described)
}

/** What a path that exists may have been meant for. */
function hubHint(path: string): string {
  return isDatasetId(path) ? `; for the data set of the Hub of that name write hf://datasets/${path}` : ''
}

function hubAddress(address: string, { options, fetching, name }: Opening): RowSource {
  const { id, part } = parseHubAddress(address)
  const twice = Object.keys(part).find((key) => options[key as keyof PathOptions] !== undefined)
  if (twice !== undefined) {
    throw new OptionError(
      `[data] expected ${twice} once, got it beside ${describeValue(address)}, which says it; remove one`,
    )
  }
  const split = options.split ?? defaultSplit(name)
  return lazySource(id, async () =>
    (await import('./hub-source.js')).hubSource(id, { ...options, ...part, split }, fetching),
  )
}

function webAddress(address: string, { options, fetching }: Opening): RowSource {
  expectWhole(options.split)
  expectNone(options, ['name', 'dataDir', 'dataFiles', 'revision'], 'the address of a file')
  const { token = fetching.token, streaming } = options
  return webSource(address, { ...fetching, ...(token !== undefined && { token }) }, streaming === true)
}

function tableAddress(address: string, { options }: Opening): RowSource {
  expectWhole(options.split)
  expectNone(
    options,
    ['name', 'dataDir', 'dataFiles', 'revision', 'token'],
    'a table of Unity Catalog',
    '; remove it, and write @v3 behind the table for its version 3',
  )
  // One source for all readings: it remembers the version of the first.
  let source: RowSource | undefined
  return lazySource(address, async () => {
    const { unityCatalogSource } = await import('./unity-catalog.js')
    source ??= unityCatalogSource(address)
    return source
  })
}

/** @throws for options of a data set that what it is does not have */
function expectNone(
  options: PathOptions,
  names: readonly (keyof PathOptions)[],
  what: string,
  hint = '; remove it',
): void {
  const given = names.find((name) => options[name] !== undefined && options[name] !== false)
  if (given === undefined) return
  const shown = given === 'name' ? 'name (--dataset-config)' : given
  throw new OptionError(`[data] expected no ${shown} for ${what}, got one${hint}`)
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
    count: async (signal) => await (await load()).count?.(signal),
    rows: (context) => delegated(async () => (await load()).rows(context)),
    batches: (context) => delegated(async () => batchesOf(await load(), context)),
    someRows: (context, isWanted) => delegated(async () => someRowsOf(await load(), context, isWanted)),
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
  return /^evalDataset\b/.test(name) ? ['validation', 'test', 'train'] : 'train'
}

/** Whether a text is a path on this machine, and not an address or the id of a data set of the Hub. */
export function isPath(text: string): boolean {
  return schemeOf(text) === undefined && (!isDatasetId(text) || existsSync(text))
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
function unread(remedy: string): (address: string) => never {
  return (address) => {
    throw new OptionError(`[data] expected a file, a glob or rows, got ${describeValue(address)}; ${remedy}`)
  }
}

/** `uc` of `uc://main.default.rows`; undefined for paths. */
function schemeOf(path: string): string | undefined {
  return /^(?:([a-z][a-z\d+.-]*):\/\/|(kaggle):)/i.exec(path)?.slice(1).find(Boolean)?.toLowerCase()
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
