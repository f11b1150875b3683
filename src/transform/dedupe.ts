/**
 * @file Leaves out rows that are there twice: equal after white space is normalised, near to one that stays, or with a
 * run of words of an evaluation set. The first of several stays. Rows pass through; only indexes are kept.
 */

import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { formatBytes, parseBytes } from '../bytes.js'
import { EvaluationRuns } from '../data/evaluation-runs.js'
import { HashSet } from '../data/hash-set.js'
import { NearIndex } from '../data/near-index.js'
import { describeOrigin } from '../data/row-origin.js'
import { shinglesOf } from '../data/shingles.js'
import { type DataSource, isDataSource } from '../data/sources/open-source.js'
import { OutOfMemoryError } from '../lowrank-error.js'
import { boolean, either, exactly, instance, integer, listOf, number, path, type Rule, text } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { type InputRow, NamedColumns, type ReadingOptions, readInput } from './input.js'
import { DATASET, OUTPUT, TRANSFORM_OPTIONS, type TransformOptions } from './options.js'
import { writeRowsAtomic } from './output.js'
import { normalizedText, textOfRow, valuesOf } from './texts.js'

/** What `dedupeRows` takes. */
export interface DedupeRowsOptions extends TransformOptions {
  /** Rows: a path, a glob, or anything that training takes as `dataset`. */
  dataset: DataSource
  /** Path of the file of the rows that stay, whose ending names its format; with a `/` at its end, a Delta table. */
  output: string
  /**
   * Columns whose texts count.
   * @default undefined: all columns, an id among them
   */
  columns?: readonly string[]
  /**
   * Whether `A` equals `a` where rows are equal. Near duplicates are found whatever their case.
   * @default false
   */
  ignoreCase?: boolean
  /**
   * Also leave out rows whose Jaccard similarity to one that stays is at least this; false: equal rows alone.
   * @default 0.8
   */
  threshold?: number | false
  /**
   * Words of a run, of which similarity is a share.
   * @default 5
   */
  shingleSize?: number
  /**
   * An evaluation set: rows that share a run of `ngramSize` words with it are left out.
   * @default undefined
   */
  evaluation?: DataSource
  /**
   * Words of a run that gives a row of the evaluation set away.
   * @default 13
   */
  ngramSize?: number
  /**
   * File for the rows that are left out, each with why, and with the row that stays in its place.
   * @default undefined: they are counted alone
   */
  removed?: string
  /**
   * Memory that the indexes may take, in bytes or as `2GiB`.
   * @default '2GiB'
   */
  memory?: number | string
}

const SIZE: Rule = {
  expected: 'an amount of memory such as 2GiB',
  accepts: (value) => (bytesOf(value) ?? 0) > 0,
  schema: { type: ['string', 'integer'] },
}

function bytesOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  return typeof value === 'string' ? parseBytes(value) : undefined
}

/** The options of `dedupeRows`. */
export const DEDUPE_ROWS_OPTIONS = {
  dataset: DATASET,
  output: OUTPUT,
  columns: {
    rule: listOf(text, 'a list of columns', { minItems: 1 }),
    otherwise: 'all, an id among them',
    help: 'columns whose texts count',
  },
  ignoreCase: { rule: boolean, default: false as boolean, help: 'A equals a' },
  threshold: {
    rule: either(number({ above: 0, max: 1 }), exactly(false, 'equal rows alone')),
    default: 0.8 as number | false,
    help: 'Jaccard similarity to a row that stays from which a row is left out',
  },
  shingleSize: {
    rule: integer({ min: 1 }),
    default: 5 as number,
    help: 'words of a run, of which similarity is a share',
  },
  evaluation: {
    rule: instance('a path, a glob or an iterable of rows', isDataSource),
    otherwise: 'none',
    help: 'evaluation set: rows that share a run of words with it are left out',
  },
  ngramSize: {
    rule: integer({ min: 1 }),
    default: 13 as number,
    help: 'words of a run that gives a row of the evaluation set away',
  },
  removed: { rule: path, otherwise: 'they are counted alone', help: 'file for the rows that are left out, with why' },
  memory: { rule: SIZE, default: '2GiB' as number | string, help: 'memory that the indexes may take' },
  ...TRANSFORM_OPTIONS,
} as const satisfies OptionTable<DedupeRowsOptions>

/** What became of the rows: `read` is `written`, `equal`, `near` and `contaminated` together. */
export interface DedupeReport {
  readonly output: string
  readonly read: number
  readonly written: number
  /** Rows equal to one that stays. */
  readonly equal: number
  /** Rows near to one that stays. */
  readonly near: number
  /** Rows that share a run of words with the evaluation set. */
  readonly contaminated: number
  /** Pairs of rows that were compared exactly. */
  readonly compared: number
  /** Most bytes that the indexes took in memory. */
  readonly memory: number
}

/**
 * Leaves out duplicates.
 *
 * @throws OutOfMemoryError where the indexes would take more than `memory`
 * @throws DataError naming the row that cannot be read, or one of `columns` that no row has
 */
export async function dedupeRows(options: DedupeRowsOptions): Promise<DedupeReport> {
  const { dataset, output, removed, evaluation, ...rest } = readOptions('dedupe', options, DEDUPE_ROWS_OPTIONS)
  const { signal, onProgress, threshold } = rest
  const paths = removed === undefined ? [output] : [output, removed]
  const runs = new EvaluationRuns(rest.ngramSize)
  if (evaluation !== undefined)
    for await (const { columns } of readInput(evaluation, { signal, outputs: paths }, 'evaluation'))
      runs.add(valuesOf(textOfRow(columns, undefined)))
  const near = threshold === false ? undefined : await NearIndex.open(threshold, dirname(resolve(output)))
  try {
    const judge = new Judge(rest, runs, near)
    const named = new NamedColumns('dedupe', rest.columns?.map((column) => ['columns', column] as const) ?? [])
    return await writeRowsAtomic(
      paths,
      async (write) => {
        for await (const row of readInput(dataset, { signal, onProgress, outputs: paths } satisfies ReadingOptions)) {
          named.see(row.columns)
          const reason = judge.judge(row)
          if (reason === undefined) await write(0, row.columns)
          else if (removed !== undefined) await write(1, new Map([...row.columns, ...removalOf(reason, row)]))
        }
        named.expectAll()
        return { output, ...judge.counts }
      },
      { signal },
    )
  } finally {
    near?.close()
  }
}

/** Why a row is left out. */
interface Reason {
  readonly reason: 'equal' | 'near' | 'contaminated'
  readonly similarity?: number
  /** The row that stays: its number among all rows that were read, from 1. */
  readonly for?: number
}

/** The columns that say why a row was left out. */
function removalOf({ reason, similarity, for: stays }: Reason, { origin }: InputRow): [string, unknown][] {
  return [
    ['removed_row', describeOrigin(origin)],
    ['removed_reason', reason],
    ['removed_similarity', similarity ?? null],
    ['removed_for', stays ?? null],
  ]
}

type JudgeOptions = Required<Pick<DedupeRowsOptions, 'ignoreCase' | 'shingleSize' | 'memory'>> &
  Pick<DedupeRowsOptions, 'columns'>

/** Decides which rows stay, and counts. */
class Judge {
  readonly #options: JudgeOptions
  readonly #budget: number
  readonly #runs: EvaluationRuns
  readonly #near: NearIndex | undefined
  readonly #equal = new HashSet()
  /** Number of each row in the index of near ones. */
  #rows = new Uint32Array(1024)
  #kept = 0
  readonly #counts = { read: 0, written: 0, equal: 0, near: 0, contaminated: 0 }
  #memory = 0

  constructor(options: JudgeOptions, runs: EvaluationRuns, near: NearIndex | undefined) {
    this.#options = options
    this.#budget = bytesOf(options.memory) as number
    this.#runs = runs
    this.#near = near
  }

  get counts(): Omit<DedupeReport, 'output'> {
    return { ...this.#counts, compared: this.#near?.compared ?? 0, memory: this.#memory }
  }

  /** Undefined where the row stays. */
  judge({ columns, row }: InputRow): Reason | undefined {
    this.#counts.read++
    const { columns: names, ignoreCase, shingleSize } = this.#options
    const rowText = textOfRow(columns, names)
    if (!this.#equal.add(digestOf(normalizedText(rowText, ignoreCase)))) return this.#leaveOut({ reason: 'equal' })
    if (this.#runs.count > 0 && this.#runs.isIn(valuesOf(rowText))) return this.#leaveOut({ reason: 'contaminated' })
    if (this.#near !== undefined) {
      const shingles = shinglesOf(rowText, shingleSize)
      const found = shingles.length === 0 ? undefined : this.#near.find(shingles)
      if (found !== undefined)
        return this.#leaveOut({ reason: 'near', similarity: found.similarity, for: this.#rows[found.id] as number })
      if (shingles.length > 0) this.#keep(shingles, row)
    }
    this.#counts.written++
    this.#expectRoom()
    return undefined
  }

  #leaveOut(reason: Reason): Reason {
    this.#counts[reason.reason]++
    return reason
  }

  #keep(shingles: Uint32Array, row: number): void {
    if (this.#kept === this.#rows.length) {
      const rows = new Uint32Array(2 * this.#kept)
      rows.set(this.#rows)
      this.#rows = rows
    }
    this.#rows[this.#kept++] = row
    this.#near?.add(shingles)
  }

  #expectRoom(): void {
    this.#memory = this.#equal.memory + this.#runs.memory + this.#rows.byteLength + (this.#near?.memory ?? 0)
    if (this.#memory <= this.#budget) return
    throw new OutOfMemoryError(
      `[dedupe] expected the indexes to fit into memory: ${formatBytes(this.#budget)}, got ${formatBytes(this.#memory)} ` +
        `after ${this.#counts.read} rows; raise memory, set threshold: false, or leave out equal rows in SQL`,
      { needed: this.#memory, budget: this.#budget },
    )
  }
}

/** The first 128 bits of SHA-256. */
function digestOf(normalized: string): Uint32Array {
  const digest = createHash('sha256').update(normalized).digest()
  return new Uint32Array([0, 4, 8, 12].map((at) => digest.readUInt32LE(at)))
}
