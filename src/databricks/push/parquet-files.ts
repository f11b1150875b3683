/** @file Rows as Parquet files of this machine, each named by its place and its hash. Sends nothing. */

import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeFileAtomic } from '../../atomic-write.js'
import type { ReadContext, RowSource, SourceRow } from '../../data/sources/row-source.js'
import type { RowSchema } from '../../data/writers/row-schema.js'
import { inRow } from '../../data/writers/write-rows.js'
import { OWNER_PATTERN, ownedName, ownerState } from '../../file-owner.js'

/** One file that was written. */
export interface ParquetFile {
  readonly path: string
  /** `00000-<sha256>.parquet` */
  readonly name: string
  readonly bytes: number
  readonly rows: number
}

/** A file ends with the row group that makes it larger. */
export const MOST_FILE_BYTES = 128 << 20
const FOLDER = 'lowrank-push-'
const OWNED = new RegExp(`^${FOLDER}${OWNER_PATTERN}$`)

/** A folder for files of one push. What killed processes left of theirs is removed. */
export async function pushFolder(): Promise<string> {
  const root = tmpdir()
  for (const name of await readdir(root).catch(() => [])) {
    const [, place, pid, ticks] = OWNED.exec(name) ?? []
    if (place === undefined || ownerState(place, Number(pid), Number(ticks)) !== 'ended') continue
    await rm(join(root, name), { recursive: true, force: true }).catch(() => {})
  }
  return join(root, ownedName(FOLDER))
}

/**
 * Writes rows to files in a folder.
 * @param mostBytes A file ends once it has as many.
 * @throws DataError naming the row that does not fit the schema
 */
export async function writeParquetFiles(
  folder: string,
  source: RowSource,
  schema: RowSchema,
  context: ReadContext,
  mostBytes: number,
): Promise<ParquetFile[]> {
  const { parquetEncoder } = await import('../../data/writers/parquet-encoder.js')
  const files: ParquetFile[] = []
  const { turns } = context
  const rows = source.rows(context)[Symbol.asyncIterator]()
  try {
    for (let next = await rows.next(); !next.done || files.length === 0; ) {
      const encoder = parquetEncoder(schema)
      const hash = createHash('sha256')
      let row: IteratorResult<SourceRow> = next
      let [bytes, count] = [0, 0]
      async function* content(): AsyncGenerator<Uint8Array> {
        while (!row.done && encoder.size < mostBytes) {
          turns.throwIfAborted()
          const { value, origin } = row.value
          count++
          if (inRow(origin, () => encoder.add(value))) yield await encoder.take()
          if (turns.isOver) await turns.next()
          row = await rows.next()
        }
        yield await encoder.take()
        yield await encoder.end()
      }
      async function* hashed(): AsyncGenerator<Uint8Array> {
        for await (const piece of content()) {
          hash.update(piece)
          bytes += piece.length
          yield piece
        }
      }
      const place = String(files.length).padStart(5, '0')
      const path = join(folder, `${place}.parquet`)
      await writeFileAtomic(path, hashed())
      files.push({ path, name: `${place}-${hash.digest('hex')}.parquet`, bytes, rows: count })
      next = row
    }
  } finally {
    await rows.return?.()
  }
  return files
}
