/** @file Rows from files, given by paths and globs. */

import { stat } from 'node:fs/promises'
import { listNames } from '../../errors.js'
import { refuse } from '../bad-rows.js'
import { DataFile } from './data-file.js'
import { findFiles } from './find-files.js'
import { formatOf } from './formats.js'
import { eachRow } from './row-batches.js'
import type { ReadContext, RowBatch, RowSource } from './row-source.js'

type Split = string | readonly string[] | undefined

/**
 * The rows of all files that the paths and globs name, one file after the other.
 * @param split As `findFiles` takes it.
 */
export function fileSource(patterns: readonly string[], split?: Split): RowSource {
  return {
    name: listNames(patterns),
    async check(signal) {
      for (const path of await findAll(patterns, split)) {
        signal?.throwIfAborted()
        const file = await DataFile.open(path)
        try {
          await formatOf(file)
        } finally {
          await file.close()
        }
      }
    },
    rows(context) {
      const unread = { rows: 0 }
      return eachRow(readFiles(patterns, split, context, unread), (rows) => {
        unread.rows = rows
      })
    },
    batches: (context) => readFiles(patterns, split, context, { rows: 0 }),
  }
}

/** @param unread How many rows of the last batch nobody took, once that is known. */
async function* readFiles(
  patterns: readonly string[],
  split: Split,
  context: ReadContext,
  unread: { readonly rows: number },
): AsyncGenerator<RowBatch> {
  const paths = await findAll(patterns, split)
  const sizes: number[] = []
  // A file that cannot be read says so when it is opened.
  for (const path of paths) sizes.push((await stat(path).catch(() => undefined))?.size ?? 0)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  let before = 0
  for (const [index, path] of paths.entries()) {
    const onBytes = (bytes: number): void => context.onFraction(total === 0 ? 1 : Math.min(1, (before + bytes) / total))
    const file = await DataFile.open(path, onBytes, context.needsHash)
    let rows = 0
    let isWhole = false
    try {
      const format = await formatOf(file)
      for await (const batch of format.read(file, context.turns, context.onBadRow ?? refuse)) {
        rows += batch.values.length
        if (batch.values.length > 0) yield batch
      }
      isWhole = true
      context.onLineage({ location: path, rows, ...file.content })
    } finally {
      // Whoever takes a part of the rows still says where they came from; the hash of a part says nothing.
      if (!isWhole && rows > 0)
        context.onLineage({ location: path, rows: rows - unread.rows, size: sizes[index] as number })
      await file.close()
    }
    before += sizes[index] as number
  }
}

async function findAll(patterns: readonly string[], split: Split): Promise<string[]> {
  const paths: string[] = []
  for (const pattern of patterns) paths.push(...(await findFiles(pattern, split)))
  return paths
}
