/** @file The count of what became of the rows of a data set, one after the other. */

import type { DataStatistics, DroppedKind } from './report.js'
import type { RowFacts } from './row-outcome.js'
import type { UnusualKind } from './unusual-rows.js'

// A set whose columns are data would fill the log with names.
const MOST_COLUMNS = 32

export class RowAccount {
  /** Counted so far; complete once `finish` was called. */
  readonly statistics: DataStatistics = {
    rows: 0,
    conversations: 0,
    truncatedRows: 0,
    rowsCutToNothing: 0,
    rowsWithoutTarget: 0,
    tokens: 0,
    supervisedTokens: 0,
    longest: 0,
  }
  readonly #dropped: Partial<Record<DroppedKind, number>> = {}
  readonly #unusual: Partial<Record<UnusualKind, number>> = {}
  readonly #ignored = new Set<string>()
  #nullArgumentRows = 0
  #quotedArgumentRows = 0

  add(facts: RowFacts): void {
    const { statistics } = this
    statistics.rows++
    if (facts.isConversation) statistics.conversations++
    if (facts.truncated) statistics.truncatedRows++
    for (const kind of facts.unusual) this.#unusual[kind] = (this.#unusual[kind] ?? 0) + 1
    for (const kind of facts.dropped) this.#dropped[kind] = (this.#dropped[kind] ?? 0) + 1
    for (const name of facts.ignoredColumns) this.#ignored.add(name)
    if (facts.hasNullArguments) this.#nullArgumentRows++
    if (facts.quotesArguments) this.#quotedArgumentRows++
    if (facts.isKept) {
      statistics.tokens += facts.tokens
      statistics.supervisedTokens += facts.supervisedTokens
      statistics.longest = Math.max(statistics.longest, facts.longest)
    } else if (facts.truncated) statistics.rowsCutToNothing++
    else statistics.rowsWithoutTarget++
  }

  finish(): DataStatistics {
    const { statistics } = this
    if (Object.keys(this.#dropped).length > 0) statistics.droppedParts = this.#dropped
    if (Object.keys(this.#unusual).length > 0) statistics.unusualRows = this.#unusual
    if (this.#ignored.size > 0) statistics.ignoredColumns = [...this.#ignored].slice(0, MOST_COLUMNS)
    if (this.#nullArgumentRows > 0) statistics.nullArgumentRows = this.#nullArgumentRows
    if (this.#quotedArgumentRows > 0) statistics.quotedArgumentRows = this.#quotedArgumentRows
    return statistics
  }
}
