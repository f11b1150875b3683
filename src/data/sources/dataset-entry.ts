/** @file Data sets given as objects: which rows of which split, under which names, and mixes of several. */

import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { anything, boolean, integer, listOf, number, objectOf, oneOf, text } from '../../options/rules.js'
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

/** A data set, and which of its rows. */
export interface DatasetEntry extends RowSelection {
  /** Path, glob or folder, several of them, an iterable of rows, or an object that reads rows. */
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
  ...ROW_SELECTION,
} as const satisfies OptionTable<DatasetEntry>

/** What a mix of data sets may say. */
export const DATASET_MIX = {
  mix: { rule: listOf(anything, 'a list of data sets', { minItems: 1 }), help: 'data sets', isRequired: true },
  stoppingStrategy: { rule: oneOf(STOPPING_STRATEGIES), default: 'first_exhausted', help: 'when the mix ends' },
  ...ROW_SELECTION,
} as const satisfies OptionTable<DatasetMix>

/** Opens what an entry has as its path. */
type OpenPath = (path: PlainSource, split: string | undefined) => RowSource

/** Whether a value is a data set given as an object, whatever is in it. */
export function isEntry(value: unknown): value is DatasetEntry | DatasetMix {
  if (!isPlainObject(value) || Symbol.iterator in value || Symbol.asyncIterator in value) return false
  return ('path' in value || 'mix' in value) && typeof value.rows !== 'function'
}

/**
 * Whether a list is one of data sets: of paths and objects that have nothing but what an entry may have. Rows with a
 * column `path` have others beside it.
 */
export function isEntryList(value: unknown): value is readonly (string | DatasetEntry)[] {
  return (
    Array.isArray(value) &&
    value.some((item) => typeof item !== 'string') &&
    value.every(
      (item) =>
        typeof item === 'string' ||
        (isEntry(item) && Object.keys(item).every((key) => Object.hasOwn(DATASET_ENTRY, camelCase(key)))),
    )
  )
}

/** @throws OptionError for options that an entry does not take */
export function openEntry(given: DatasetEntry | DatasetMix, open: OpenPath): RowSource {
  const entry = Object.fromEntries(Object.entries(given).map(([key, value]) => [camelCase(key), value]))
  if ('mix' in entry) {
    const options = readOptions('data', entry as unknown as DatasetMix, DATASET_MIX)
    const parts = options.mix.map((part) => weighted(part, open))
    return choose(mixed(parts, options.stoppingStrategy, options.seed), options)
  }
  const options = readOptions('data', entry as unknown as DatasetEntry, DATASET_ENTRY)
  const { path, split, columns } = options
  const source =
    split === undefined
      ? open(path, undefined)
      : concatenated(parseSplit(split).map((slice) => sliced(open(path, slice.split), slice)))
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
  if (typeof item === 'string') return { source: open(item, undefined), weight: 1 }
  if (!isEntry(item) || 'mix' in item)
    throw new OptionError(`[data] expected paths or objects with a path in a mix, got ${describeValue(item)}`)
  return { source: openEntry(item, open), weight: item.weight ?? 1 }
}

function choose(source: RowSource, { shuffle, seed, select, limit }: RowSelection): RowSource {
  const ordered = shuffle ? shuffled(source, seed ?? ROW_SELECTION.seed.default, select ? undefined : limit) : source
  const chosen = select === undefined ? ordered : selected(ordered, select)
  return limit === undefined ? chosen : limited(chosen, limit)
}

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
