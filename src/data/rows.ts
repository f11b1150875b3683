/** @file Rows of a data set: reading them from files or iterables. What forms they have is in `row-forms.ts`. */

import { stat } from 'node:fs/promises'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { type Steps, Turns } from '../turns.js'
import { findFiles } from './files.js'
import { readRecords } from './records.js'
import type { RecognizedRow } from './row-coding.js'
import { rowError } from './row-error.js'

/**
 * Where rows come from: a path or glob, several of them, or an iterable of objects. A list may mix neither.
 */
export type DataSource = string | readonly string[] | Iterable<object> | AsyncIterable<object>

/** How much of a source has been read; filled in while rows come. */
export interface ReadProgress {
  /** From 0 to 1, by bytes of files or rows of an array; absent where the size is not known. */
  fraction?: number
}

type Recognize<Row> = (value: unknown, origin: string) => Steps<Row>

/**
 * Reads rows one after the other.
 *
 * @param recognize Tells the form of a row, and checks its columns.
 * @param turns Gives way to the event loop, also within a long row. Default: without a signal to end it.
 * @throws DataError naming file and line (or row) for a row that is not an object, lacks the columns of every form, has one of
 * the wrong type, or has another form than the rows before it in its file.
 */
export async function* readRows<Row extends RecognizedRow>(
  source: DataSource,
  recognize: Recognize<Row>,
  turns: Turns = new Turns(),
  progress: ReadProgress = {},
): AsyncGenerator<Row> {
  if (typeof source === 'string') {
    yield* readFiles(await findFiles(expectPath(source)), recognize, turns, progress)
    return
  }
  if (!isIterable(source)) {
    throw new OptionError(
      `[data] expected a path, a glob or an iterable of rows for dataset, got ${describeValue(source)}`,
    )
  }
  if (Array.isArray(source) && source.length > 0 && source.every((entry) => typeof entry === 'string')) {
    const paths: string[] = []
    for (const path of source as string[]) paths.push(...(await findFiles(expectPath(path))))
    yield* readFiles(paths, recognize, turns, progress)
    return
  }
  yield* sameForm(numbered(source as Iterable<object> | AsyncIterable<object>, progress), recognize, turns)
}

function expectPath(source: string): string {
  if (!/^[a-z]+:\/\//.test(source)) return source
  throw new OptionError(
    `[data] expected a file, a glob or rows, got ${describeValue(source)}; such addresses are not read; download the file`,
  )
}

async function* readFiles<Row extends RecognizedRow>(
  paths: readonly string[],
  recognize: Recognize<Row>,
  turns: Turns,
  progress: ReadProgress,
): AsyncGenerator<Row> {
  const sizes: number[] = []
  // A file that cannot be read says so when it is opened.
  for (const path of paths) sizes.push((await stat(path).catch(() => undefined))?.size ?? 0)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  let before = 0
  for (const [index, path] of paths.entries()) {
    const onBytes = (bytes: number): void => {
      progress.fraction = total === 0 ? 1 : Math.min(1, (before + bytes) / total)
    }
    yield* sameForm(readRecords(path, turns, onBytes), recognize, turns)
    before += sizes[index] as number
  }
}

async function* numbered(source: Iterable<object> | AsyncIterable<object>, progress: ReadProgress) {
  const total = Array.isArray(source) ? source.length : undefined
  let row = 0
  for await (const value of source) {
    if (total !== undefined) progress.fraction = Math.min(1, (row + 1) / total)
    yield { value: value as unknown, origin: `row ${++row}` }
  }
}

async function* sameForm<Row extends RecognizedRow>(
  records: AsyncIterable<{ value: unknown; origin: string }>,
  recognize: Recognize<Row>,
  turns: Turns,
): AsyncGenerator<Row> {
  let first: Row | undefined
  for await (const { value, origin } of records) {
    turns.throwIfAborted()
    const row = await turns.run(recognize(value, origin))
    first ??= row
    if (row.form !== first.form) {
      throw rowError(
        origin,
        `[data] expected one form of rows in a file, got ${row.form} in ${origin} after ${first.form} in ` +
          `${first.origin}; put each form into a file of its own`,
      )
    }
    yield row
  }
}

function isIterable(source: unknown): boolean {
  return typeof source === 'object' && source !== null && (Symbol.iterator in source || Symbol.asyncIterator in source)
}
