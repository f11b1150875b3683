/**
 * @file Splits a data set into files by shares. Rows of a group stay on one side, and strata are divided alike. Which
 * row goes where depends on its group and the seed alone, not on the order of the rows.
 */

import { join } from 'node:path'
import type { DataSource } from '../data/sources/open-source.js'
import { nameInFormat, WRITE_OPTIONS, type WriteFormat } from '../data/writers/write-options.js'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { path, type Rule, text } from '../options/rules.js'
import { SEED } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { type Columns, NamedColumns, presentValue, type ReadingOptions, readInput, textOfValue } from './input.js'
import { DATASET, TRANSFORM_OPTIONS, type TransformOptions } from './options.js'
import { writeRowsAtomic } from './output.js'
import { groupOf, limitsOf, positionOf, type Shares, Strata, splitAt } from './splits.js'

/** How rows are divided. */
export interface SplitBy {
  /**
   * Name and share of each split; the shares make 1 together.
   * @default { train: 0.9, evaluation: 0.1 }
   */
  splits?: Shares
  /**
   * Another seed divides the rows in another way.
   * @default 42
   */
  seed?: number
  /**
   * Column, with dots into objects: rows that share its value stay together.
   * @default undefined: equal rows stay together, all others go by themselves
   */
  groupBy?: string
  /**
   * Column: each of its values is divided by the shares, to the nearest whole group. The data is read twice.
   * @default undefined: the shares hold for the whole, and only on average
   */
  stratifyBy?: string
}

/** What `splitRows` takes. */
export interface SplitRowsOptions extends TransformOptions, SplitBy {
  /** Rows: a path, a glob, or anything that training takes as `dataset`. */
  dataset: DataSource
  /** Directory of the files, `train.jsonl` and so on by the names of the splits. */
  outputDir: string
  /**
   * The format of the files.
   * @default 'jsonl'
   */
  format?: WriteFormat
}

const NAME = /^[a-z\d][\w-]*$/i
const isShares = (value: unknown): value is Shares =>
  isPlainObject(value) &&
  Object.keys(value).length > 0 &&
  Object.entries(value).every(
    ([name, share]) => NAME.test(name) && typeof share === 'number' && share > 0 && share <= 1,
  ) &&
  Math.abs(Object.values(value as Shares).reduce((sum, share) => sum + share, 0) - 1) < 1e-9

const SHARES: Rule = {
  expected: 'names and shares that make 1 together, as { train: 0.9, evaluation: 0.1 },',
  accepts: isShares,
}

/** The options of a division. */
export const SPLIT_BY = {
  splits: { rule: SHARES, default: { train: 0.9, evaluation: 0.1 } as Shares, help: 'name and share of each split' },
  seed: { ...SEED, help: 'another seed divides the rows in another way' },
  groupBy: {
    rule: text,
    otherwise: 'equal rows stay together, all others go by themselves',
    help: 'column: rows that share its value stay together',
  },
  stratifyBy: {
    rule: text,
    otherwise: 'the shares hold for the whole, and only on average',
    help: 'column: each of its values is divided by the shares; the data is read twice',
  },
} as const satisfies OptionTable<SplitBy>

/** The format of the files of splits. */
export const FORMAT_OF_SPLITS = {
  rule: WRITE_OPTIONS.format.rule,
  default: 'jsonl' as WriteFormat,
  help: 'format of the files: jsonl, csv, parquet or arrow',
} as const

/** The options of `splitRows`. */
export const SPLIT_ROWS_OPTIONS = {
  dataset: DATASET,
  outputDir: { rule: path, isRequired: true, help: 'directory of the files, one for each split' },
  format: FORMAT_OF_SPLITS,
  ...SPLIT_BY,
  ...TRANSFORM_OPTIONS,
} as const satisfies OptionTable<SplitRowsOptions>

/** What became of the rows: `read` is the rows of all splits together. */
export interface SplitReport {
  readonly outputDir: string
  readonly read: number
  readonly splits: Readonly<Record<string, { readonly path: string; readonly rows: number }>>
  /** Rows of each split by the value of `stratifyBy`, at most 100 values; empty where it was not given. */
  readonly strata: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** Rows without a value for `groupBy`: each goes by itself. */
  readonly withoutGroup: number
}

// A column of which each row has another value would fill the report.
const MOST_STRATA = 100

/**
 * Splits a data set into files.
 *
 * @throws OptionError where rows are to be stratified that can be read once only
 * @throws DataError where no row has the column of `groupBy` or `stratifyBy`
 */
export async function splitRows(options: SplitRowsOptions): Promise<SplitReport> {
  const { dataset, outputDir, ...rest } = readOptions('split', options, SPLIT_ROWS_OPTIONS)
  return await divide(dataset, outputDir, rest)
}

/** `splitRows` with options that are checked and complete. */
export async function divide(
  dataset: DataSource,
  outputDir: string,
  {
    format,
    splits,
    seed,
    groupBy,
    stratifyBy,
    ...reading
  }: Required<Pick<SplitBy, 'splits' | 'seed'>> & SplitBy & ReadingOptions & { readonly format: WriteFormat },
): Promise<SplitReport> {
  const names = Object.keys(splits)
  const paths = names.map((name) => join(outputDir, nameInFormat(name, format)))
  const strata = stratifyBy === undefined ? undefined : new Strata(seed)
  let expected: number | undefined
  if (strata !== undefined) {
    expected = 0
    const { signal } = reading
    for await (const { columns } of readInput(dataset, { signal, outputs: paths })) {
      expected++
      strata.add(groupOf(columns, groupBy), stratumOf(columns, stratifyBy))
    }
  }
  const limits = limitsOf(splits)
  const named = new NamedColumns('split', [
    ['groupBy', groupBy],
    ['stratifyBy', stratifyBy],
  ])
  const assigned = strata?.assign(splits)
  const rows = names.map(() => 0)
  const byStratum = new Map<string, number[]>()
  let withoutGroup = 0
  let read = 0
  return await writeRowsAtomic(
    paths,
    async (write) => {
      for await (const { columns } of readInput(dataset, { ...reading, outputs: paths })) {
        read++
        named.see(columns)
        const group = groupOf(columns, groupBy)
        if (groupBy !== undefined && presentValue(columns, groupBy) === undefined) withoutGroup++
        const split = assigned === undefined ? splitAt(positionOf(group, seed), limits) : assigned(group)
        if (split === undefined) throw readOnce(read)
        if (assigned !== undefined) countStratum(byStratum, stratumOf(columns, stratifyBy), split, names.length)
        rows[split] = (rows[split] as number) + 1
        await write(split, columns)
      }
      if (expected !== undefined && read !== expected) throw readOnce(read)
      named.expectAll()
      return {
        outputDir,
        read,
        splits: Object.fromEntries(
          names.map((name, index) => [name, { path: paths[index] as string, rows: rows[index] as number }]),
        ),
        strata: Object.fromEntries(
          [...byStratum].map(([stratum, counts]) => [
            stratum,
            Object.fromEntries(names.map((name, index) => [name, counts[index] as number])),
          ]),
        ),
        withoutGroup,
      }
    },
    { signal: reading.signal, sameColumns: true },
  )
}

function stratumOf(columns: Columns, stratifyBy: string | undefined): string {
  const value = stratifyBy === undefined ? undefined : presentValue(columns, stratifyBy)
  return value === undefined ? '' : textOfValue(value)
}

function countStratum(strata: Map<string, number[]>, stratum: string, split: number, splits: number): void {
  const counts = strata.get(stratum) ?? new Array<number>(splits).fill(0)
  counts[split] = (counts[split] as number) + 1
  if (strata.has(stratum) || strata.size < MOST_STRATA) strata.set(stratum, counts)
}

function readOnce(rows: number): OptionError {
  return new OptionError(
    `[split] expected the same rows when they are read a second time for stratifyBy, got ${describeValue(rows)} of them or others; ` +
      'give a file or a list of rows',
  )
}
