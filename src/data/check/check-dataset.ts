/** @file Looks at every row of a data set once, as training sees it, and collects what the rules find. */

import { tmpdir } from 'node:os'
import { DataError } from '../../lowrank-error.js'
import { callback, instance, integer, listOf } from '../../options/rules.js'
import { type OptionTable, readOptions } from '../../options/table.js'
import type { Tokenizer } from '../../tokenizer/tokenizer.js'
import { EvaluationRuns } from '../evaluation-runs.js'
import { HashSet } from '../hash-set.js'
import { INSPECT_OPTIONS, type InspectOptions, inspectRows } from '../inspect.js'
import { NearIndex } from '../near-index.js'
import { withPresentNames } from '../options.js'
import { type DataSource, isDataSource } from '../sources/open-source.js'
import { NEAR, runsOf } from './near-rules.js'
import { rowTexts } from './row-texts.js'
import { type CheckContext, type CheckedRow, type FoundRow, MOST_ROWS, type RowRuns } from './rule.js'
import { RULES, UNREADABLE_ROW } from './rules.js'
import { digestOf } from './set-rules.js'

/** Words of a run that gives a row of the evaluation set away. */
const RUN_WORDS = 13

/** What one rule found. */
export interface Finding {
  /** The name of its section in docs/data-check.md. */
  readonly id: string
  /** 'error': training learns something wrong. 'warning': worth a look, and right in some sets. */
  readonly severity: 'error' | 'warning'
  /** What it finds, as the rest of "rows ...". */
  readonly finds: string
  readonly remedy: string
  /** How many rows. */
  readonly count: number
  /** The first of them. */
  readonly rows: readonly FoundRow[]
}

export interface CheckReport {
  /** Rows that were looked at. */
  readonly rows: number
  /** Rules that found something, in the order of the list. */
  readonly findings: readonly Finding[]
}

export interface CheckOptions extends InspectOptions {
  /**
   * An evaluation set, whose rows must not be learnt.
   * @default none
   */
  evaluation?: DataSource
  /**
   * Further ids at which generation stops, beside those of the tokenizer, as those of `generation_config.json`.
   * @default []
   */
  stopTokenIds?: readonly number[]
  /**
   * Called after each row with their number, and the share of the data that was read where its size is known.
   * @default none
   */
  onProgress?: (rows: number, fraction: number | undefined) => void
}

/** The options of `checkDataset` and `mendRows`. */
export const CHECK_OPTIONS = {
  ...INSPECT_OPTIONS,
  evaluation: {
    rule: instance('a path, a glob or an iterable of rows', isDataSource),
    otherwise: 'none',
    help: 'evaluation set, whose rows must not be learnt',
  },
  stopTokenIds: {
    rule: listOf(integer({ min: 0 }), 'token ids'),
    default: [] as readonly number[],
    help: 'further ids at which generation stops, beside those of the tokenizer',
  },
  onProgress: { rule: callback, otherwise: 'none', help: 'told the rows checked so far, and their share' },
} as const satisfies OptionTable<CheckOptions>

/** Takes each row with the rules that found something in it alone. */
type OnCheckedRow = (row: CheckedRow, found: ReadonlySet<string>) => Promise<void>

/**
 * Looks at every row once, as training sees it, and tells what would waste a run: docs/data-check.md has the rules.
 *
 * @throws DataError for a source that cannot be read or has no rows, and for a defect in the evaluation set
 */
export async function checkDataset(
  source: DataSource,
  tokenizer: Tokenizer,
  options: CheckOptions = {},
): Promise<CheckReport> {
  return await checkEachRow(source, tokenizer, options)
}

/** As `checkDataset`, for those who also need the rows. */
export async function checkEachRow(
  source: DataSource,
  tokenizer: Tokenizer,
  given: CheckOptions,
  onRow?: OnCheckedRow,
): Promise<CheckReport> {
  const {
    evaluation,
    stopTokenIds,
    onProgress = () => {},
    ...options
  } = readOptions('data', withPresentNames('data', given), CHECK_OPTIONS)
  const near = { rows: await NearIndex.open(NEAR, tmpdir()), prompts: await NearIndex.open(NEAR, tmpdir()) }
  try {
    const context: CheckContext = {
      tokenizer,
      stopTokenIds: new Set([...tokenizer.eosTokenIds, ...stopTokenIds]),
      near,
      ...(evaluation !== undefined && { evaluation: await readEvaluation(evaluation, tokenizer, options) }),
    }
    return await checkRows(source, options, context, onProgress, onRow)
  } finally {
    near.rows.close()
    near.prompts.close()
  }
}

async function checkRows(
  source: DataSource,
  options: InspectOptions,
  context: CheckContext,
  onProgress: NonNullable<CheckOptions['onProgress']>,
  onRow: OnCheckedRow | undefined,
): Promise<CheckReport> {
  const looks = RULES.map((rule) => ({ rule, look: rule.begin?.(context), count: 0, rows: [] as FoundRow[] }))
  let rows = 0
  let fraction: number | undefined
  const onFraction = (share: number): void => {
    fraction = share
  }
  const unreadable = (error: DataError): void => {
    const entry = looks.find(({ rule }) => rule.id === UNREADABLE_ROW)
    if (error.row === undefined || entry === undefined) throw error
    entry.count++
    if (entry.rows.length >= MOST_ROWS) return
    entry.rows.push({ ...(error.file !== undefined && { file: error.file }), row: error.row, detail: error.message })
  }
  const reading = { ...options, onSkippedRow: unreadable }
  try {
    for await (const seen of inspectRows(source, context.tokenizer, reading, onFraction)) {
      rows++
      const row = { ...seen, texts: rowTexts(seen.contents) }
      const found = new Set<string>()
      for (const entry of looks) {
        const detail = entry.look?.row(row)
        if (detail === undefined) continue
        found.add(entry.rule.id)
        entry.count++
        if (entry.rows.length < MOST_ROWS) entry.rows.push({ ...seen.row.origin, detail })
      }
      await onRow?.(row, found)
      onProgress(rows, fraction)
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    unreadable(error)
  }
  // Training refuses such a file: an export that broke off must not look clean.
  if (rows === 0 && looks.every(({ count }) => count === 0))
    throw new DataError(
      `[data] expected at least one row${typeof source === 'string' ? ` in ${source}` : ''}, got none; check that the file is whole`,
    )
  for (const entry of looks) {
    const last = entry.look?.end?.()
    entry.count += last?.count ?? 0
    entry.rows.push(...(last?.rows ?? []))
  }
  const found = looks.filter(({ count }) => count > 0)
  return {
    rows,
    findings: found.map(({ rule: { id, severity, finds, remedy }, count, rows }) => ({
      id,
      severity,
      finds,
      remedy,
      count,
      rows,
    })),
  }
}

async function readEvaluation(
  source: DataSource,
  tokenizer: Tokenizer,
  options: InspectOptions,
): Promise<NonNullable<CheckContext['evaluation']>> {
  const prompts = new HashSet()
  const questions: RowRuns[] = []
  const runs = new EvaluationRuns(RUN_WORDS)
  for await (const { row, contents } of inspectRows(source, tokenizer, options, () => {})) {
    const { prompt, question, own } = rowTexts(contents)
    if (prompt !== undefined) prompts.add(digestOf([prompt.trim()]))
    if (question !== undefined) questions.push({ origin: row.origin, runs: runsOf(question) })
    runs.add(own)
  }
  return { prompts, runs, questions }
}
