/** @file Data sets given as objects: which rows of which split, under which names, and mixes of several. */

import { describeValue, editDistance } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { anything, boolean, integer, listOf, number, objectOf, oneOf, text, textOf } from '../../options/rules.js'
import { type OptionTable, readOptions } from '../../options/table.js'
import { isPlainObject } from '../../values.js'
import type { DeltaTable } from '../delta/delta-source.js'
import { mixed, STOPPING_STRATEGIES, type StoppingStrategy, type WeightedSource } from './mix-rows.js'
import type { RowSource } from './row-source.js'
import { concatenated, limited, renamed, selected, shuffled, sliced } from './select-rows.js'
import { parseSplit } from './split-slices.js'
import type { SqlQuery } from './sql-source.js'

/** Rows without further words. */
export type PlainSource =
  | string
  | readonly string[]
  | Iterable<object>
  | AsyncIterable<object>
  | RowSource
  | DeltaTable
  | SqlQuery

/** Which rows are taken, and in which order. */
export interface RowSelection {
  /**
   * An order that only the seed decides, before `select` and `limit`. As many rows are held in memory as are taken.
   * @default false
   */
  readonly shuffle?: boolean
  /**
   * Seed of `shuffle`, and of the draws of a mix.
   * @default 42
   */
  readonly seed?: number
  /**
   * Numbers of rows, from 0, in the order in which they are taken.
   * @default all rows
   */
  readonly select?: readonly number[]
  /**
   * Rows that are taken at most.
   * @default all rows
   */
  readonly limit?: number
}

/** Which part of a data set is read, and how; names are those of `datasets.load_dataset`. */
export interface PathOptions {
  /**
   * Configuration of a data set of several: of the Hub, of a folder whose README.md names them, or of a
   * dataset_info.json as LLaMA-Factory has it. `config` says the same.
   * @default the only one, or the one that is called default
   */
  readonly name?: string
  /**
   * Folder of a data set that counts alone.
   * @default all of it
   */
  readonly dataDir?: string
  /**
   * Paths or globs within a data set, a list of them, or an object from splits to them.
   * @default what its README.md says, or the names of its files
   */
  readonly dataFiles?: string | readonly string[] | Readonly<Record<string, string | readonly string[]>>
  /**
   * Branch, tag or commit of a data set of the Hub.
   * @default 'main'
   */
  readonly revision?: string
  /**
   * Access token of the Hub; never part of an error.
   * @default that of the run, then HF_TOKEN, then the file that `hf auth login` writes
   */
  readonly token?: string
  /**
   * Train on the rows as they come, before all have arrived; see `streaming` of the training options. A file of a
   * server is read as it comes, and nothing of it is stored; else it goes into the cache.
   * @default false
   */
  readonly streaming?: boolean
}

/** A data set, and which of its rows. */
export interface DatasetEntry extends RowSelection, PathOptions {
  /**
   * Path, glob or folder, an address, the id of a data set of the Hub, several of them, an iterable of rows, or an
   * object that reads rows.
   */
  readonly path: PlainSource
  /**
   * Split of a folder, or a slice of one, as the package datasets writes it: `train[:10%]`, `train[100:200]`,
   * `train+validation`. What is no folder is all `train`.
   * @default 'train', and for what is evaluated 'validation', else 'test'
   */
  readonly split?: string
  /**
   * Names of columns as the option `columns` takes them, for this data set alone; that option comes after it.
   * @default {}
   */
  readonly columns?: Readonly<Record<string, string>>
  /**
   * Share of the rows in a mix, relative to the others.
   * @default 1 in a mix; a list without weights is no mix
   */
  readonly weight?: number
}

/** Several data sets, each row drawn from one of them by weight. */
export interface DatasetMix extends RowSelection {
  readonly mix: readonly (string | DatasetEntry)[]
  /**
   * 'first_exhausted' ends with the first data set that has given all of its rows; 'all_exhausted' with the last, and
   * those that end before begin anew.
   * @default 'first_exhausted'
   */
  readonly stoppingStrategy?: StoppingStrategy
}

const ROW_SELECTION = {
  shuffle: { rule: boolean, default: false, help: 'another order, from the seed' },
  seed: { rule: integer({ min: 0 }), default: 42, help: 'seed of shuffle and of the draws of a mix' },
  select: { rule: listOf(integer({ min: 0 }), 'a list of row numbers from 0'), help: 'rows by their number' },
  limit: { rule: integer({ min: 1 }), help: 'rows that are taken at most' },
} as const satisfies OptionTable<RowSelection>

/** What an entry of `dataset` may say. */
export const DATASET_ENTRY = {
  path: { rule: anything, help: 'path, glob or folder of rows, or rows', isRequired: true },
  split: { rule: text, help: 'split of a folder, or a slice of one' },
  columns: { rule: objectOf(text, 'an object from names to columns of the rows'), help: 'names of columns' },
  weight: { rule: number({ above: 0 }), help: 'share of the rows in a mix' },
  name: { rule: text, help: 'configuration of a data set of several' },
  dataDir: { rule: text, help: 'folder of a data set that counts alone' },
  dataFiles: { rule: anything, help: 'paths or globs within a data set' },
  revision: { rule: textOf('a branch, tag or commit'), help: 'branch, tag or commit of a data set of the Hub' },
  token: { rule: { ...textOf('an access token as text'), isSecret: true }, help: 'access token of the Hub' },
  streaming: {
    rule: boolean,
    default: false,
    help: 'train on the rows as they come; a file of a server is not stored',
  },
  ...ROW_SELECTION,
} as const satisfies OptionTable<DatasetEntry>

/** What a mix of data sets may say. */
export const DATASET_MIX = {
  mix: { rule: listOf(anything, 'a list of data sets', { minItems: 1 }), help: 'data sets', isRequired: true },
  stoppingStrategy: { rule: oneOf(STOPPING_STRATEGIES), default: 'first_exhausted', help: 'when the mix ends' },
  ...ROW_SELECTION,
} as const satisfies OptionTable<DatasetMix>

/** Opens what an entry has as its path. */
type OpenPath = (path: PlainSource, options: PathOptions & { readonly split?: string }) => RowSource

/** Whether a value is a data set given as an object, whatever is in it. */
export function isEntry(value: unknown): value is DatasetEntry | DatasetMix {
  if (!isPlainObject(value) || Symbol.iterator in value || Symbol.asyncIterator in value) return false
  return ('path' in value || 'mix' in value) && typeof value.rows !== 'function'
}

/** Whether a key is one of an entry but for a letter. */
function isNearEntryKey(key: string): boolean {
  return Object.keys(DATASET_ENTRY).some((name) => editDistance(entryKey(key), name) <= 1)
}

/**
 * Whether a list is one of data sets: of paths and objects that have nothing but what an entry may have, or what is
 * spelled nearly so, which is then refused by name. Rows with a column `path` have others beside it.
 */
export function isEntryList(value: unknown): value is readonly (string | DatasetEntry)[] {
  return (
    Array.isArray(value) &&
    value.some((item) => typeof item !== 'string') &&
    value.every((item) => typeof item === 'string' || (isEntry(item) && Object.keys(item).every(isNearEntryKey)))
  )
}

/** @throws OptionError for options that an entry does not take */
export function openEntry(given: DatasetEntry | DatasetMix, open: OpenPath): RowSource {
  const keys = Object.keys(given)
  if (keys.includes('name') && keys.includes('config'))
    throw new OptionError('[data] expected name of a data set once, got it as config too; remove one')
  const entry = Object.fromEntries(Object.entries(given).map(([key, value]) => [entryKey(key), value]))
  if ('mix' in entry) {
    const options = readOptions('data', entry as unknown as DatasetMix, DATASET_MIX)
    const parts = options.mix.map((part) => weighted(part, open))
    return choose(mixed(parts, options.stoppingStrategy, options.seed), options)
  }
  const options = readOptions('data', entry as unknown as DatasetEntry, DATASET_ENTRY)
  const { path, split, columns, name, dataDir, dataFiles, revision, token, streaming } = options
  const part = { name, dataDir, dataFiles, revision, token, streaming } as PathOptions
  const source =
    split === undefined
      ? open(path, part)
      : concatenated(parseSplit(split).map((slice) => sliced(open(path, { ...part, split: slice.split }), slice)))
  return choose(columns === undefined ? source : renamed(source, columns), options)
}

/** A list of data sets: a mix where they have weights, else one after the other. */
export function openEntryList(list: readonly (string | DatasetEntry)[], open: OpenPath): RowSource {
  const weights = list.map((item) => (typeof item === 'string' ? undefined : item.weight))
  if (weights.every((weight) => weight === undefined))
    return concatenated(list.map((item) => weighted(item, open).source))
  const lacking = weights.indexOf(undefined)
  if (lacking < 0) return openEntry({ mix: list }, open)
  throw new OptionError(
    `[data] expected a weight in each data set of a list or in none, got none in ${describeValue(list[lacking])}; add weight`,
  )
}

function weighted(item: string | DatasetEntry, open: OpenPath): WeightedSource {
  if (typeof item === 'string') return { source: open(item, {}), weight: 1 }
  if (!isEntry(item) || 'mix' in item)
    throw new OptionError(`[data] expected paths or objects with a path in a mix, got ${describeValue(item)}`)
  return { source: openEntry(item, open), weight: item.weight ?? 1 }
}

function choose(source: RowSource, { shuffle, seed, select, limit }: RowSelection): RowSource {
  const ordered = shuffle ? shuffled(source, seed ?? ROW_SELECTION.seed.default, select ? undefined : limit) : source
  const chosen = select === undefined ? ordered : selected(ordered, select)
  return limit === undefined ? chosen : limited(chosen, limit)
}

function entryKey(key: string): string {
  return key === 'config' ? 'name' : key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
