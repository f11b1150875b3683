/**
 * @file Batches of rows of Arrow files and streams, one after the other. Nothing is believed: what the metadata says is
 * checked against the bytes that there are before anything of that size is made.
 */

import { DataError, LowrankError } from '../../lowrank-error.js'
import { toError } from '../../values.js'
import { type Dictionaries, dictionaryValues, rowsOf } from './arrow-buffers.js'
import { type ArrowBlock, type ArrowMessage, decodeFooter, decodeMessage } from './arrow-messages.js'
import { type ArrowField, type ArrowType, dictionaryTypes } from './arrow-types.js'
import { type ArrowData, columnBatch } from './arrow-values.js'
import type { ColumnBatch } from './columnar-rows.js'
import type { DataFile } from './data-file.js'

const MAGIC = 'ARROW1'
/** The magic number and what aligns what follows. */
const HEAD_BYTES = 8
/** The size of the footer and the magic number. */
const TAIL_BYTES = 4 + MAGIC.length
/** What messages begin with since 2019, before the size of their metadata. */
const CONTINUATION = 0xffffffff

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
    for (const block of batches) {
      const batch = state.take(...(await readBlock(file, block)))
      if (batch !== undefined) yield batch
      file.reached(block.offset + block.metadataLength + block.bodyLength)
    }
  })
}

/** The batches of a stream. */
export async function* readStreamBatches(file: DataFile): AsyncGenerator<ColumnBatch> {
  const bytes = new ByteQueue(file.pieces())
  yield* inFile(file, async function* () {
    let state: ArrowState | undefined
    for (;;) {
      const metadata = await nextMetadata(bytes)
      if (metadata === undefined) break
      const message = decodeMessage(metadata)
      const body = await bytes.take(message.bodyLength)
      if (message.kind === 'schema') {
        if (state !== undefined) throw new DataError('a second schema, as where streams were joined')
        state = new ArrowState(message.fields)
      } else {
        if (state === undefined) throw new DataError('rows before a schema')
        const batch = state.take(message, body)
        if (batch !== undefined) yield batch
      }
    }
    if (state === undefined) throw new DataError('no schema')
    await bytes.expectEnd()
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

/** The schema, and the dictionaries so far. */
class ArrowState {
  readonly #fields: readonly ArrowField[]
  readonly #types: ReadonlyMap<bigint, ArrowType>
  readonly #dictionaries = new Map<bigint, readonly ArrowData[]>()
  #rows = 0

  constructor(fields: readonly ArrowField[]) {
    this.#fields = fields
    this.#types = dictionaryTypes(fields)
  }

  /** @returns the rows of the message; undefined where it has part of a dictionary */
  take(message: ArrowMessage, body: Uint8Array): ColumnBatch | undefined {
    const dictionaries: Dictionaries = this.#dictionaries
    if (message.kind === 'schema') throw new DataError('a second schema')
    if (message.kind === 'rows') {
      const batch = columnBatch(rowsOf(message.batch, body, this.#fields, dictionaries), this.#rows)
      this.#rows += batch.length
      return batch
    }
    const { id, isDelta } = message
    const type = this.#types.get(id)
    if (type === undefined) throw new DataError(`a dictionary that no column has (number ${id})`)
    const before = isDelta ? (dictionaries.get(id) ?? []) : []
    this.#dictionaries.set(id, [...before, dictionaryValues(message.batch, body, type, dictionaries)])
    return undefined
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

/** The metadata of the next message of a stream; undefined at its end. */
async function nextMetadata(bytes: ByteQueue): Promise<Uint8Array | undefined> {
  if (await bytes.isAtEnd()) return undefined
  let length = Buffer.from(await bytes.take(4)).readInt32LE(0)
  if (length === -1) length = Buffer.from(await bytes.take(4)).readInt32LE(0)
  if (length === 0) return undefined
  if (length < 0) throw new DataError(`metadata of ${length} bytes`)
  return await bytes.take(length)
}

/** Bytes of a stream, taken in parts of any size. */
class ByteQueue {
  readonly #pieces: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(pieces: AsyncIterator<Uint8Array>) {
    this.#pieces = pieces
  }

  /** In memory of its own, so that numbers in it are aligned. @throws where there are fewer */
  async take(count: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    let length = 0
    while (length < count) {
      if (await this.isAtEnd()) throw new DataError(`a stream that was cut: ${length} bytes in place of ${count}`)
      const part = this.#rest.subarray(0, count - length)
      this.#rest = this.#rest.subarray(part.length)
      parts.push(part)
      length += part.length
    }
    // Made only now: a damaged count may be any number.
    const bytes = new Uint8Array(count)
    let at = 0
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#pieces.next()
      if (done) return true
      this.#rest = value
    }
    return false
  }

  /** Takes the rest. @throws where it is not zeros: rows of a second stream would be lost */
  async expectEnd(): Promise<void> {
    while (!(await this.isAtEnd())) {
      if (this.#rest.some((byte) => byte !== 0))
        throw new DataError('bytes behind its end, as where streams were joined')
      this.#rest = new Uint8Array()
    }
  }
}
