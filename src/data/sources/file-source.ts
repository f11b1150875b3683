/** @file Rows from files, given by paths and globs, or found in some other way. */

import { listNames } from '../../errors.js'
import { refuse } from '../bad-rows.js'
import type { DatasetChoice } from './dataset-files.js'
import { findFiles } from './find-files.js'
import { formatOf } from './formats.js'
import { type LocatedFile, localFile } from './located-file.js'
import { eachRow } from './row-batches.js'
import type { IsWanted, ReadContext, RowBatch, RowSource, SourceRow } from './row-source.js'

type Split = string | readonly string[] | undefined
type Choice = Omit<DatasetChoice, 'split'>

/**
 * The rows of all files that the paths and globs name, one file after the other.
 * @param split As `findFiles` takes it, and so `choice`.
 */
export function fileSource(patterns: readonly string[], split?: Split, choice: Choice = {}): RowSource {
  return locatedSource(listNames(patterns), async () => {
    const paths: string[] = []
    for (const pattern of patterns) paths.push(...(await findFiles(pattern, split, choice)))
    return paths.map((path) => localFile(path))
  })
}

/** The rows of files, one file after the other. @param locate Finds them, each time that they are read */
export function locatedSource(
  name: string,
  locate: (signal: AbortSignal | undefined) => Promise<readonly LocatedFile[]>,
): RowSource {
  return {
    name,
    async check(signal) {
      for (const located of await locate(signal)) {
        signal?.throwIfAborted()
        const file = await located.peek?.()
        try {
          if (file !== undefined) await formatOf(file, signal)
        } finally {
          await file?.close()
        }
      }
    },
    async count(signal) {
      let sum = 0
      for (const located of await locate(signal)) {
        signal?.throwIfAborted()
        const file = (await located.peek?.()) ?? (await located.open(() => {}, false))
        try {
          const count = await (await formatOf(file, signal)).count?.(file)
          if (count === undefined) return undefined
          sum += count
        } finally {
          await file.close()
        }
      }
      return sum
    },
    rows: (context) => rowsOf(locate, context),
    someRows: (context, isWanted) => rowsOf(locate, context, isWanted),
    batches: (context) => readFiles(locate, context, { rows: 0 }),
  }
}

function rowsOf(
  locate: (signal: AbortSignal | undefined) => Promise<readonly LocatedFile[]>,
  context: ReadContext,
  isWanted?: IsWanted,
): AsyncIterable<SourceRow & { readonly index: number }> {
  const unread = { rows: 0 }
  const onUnread = (rows: number): void => {
    unread.rows = rows
  }
  return eachRow(readFiles(locate, context, unread, isWanted), onUnread, isWanted !== undefined)
}

/** @param unread How many rows of the last batch nobody took, once that is known. */
async function* readFiles(
  locate: (signal: AbortSignal | undefined) => Promise<readonly LocatedFile[]>,
  context: ReadContext,
  unread: { readonly rows: number },
  isWanted?: IsWanted,
): AsyncGenerator<RowBatch> {
  const files = await locate(context.signal)
  const sizes: number[] = []
  for (const file of files) sizes.push((await file.size()) ?? 0)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  let before = 0
  // Rows of the files before this one.
  let first = 0
  for (const [index, located] of files.entries()) {
    const { location } = located
    const onBytes = (bytes: number): void => context.onFraction(total === 0 ? 1 : Math.min(1, (before + bytes) / total))
    context.onLocation?.(location)
    const file = await located.open(onBytes, context.needsHash)
    let rows = 0
    let end = 0
    let isWhole = false
    try {
      const format = await formatOf(file, context.signal)
      const isWantedHere = isWanted && ((from: number, to: number) => isWanted(first + from, first + to))
      for await (const batch of format.read(file, context.turns, context.onBadRow ?? refuse, isWantedHere)) {
        const { values, start = end } = batch
        rows += values.length
        end = start + values.length
        if (values.length > 0) yield first + start === 0 ? batch : startingAt(batch, first + start)
      }
      isWhole = rows === end
      if (isWhole) context.onLineage({ location, rows, ...file.content })
    } finally {
      // Whoever takes a part of the rows still says where they came from; the hash of a part says nothing.
      const size = sizes[index] as number
      if (!isWhole && rows > 0) context.onLineage({ location, rows: rows - unread.rows, ...(size > 0 && { size }) })
      await file.close()
    }
    before += sizes[index] as number
    first += end
  }
}

function startingAt(batch: RowBatch, start: number): RowBatch {
  return { values: batch.values, origin: (index) => batch.origin(index), start }
}
