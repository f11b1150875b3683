/** @file Rows from files, given by paths and globs. */

import { stat } from 'node:fs/promises'
import { listNames } from '../../errors.js'
import { DataFile } from './data-file.js'
import { findFiles } from './find-files.js'
import { formatOf } from './formats.js'
import type { ReadContext, RowSource, SourceRow } from './row-source.js'

/** The rows of all files that the paths and globs name, one file after the other. */
export function fileSource(patterns: readonly string[]): RowSource {
  return {
    name: listNames(patterns),
    async check(signal) {
      for (const path of await findAll(patterns)) {
        signal?.throwIfAborted()
        const file = await DataFile.open(path)
        try {
          formatOf(path, await file.start())
        } finally {
          await file.close()
        }
      }
    },
    rows: (context) => readFiles(patterns, context),
  }
}

async function* readFiles(patterns: readonly string[], context: ReadContext): AsyncGenerator<SourceRow> {
  const paths = await findAll(patterns)
  const sizes: number[] = []
  // A file that cannot be read says so when it is opened.
  for (const path of paths) sizes.push((await stat(path).catch(() => undefined))?.size ?? 0)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  let before = 0
  for (const [index, path] of paths.entries()) {
    const file = await DataFile.open(path, (bytes) =>
      context.onFraction(total === 0 ? 1 : Math.min(1, (before + bytes) / total)),
    )
    try {
      let rows = 0
      for await (const row of formatOf(path, await file.start()).read(file, context.turns)) {
        rows++
        yield row
      }
      context.onLineage({ location: path, rows, ...file.content })
    } finally {
      await file.close()
    }
    before += sizes[index] as number
  }
}

async function findAll(patterns: readonly string[]): Promise<string[]> {
  const paths: string[] = []
  for (const pattern of patterns) paths.push(...(await findFiles(pattern)))
  return paths
}
