/**
 * @file Examples before the questions of a task: which rows they are, in what order, and never the row itself. Names
 * and order are those of lm-evaluation-harness.
 */

import { createHash, type Hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { isEntry, isEntryList } from '../data/sources/dataset-entry.js'
import { type DataSource, openSource } from '../data/sources/open-source.js'
import { describeValue } from '../errors.js'
import { DataError, OptionError } from '../lowrank-error.js'
import { isPlainObject } from '../values.js'
import type { AskingOptions } from './asking-options.js'
import type { FewshotReport, TaskWarning } from './evaluation-report.js'
import { PythonRandom } from './python-sample.js'
import type { TaskRows } from './read-task-rows.js'
import type { FewshotExample } from './row-prompt.js'
import type { RowColumns } from './row-template.js'

/** The options of examples, with their defaults. */
export interface FewshotOptions
  extends Pick<AskingOptions, 'fewshotSplit' | 'fewshotSamples'>,
    Required<Pick<AskingOptions, 'numFewshot' | 'fewshotSampler' | 'fewshotSeed'>> {
  readonly dataset: DataSource
}

/** A row that may be an example. */
export interface PoolRow {
  readonly columns: RowColumns
  readonly example: FewshotExample
}

/** Where examples come from, and whether these are the rows that are asked. */
export interface FewshotSource {
  readonly dataset: DataSource
  readonly isSame: boolean
}

/** @throws OptionError for options that exclude each other, and for a split of rows that have none */
export function fewshotSource(
  where: string,
  { dataset, fewshotSplit, fewshotSamples }: Pick<FewshotOptions, 'dataset' | 'fewshotSplit' | 'fewshotSamples'>,
): FewshotSource {
  if (fewshotSamples !== undefined) {
    if (fewshotSplit === undefined) return { dataset: fewshotSamples, isSame: false }
    throw new OptionError(
      `[${where}] expected fewshotSplit or fewshotSamples, got both; an entry of fewshotSamples may have a split of its own`,
    )
  }
  if (fewshotSplit !== undefined) {
    if (typeof dataset === 'string') return { dataset: { path: dataset, split: fewshotSplit }, isSame: false }
    if (isPlainObject(dataset) && isEntry(dataset) && !isEntryList(dataset) && 'path' in dataset) {
      // Rows are chosen by number among those of one split.
      const { select: _, ...entry } = dataset as { path: string; select?: unknown; split?: string }
      return { dataset: { ...entry, split: fewshotSplit } as DataSource, isSame: entry.split === fewshotSplit }
    }
    throw new OptionError(
      `[${where}] expected a dataset with splits for fewshotSplit ${describeValue(fewshotSplit)}, got rows or several data sets; give the rows of ` +
        'examples as fewshotSamples',
    )
  }
  if (openSource(dataset, 'dataset').readsOnce !== true) return { dataset, isSame: true }
  throw new OptionError(
    `[${where}] expected rows that can be read twice for numFewshot, got rows that can be read once; give a list or a file, or fewshotSamples`,
  )
}

/** Draws the examples of each row. Each draw goes on where the one before ended, as in lm-evaluation-harness. */
export class Fewshot {
  readonly #where: string
  readonly #options: FewshotOptions
  readonly #pool: TaskRows<PoolRow>
  readonly #random: PythonRandom
  readonly #hash: Hash = createHash('sha256')
  readonly #drawn: number
  /** What became of rows that are no examples; empty where the task itself tells it. */
  readonly warnings: readonly TaskWarning[]

  /** @throws DataError where there are too few rows */
  constructor(where: string, options: FewshotOptions, pool: TaskRows<PoolRow>, isSame: boolean) {
    const { numFewshot, fewshotSeed } = options
    this.#where = where
    this.#options = options
    this.#pool = pool
    this.warnings = isSame
      ? []
      : pool.warnings.map((warning) => ({ ...warning, message: `examples: ${warning.message}` }))
    this.#random = new PythonRandom(fewshotSeed)
    // One more where the row itself may be among them.
    this.#drawn = numFewshot + Number(isSame)
    if (pool.rows.length < this.#drawn)
      throw new DataError(
        `[${where}] expected at least ${this.#drawn} rows for numFewshot ${numFewshot}, got ${pool.rows.length}; take fewer, or give more rows ` +
          'as fewshotSamples',
      )
  }

  /** The examples of the next row. @throws DataError where all rows but too few are the row itself */
  next(columns: RowColumns, origin: string): readonly FewshotExample[] {
    const { numFewshot, fewshotSampler } = this.#options
    const { rows } = this.#pool
    const places =
      fewshotSampler === 'first_n'
        ? Array.from({ length: this.#drawn }, (_, place) => place)
        : this.#random.sample(rows.length, this.#drawn)
    const isOther = (place: number): boolean => !isDeepStrictEqual((rows[place] as PoolRow).columns, columns)
    const chosen = places.filter(isOther).slice(0, numFewshot)
    // Rows that say the same as the one that is asked are no examples either; the first others stand in.
    for (let place = 0; chosen.length < numFewshot && place < rows.length; place++)
      if (!chosen.includes(place) && isOther(place)) chosen.push(place)
    if (chosen.length === numFewshot) return chosen.map((place) => (rows[place] as PoolRow).example)
    throw new DataError(
      `[${this.#where}] expected ${numFewshot} examples for ${origin}, got ${chosen.length}: the other rows say the same as it; give other rows ` +
        'as fewshotSamples',
    )
  }

  /** Takes what a row was asked into the hash. */
  asked(text: string): void {
    this.#hash.update(`${Buffer.byteLength(text)}:${text}`)
  }

  /** What the report says of examples, once all rows are read. */
  report(): FewshotReport {
    const { numFewshot, fewshotSampler, fewshotSeed } = this.#options
    const { rows, lineage } = this.#pool
    return {
      numFewshot,
      sampler: fewshotSampler,
      ...(fewshotSampler === 'default' && { seed: fewshotSeed }),
      rowCount: rows.length,
      lineage,
      promptsSha256: this.#hash.digest('hex'),
    }
  }
}
