/**
 * @file Rows that a transformation writes: as JSON Lines, to files that take their names together once all are whole.
 * A killed process leaves what was there before.
 */

import { resolve } from 'node:path'
import { fillFilesAtomic, type StagedFile } from '../atomic-write.js'
import { describeValue } from '../errors.js'
import { jsonText } from '../lossless-json.js'
import { OptionError } from '../lowrank-error.js'

/** What a row is made of. A Map keeps the order of its columns whatever their names are. */
type OutputRow = ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>

/** Writes rows to one of several files. */
export type WriteRow = (file: number, row: OutputRow) => Promise<void>

// One write of so many characters costs little beside making them.
const PIECE_CHARACTERS = 1 << 16

/**
 * Writes rows to the files at `paths`; none of them is changed unless all are whole.
 * @throws where a file has another ending than `.jsonl`, or stands there twice
 */
export async function writeRowsAtomic<T>(paths: readonly string[], fill: (write: WriteRow) => Promise<T>): Promise<T> {
  for (const path of paths) expectJsonLines(path)
  expectDifferent(paths)
  return await fillFilesAtomic(paths, async (files) => {
    const pending = paths.map(() => '')
    const flush = async (index: number): Promise<void> => {
      const piece = Buffer.from(pending[index] as string)
      pending[index] = ''
      if (piece.length > 0) await (files[index] as StagedFile).write(piece)
    }
    const result = await fill(async (index, row) => {
      pending[index] += lineOf(row)
      if ((pending[index] as string).length >= PIECE_CHARACTERS) await flush(index)
    })
    for (const index of paths.keys()) await flush(index)
    return result
  })
}

function expectJsonLines(path: string): void {
  if (/\.jsonl$/i.test(path)) return
  throw new OptionError(`[output] expected a path that ends in .jsonl for output, got ${describeValue(path)}`)
}

function expectDifferent(paths: readonly string[]): void {
  const twice = paths.find((path, index) => paths.some((other, at) => at < index && resolve(other) === resolve(path)))
  if (twice === undefined) return
  throw new OptionError(`[output] expected a file of its own for each output, got ${describeValue(twice)} twice`)
}

function lineOf(row: OutputRow): string {
  const text = jsonText(row)
  // UTF-8 has no form of half a pair of surrogates; JSON has.
  return `${text.replace(/\p{Surrogate}/gu, escaped)}\n`
}

function escaped(half: string): string {
  return `\\u${half.charCodeAt(0).toString(16)}`
}
