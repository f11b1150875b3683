/**
 * @file Arrow IPC, as files (also called Feather) and as streams (https://arrow.apache.org/docs/format/Columnar.html).
 * What reads them is loaded when there is one.
 */

import { rowBatches } from './columnar-rows.js'
import type { FileFormat } from './file-format.js'

export const ARROW: FileFormat = {
  name: 'Arrow',
  endings: ['.arrow', '.arrows', '.feather'],
  recognizes: (start) => isFile(start) || hex(start, 4) === 'ffffffff',
  async *read(file, turns) {
    const { readFileBatches, readStreamBatches } = await import('./arrow-reader.js')
    // The beginning is what `start()` read, also of a packed stream.
    const isWhole = isFile(await file.start())
    const batches = rowBatches(file.path, isWhole ? readFileBatches(file) : readStreamBatches(file))
    for await (const batch of isWhole ? file.measured(batches) : batches) {
      yield batch
      if (turns.isOver) await turns.next()
    }
  },
}

function isFile(start: Uint8Array): boolean {
  return Buffer.from(start.buffer, start.byteOffset, Math.min(6, start.length)).toString('latin1') === 'ARROW1'
}

function hex(start: Uint8Array, bytes: number): string {
  return Buffer.from(start.subarray(0, bytes)).toString('hex')
}
