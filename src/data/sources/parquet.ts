/** @file Parquet files (https://parquet.apache.org/docs/file-format). What reads them is loaded when there is one. */

import { rowBatches } from './columnar-rows.js'
import type { DataFile } from './data-file.js'
import type { FileFormat } from './file-format.js'
import type { ParquetFile } from './parquet-file.js'

export const PARQUET: FileFormat = {
  name: 'Parquet',
  endings: ['.parquet'],
  recognizes: (start) => Buffer.from(start.buffer, start.byteOffset, Math.min(4, start.length)).toString() === 'PAR1',
  count: async (file) => (await open(file)).rows,
  async *read(file, turns, _, isWanted) {
    const parquet = await open(file)
    if (isWanted === undefined) return yield* file.measured(rowBatches(file.path, parquet.batches(turns)))
    yield* rowBatches(file.path, parquet.batches(turns, undefined, isWanted))
    yield { values: [], origin: () => ({ file: file.path }), start: parquet.rows }
  },
}

async function open(file: DataFile): Promise<ParquetFile> {
  const { openParquet } = await import('./parquet-file.js')
  return await openParquet(file)
}
