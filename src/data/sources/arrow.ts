/**
 * @file Arrow IPC, as files (also called Feather) and as streams (https://arrow.apache.org/docs/format/Columnar.html).
 * Record batches are read one after the other.
 */

import type { FileHandle } from 'node:fs/promises'
import type * as Arrow from 'apache-arrow'
import { DataError, LowrankError } from '../../lowrank-error.js'
import { toError } from '../../values.js'
import { loadPeer } from '../load-peer.js'
import { type ArrowBatch, columnBatch } from './arrow-values.js'
import { type ColumnBatch, sourceRows } from './columnar-rows.js'
import type { DataFile } from './data-file.js'
import type { FileFormat } from './file-format.js'

const MAGIC = 'ARROW1'

export const ARROW: FileFormat = {
  name: 'Arrow',
  endings: ['.arrow', '.arrows', '.feather'],
  recognizes: (start) => isFile(start) || hex(start, 4) === 'ffffffff',
  async *read(file, turns) {
    // The beginning is what `start()` read, also of a packed stream.
    const isWhole = isFile(await file.start())
    const batches = readBatches(file, isWhole)
    const rows = sourceRows(file.path, batches)
    for await (const row of isWhole ? file.measured(rows) : rows) {
      yield row
      if (turns.isOver) await turns.next()
    }
  },
}

async function* readBatches(file: DataFile, isWhole: boolean): AsyncGenerator<ColumnBatch> {
  const arrow = await loadPeer<typeof Arrow>('apache-arrow', `to read ${file.path}`)
  const { registerCodecs } = await import('./arrow-codecs.js')
  registerCodecs(arrow)
  if (isWhole) await expectEnd(file)
  try {
    const reader = isWhole
      ? await arrow.RecordBatchReader.from(await handleOf(file))
      : await arrow.RecordBatchReader.from(file.pieces())
    let start = 0
    for await (const batch of reader) {
      yield columnBatch(batch as unknown as ArrowBatch, start)
      start += batch.numRows
    }
  } catch (error) {
    if (error instanceof LowrankError && !(error instanceof DataError && error.file === undefined)) throw error
    throw new DataError(`[data] expected a sound Arrow file in ${file.path}, got ${toError(error).message}`, {
      file: file.path,
      cause: error,
    })
  }
}

/**
 * The file as apache-arrow reads files: by the places that the footer names. A damaged footer may send it round and
 * round, so there is an end to what it may read: a sound file is read about once, in messages of 8 bytes and more.
 */
async function handleOf(file: DataFile): Promise<FileHandle> {
  const size = await file.size()
  let readsLeft = size / 4 + 1000
  let bytesLeft = 4 * size + (1 << 20)
  const handle = {
    fd: -1,
    stat: () => Promise.resolve({ size }),
    async read(buffer: Uint8Array, offset: number, length: number, position: number) {
      const bytes = await file.slice(position, position + length)
      readsLeft--
      bytesLeft -= bytes.length
      if (readsLeft < 0 || bytesLeft < 0) throw new DataError('a footer that names one place again and again')
      buffer.set(bytes, offset)
      file.reached(position + bytes.length)
      return { bytesRead: bytes.length, buffer }
    },
    close: () => Promise.resolve(),
  }
  return handle as unknown as FileHandle
}

/** @throws where a file does not end as it must: a reader of its beginning would take a part for all of it */
async function expectEnd(file: DataFile): Promise<void> {
  const size = await file.size()
  const tail = await file.slice(Math.max(0, size - MAGIC.length), size)
  if (Buffer.from(tail).toString('latin1') === MAGIC) return
  throw new DataError(
    `[data] expected the footer of an Arrow file at the end of ${file.path}, got ${size} bytes without it; the file was ` +
      'cut, as by a copy that did not end: get it anew',
    { file: file.path },
  )
}

function isFile(start: Uint8Array): boolean {
  return hex(start, MAGIC.length) === Buffer.from(MAGIC).toString('hex')
}

function hex(start: Uint8Array, bytes: number): string {
  return Buffer.from(start.subarray(0, bytes)).toString('hex')
}
