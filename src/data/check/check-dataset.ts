/** @file Looks at every row of a data set once, as training sees it, and collects what the rules find. */

import { DataError } from '../../lowrank-error.js'
import type { Tokenizer } from '../../tokenizer/tokenizer.js'
import { EvaluationRuns } from '../evaluation-runs.js'
import { HashSet } from '../hash-set.js'
import { type InspectOptions, inspectRows } from '../inspect.js'
import type { DataSource } from '../sources/open-source.js'
import { rowTexts } from './row-texts.js'
import { type CheckContext, type FoundRow, MOST_ROWS, type Rule } from './rule.js'
import { RULES, UNREADABLE_ROW } from './rules.js'
import { digestOf } from './set-rules.js'

/** Words of a run that gives a row of the evaluation set away. */
const RUN_WORDS = 13

/** What one rule found. */
export interface Finding extends Pick<Rule, 'id' | 'severity' | 'finds' | 'remedy'> {
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
  /** Rows that must not be learnt. Default: none. */
  evaluation?: DataSource
  /** Further ids at which generation stops, beside those of the tokenizer. Default: none. */
  stopTokenIds?: readonly number[]
  /** Told after each row how many there were, and the share of the data that was read where its size is known. */
  onProgress?: (rows: number, fraction: number | undefined) => void
}

/** @throws DataError for a source that cannot be read, and for a defect in the evaluation set */
export async function checkDataset(
  source: DataSource,
  tokenizer: Tokenizer,
  { evaluation, stopTokenIds = [], onProgress = () => {}, ...options }: CheckOptions = {},
): Promise<CheckReport> {
  const context: CheckContext = {
    tokenizer,
    stopTokenIds: new Set([...tokenizer.eosTokenIds, ...stopTokenIds]),
    ...(evaluation !== undefined && { evaluation: await readEvaluation(evaluation, tokenizer, options) }),
  }
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
    for await (const seen of inspectRows(source, tokenizer, reading, onFraction)) {
      rows++
      const row = { ...seen, texts: rowTexts(seen.contents) }
      for (const entry of looks) {
        const detail = entry.look?.row(row)
        if (detail === undefined) continue
        entry.count++
        if (entry.rows.length < MOST_ROWS) entry.rows.push({ ...seen.row.origin, detail })
      }
      onProgress(rows, fraction)
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    unreadable(error)
  }
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
  const runs = new EvaluationRuns(RUN_WORDS)
  for await (const { contents } of inspectRows(source, tokenizer, options, () => {})) {
    const { prompt, own } = rowTexts(contents)
    if (prompt !== undefined) prompts.add(digestOf([prompt.trim()]))
    runs.add(own)
  }
  return { prompts, runs }
}
