/**
 * @file Batches of rows of Arrow files and streams, one after the other. Nothing is believed: what the metadata says is
 * checked against the bytes that there are before anything of that size is made.
 */

import { type ColumnBatch, columnBatch } from '../../arrow/column-batch.js'
import { type ArrowBlock, type ArrowMessage, decodeFooter, decodeMessage } from '../../arrow/messages.js'
import { ArrowState, CONTINUATION, readArrowStream } from '../../arrow/stream.js'
import { DataError, LowrankError } from '../../lowrank-error.js'
import { toError } from '../../values.js'
import type { DataFile } from './data-file.js'

const MAGIC = 'ARROW1'
/** The magic number and what aligns what follows. */
const HEAD_BYTES = 8
/** The size of the footer and the magic number. */
const TAIL_BYTES = 4 + MAGIC.length

/** The batches of a file, which its footer finds. */
export async function* readFileBatches(file: DataFile): AsyncGenerator<ColumnBatch> {
  const size = await file.size()
  const tail = Buffer.from(await file.slice(Math.max(0, size - TAIL_BYTES), size))
  if (tail.length < TAIL_BYTES || tail.toString('latin1', 4) !== MAGIC) throw cutFile(file, size)
  yield* inFile(file, async function* () {
    const end = size - TAIL_BYTES - tail.readInt32LE(0)
    if (end < HEAD_BYTES || end > size - TAIL_BYTES) throw new DataError(`a footer of ${tail.readInt32LE(0)} bytes`)
    const { fields, dictionaries, batches } = decodeFooter(await file.slice(end, size - TAIL_BYTES))
    expectBlocks([...dictionaries, ...batches], end)
    const state = new ArrowState(fields)
    for (const block of dictionaries) state.take(...(await readBlock(file, block)))
    let rows = 0
    for (const block of batches) {
      const batch = state.take(...(await readBlock(file, block)))
      if (batch !== undefined) yield columnBatch(batch, rows)
      rows += batch?.numRows ?? 0
      file.reached(block.offset + block.metadataLength + block.bodyLength)
    }
  })
}

/** The batches of a stream. */
export async function* readStreamBatches(file: DataFile): AsyncGenerator<ColumnBatch> {
  yield* inFile(file, async function* () {
    let rows = 0
    for await (const batch of readArrowStream(file.pieces())) {
      yield columnBatch(batch, rows)
      rows += batch.numRows
    }
  })
}

function cutFile({ path }: DataFile, size: number): DataError {
  return new DataError(
    `[data] expected the footer of an Arrow file at the end of ${path}, got ${size} bytes without it; the file was ` +
      'cut, as by a copy that did not end: get it anew',
    { file: path },
  )
}

/** Runs what reads a file, whose errors then name it. */
async function* inFile<T>({ path }: DataFile, read: () => AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    yield* read()
  } catch (error) {
    if (error instanceof LowrankError && !(error instanceof DataError && error.file === undefined)) throw error
    throw new DataError(`[data] expected a sound Arrow file in ${path}, got ${toError(error).message}`, {
      file: path,
      cause: error,
    })
  }
}

/** @throws where blocks lie outside of the file, or one place is named again and again */
function expectBlocks(blocks: readonly ArrowBlock[], end: number): void {
  let total = 0
  for (const { offset, metadataLength, bodyLength } of blocks) {
    if (
      offset < HEAD_BYTES ||
      metadataLength < HEAD_BYTES ||
      bodyLength < 0 ||
      offset + metadataLength + bodyLength > end
    )
      throw new DataError(`a message of ${metadataLength} and ${bodyLength} bytes at byte ${offset} of ${end}`)
    total += metadataLength + bodyLength
  }
  if (total > end) throw new DataError('a footer that names one place again and again')
}

async function readBlock(file: DataFile, block: ArrowBlock): Promise<[ArrowMessage, Uint8Array]> {
  const { offset, metadataLength, bodyLength } = block
  const bytes = Buffer.from(await file.slice(offset, offset + metadataLength))
  const start = bytes.readUInt32LE(0) === CONTINUATION ? 8 : 4
  const length = bytes.readInt32LE(start - 4)
  if (length <= 0 || start + length > bytes.length)
    throw new DataError(`metadata of ${length} bytes where the footer says ${metadataLength}`)
  const message = decodeMessage(bytes.subarray(start, start + length))
  if (message.bodyLength > bodyLength)
    throw new DataError(`a body of ${message.bodyLength} bytes where the footer says ${bodyLength}`)
  const body = await file.slice(offset + metadataLength, offset + metadataLength + bodyLength)
  if (body.length < bodyLength) throw new DataError('a message that was cut')
  return [message, body]
}
