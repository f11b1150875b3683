/**
 * @file A copy of a data set without the defects that can be mended without guessing. Each row whose text was changed
 * is looked at again: it is written as it was where the change did not mend it.
 */

import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { type CheckOptions, type CheckReport, checkEachRow } from '../data/check/check-dataset.js'
import { rowTexts } from '../data/check/row-texts.js'
import type { CheckedRow, Look } from '../data/check/rule.js'
import { UNREADABLE_ROW } from '../data/check/rules.js'
import { digestOfRow } from '../data/check/set-rules.js'
import { byteOrderMark, carriageReturn } from '../data/check/text-rules.js'
import { doubledBos, doubledStop } from '../data/check/token-rules.js'
import { HashSet } from '../data/hash-set.js'
import { inspectRows } from '../data/inspect.js'
import { describeOrigin, rowError } from '../data/row-origin.js'
import type { DataSource } from '../data/sources/open-source.js'
import type { RowSource } from '../data/sources/row-source.js'
import { saysSomething } from '../data/unusual-rows.js'
import { DataError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { textMends } from './mend-texts.js'
import { type WriteRow, writeRowsAtomic } from './output.js'

/** What became of the rows: `read` is `written` and all of `leftOut` together. */
export interface MendReport extends CheckReport {
  readonly output: string
  readonly read: number
  readonly written: number
  /** Rows that are not written, by the id of a rule. */
  readonly leftOut: Readonly<Record<string, number>>
  /** Rows of which the text was changed, by the id of a rule. */
  readonly mended: Readonly<Record<string, number>>
  /** Rows of `output` whose defect stays, and rows that only all together make a finding, by the id of a rule. */
  readonly notMended: Readonly<Record<string, number>>
}

// A text may begin or end with a special token more often than twice.
const MOST_CHANGES = 8

/**
 * Checks a data set as `checkDataset` does, and writes a copy without byte order marks and CR LF in texts, doubled BOS
 * and stop tokens, equal rows, and rows that have no answer or nothing to learn. The data set itself is not changed.
 *
 * @param output Path of the copy, whose ending names its format; with a `/` at its end, a Delta table.
 * @throws DataError for a row that cannot be read, unless `onError: 'skip'` leaves such rows out
 */
export async function mendRows(
  dataset: DataSource,
  tokenizer: Tokenizer,
  output: string,
  options: CheckOptions = {},
): Promise<MendReport> {
  return await writeRowsAtomic([output], async (write) => {
    const mender = new Mender(tokenizer, output, options, write)
    const report = await checkEachRow(dataset, tokenizer, options, (row, found) => mender.take(row, found))
    const unreadable = report.findings.find(({ id }) => id === UNREADABLE_ROW)
    if (unreadable !== undefined && options.onError !== 'skip')
      throw new DataError(
        `${unreadable.rows[0]?.detail}. Nothing is written; onError: 'skip' leaves such rows out (--set training.onError=skip)`,
      )
    return { ...report, output, ...mender.counts(report) }
  })
}

class Mender {
  readonly #tokenizer: Tokenizer
  readonly #output: string
  readonly #options: CheckOptions
  readonly #write: WriteRow
  readonly #mends: ReturnType<typeof textMends>
  readonly #looks: Readonly<Record<string, Look>>
  readonly #written = new HashSet()
  readonly #counts = { leftOut: new Map<string, number>(), mended: new Map<string, number>() }
  /** Findings of rows that are written as they are. */
  readonly #stays = new Map<string, number>()
  #read = 0
  #first: CheckedRow['row'] | undefined

  constructor(tokenizer: Tokenizer, output: string, options: CheckOptions, write: WriteRow) {
    const { evaluation: _, onProgress: __, stopTokenIds = [], ...inspecting } = options
    const stops = new Set([...tokenizer.eosTokenIds, ...stopTokenIds])
    const context = { tokenizer, stopTokenIds: stops }
    this.#tokenizer = tokenizer
    this.#output = output
    this.#options = inspecting
    this.#write = write
    this.#mends = textMends(tokenizer, stops)
    this.#looks = {
      'byte-order-mark': byteOrderMark(),
      'carriage-return': carriageReturn(),
      'doubled-bos': doubledBos(context),
      'doubled-stop': doubledStop(context),
    }
  }

  async take(checked: CheckedRow, found: ReadonlySet<string>): Promise<void> {
    this.#read++
    this.#expectSound(checked)
    const useless = uselessBy(checked, found)
    if (useless !== undefined) return count(this.#counts.leftOut, useless)
    let row = checked
    for (const id of found) {
      if (id === 'duplicate-row') continue
      const better = await this.#mend(row, id)
      count(better === undefined ? this.#stays : this.#counts.mended, id)
      row = better ?? row
    }
    // Rows may be equal once they are mended.
    if (!this.#written.add(digestOfRow(row))) return count(this.#counts.leftOut, 'duplicate-row')
    await this.#write(0, row.value as ReadonlyMap<string, unknown>)
  }

  counts({ findings }: CheckReport): Omit<MendReport, 'output' | keyof CheckReport> & { rows: number } {
    const { leftOut, mended } = this.#counts
    const skipped = findings.find(({ id }) => id === UNREADABLE_ROW)?.count ?? 0
    if (skipped > 0) leftOut.set(UNREADABLE_ROW, skipped)
    const isOfRows = (id: string): boolean => [leftOut, mended, this.#stays].some((counts) => counts.has(id))
    const together = findings.filter(({ id }) => !isOfRows(id)).map(({ id, count }) => [id, count] as const)
    const lost = [...leftOut.values()].reduce((sum, number) => sum + number, 0)
    return {
      rows: this.#read,
      read: this.#read + skipped,
      written: this.#read + skipped - lost,
      leftOut: Object.fromEntries(leftOut),
      mended: Object.fromEntries(mended),
      notMended: Object.fromEntries([...this.#stays, ...together]),
    }
  }

  /** The row in which the rule finds nothing any more; undefined where it still does. */
  async #mend(row: CheckedRow, id: string): Promise<CheckedRow | undefined> {
    const mend = this.#mends[id]
    const look = this.#looks[id]
    if (mend === undefined || look === undefined) return undefined
    let better = row
    for (let changes = 0; changes < MOST_CHANGES; changes++) {
      const value = mend(better.value, better.texts)
      const again = value === better.value ? undefined : await this.#inspect(value, row)
      if (again === undefined) return undefined
      if (look.row(again) === undefined) return again
      better = again
    }
    return undefined
  }

  async #inspect(value: unknown, { row: { origin } }: CheckedRow): Promise<CheckedRow | undefined> {
    const source: RowSource = {
      name: 'rows',
      async *rows() {
        yield { value, origin }
      },
    }
    try {
      for await (const seen of inspectRows(source, this.#tokenizer, this.#options, () => {}))
        return { ...seen, texts: rowTexts(seen.contents) }
    } catch (error) {
      if (!(error instanceof DataError)) throw error
    }
    return undefined
  }

  #expectSound({ row }: CheckedRow): void {
    const { file } = row.origin
    const isOutput = file !== undefined && file !== this.#first?.origin.file && isSameFile(file, this.#output)
    if (isOutput)
      throw new DataError(
        `[data] expected another file than ${file} for the mended rows, which come from it; name another`,
      )
    this.#first ??= row
    if (row.form === this.#first.form) return
    throw rowError(
      row.origin,
      `[data] expected one form of rows to mend, got ${row.form} in ${describeOrigin(row.origin)} after ${this.#first.form} in ` +
        `${describeOrigin(this.#first.origin)}; mend each file by itself`,
    )
  }
}

function count(counts: Map<string, number>, id: string): void {
  counts.set(id, (counts.get(id) ?? 0) + 1)
}

/** The rule by which nobody misses the row. */
function uselessBy({ row, contents, inspected }: CheckedRow, found: ReadonlySet<string>): string | undefined {
  if (inspected.objective !== undefined) return undefined
  const learnsNothing = inspected.sequences.every(({ weights }) => !weights.some((weight) => weight > 0))
  if (found.has('nothing-to-learn') && learnsNothing) return 'nothing-to-learn'
  if (!found.has('empty-answer')) return undefined
  const answers = contents.flatMap((content) =>
    'messages' in content ? content.messages.filter(({ role }) => role === 'assistant') : [],
  )
  // One empty answer among others is for the one who wrote the row to mend.
  return row.form === 'completion' || !answers.some(saysSomething) ? 'empty-answer' : undefined
}

function isSameFile(first: string, second: string): boolean {
  if (resolve(first) === resolve(second)) return true
  try {
    return realpathSync(first) === realpathSync(second)
  } catch {
    return false
  }
}
