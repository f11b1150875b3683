/** @file Parquet files (https://parquet.apache.org/docs/file-format). What reads them is loaded when there is one. */

import { rowBatches } from './columnar-rows.js'
import type { FileFormat } from './file-format.js'

export const PARQUET: FileFormat = {
  name: 'Parquet',
  endings: ['.parquet'],
  recognizes: (start) => Buffer.from(start.buffer, start.byteOffset, Math.min(4, start.length)).toString() === 'PAR1',
  async *read(file, turns, _, isWanted) {
    const { openParquet } = await import('./parquet-file.js')
    const parquet = await openParquet(file)
    if (isWanted === undefined) return yield* file.measured(rowBatches(file.path, parquet.batches(turns)))
    yield* rowBatches(file.path, parquet.batches(turns, undefined, isWanted))
    yield { values: [], origin: () => ({ file: file.path }), start: parquet.rows }
  },
}
