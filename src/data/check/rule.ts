/** @file What a rule of `lowrank data check` is. The list of them is in rules.ts. */

import type { Tokenizer } from '../../tokenizer/tokenizer.js'
import type { EvaluationRuns } from '../evaluation-runs.js'
import type { HashSet } from '../hash-set.js'
import type { RowWithContent } from '../inspect.js'
import type { NearIndex } from '../near-index.js'
import type { RowOrigin } from '../row-origin.js'
import type { RowTexts } from './row-texts.js'

/** Rows of a finding that are named; all are counted. */
export const MOST_ROWS = 5
/** Fewer rows do not tell what is usual. */
export const LEAST_ROWS = 50

/** A row as rules see it. */
export interface CheckedRow extends RowWithContent {
  readonly texts: RowTexts
}

/** A row as runs of words. */
export interface RowRuns {
  readonly origin: RowOrigin
  readonly runs: Uint32Array
}

/** What is known before the first row. */
export interface CheckContext {
  readonly tokenizer: Tokenizer
  /** Ids at which generation stops. */
  readonly stopTokenIds: ReadonlySet<number>
  /** Absent without an evaluation set. */
  readonly evaluation?: {
    readonly prompts: HashSet
    readonly runs: EvaluationRuns
    /** What its rows ask, without the words of the system. */
    readonly questions: readonly RowRuns[]
  }
  /** Indexes of texts that are nearly the same, empty at the beginning. */
  readonly near: { readonly rows: NearIndex; readonly prompts: NearIndex }
}

/** Looks at the rows of one data set, in their order. */
export interface Look {
  /** @returns what is wrong with the row in a few words; undefined: nothing */
  row(row: CheckedRow): string | undefined
  /** What only all rows together tell: further findings, and how many rows they stand for. */
  end?(): { readonly count: number; readonly rows: readonly FoundRow[] }
}

/** A row with a defect. */
export interface FoundRow extends RowOrigin {
  readonly detail: string
}

export interface Rule {
  readonly id: string
  /** 'error': training learns something wrong. 'warning': worth a look, and right in some sets. */
  readonly severity: 'error' | 'warning'
  /** What it finds, as the rest of "rows ...". */
  readonly finds: string
  readonly remedy: string
  /** Absent where the reader of the rows finds it. */
  readonly begin?: (context: CheckContext) => Look
}
