/**
 * @file Record batches of Arrow streams, one after the other. Nothing is believed: what the metadata says is checked
 * against the bytes that there are. Errors say what is wrong alone: whoever knows the stream puts it in words.
 */

import { DataError } from '../lowrank-error.js'
import { type Dictionaries, dictionaryValues, rowsOf } from './buffers.js'
import { type ArrowMessage, decodeMessage } from './messages.js'
import { type ArrowField, type ArrowType, dictionaryTypes } from './types.js'
import type { ArrowBatch, ArrowData } from './values.js'

/** What messages begin with since 2019, before the size of their metadata. */
export const CONTINUATION = 0xffffffff
/** The widest numbers of buffers. */
const ALIGNMENT = 8

/** The batches of a stream. @throws DataError for what is damaged, cut or not read */
export async function* readArrowStream(pieces: AsyncIterator<Uint8Array>): AsyncGenerator<ArrowBatch> {
  let state: ArrowState | undefined
  for await (const { message, body } of readArrowMessages(pieces)) {
    if (message.kind === 'schema') {
      if (state !== undefined) throw new DataError('a second schema, as where streams were joined')
      state = new ArrowState(message.fields)
      continue
    }
    if (state === undefined) throw new DataError('rows before a schema')
    const batch = state.take(message, body)
    if (batch !== undefined) yield batch
  }
  if (state === undefined) throw new DataError('no schema')
}

/** One message of a stream: what its metadata says, and the bytes of both of its parts. */
export interface StreamMessage {
  readonly message: ArrowMessage
  readonly metadata: Uint8Array
  readonly body: Uint8Array
}

/** The messages of a stream. @throws DataError for what is damaged or cut */
export async function* readArrowMessages(pieces: AsyncIterator<Uint8Array>): AsyncGenerator<StreamMessage> {
  const bytes = new ByteQueue(pieces)
  for (;;) {
    const metadata = await nextMetadata(bytes)
    if (metadata === undefined) break
    const message = decodeMessage(metadata)
    yield { message, metadata, body: await bytes.take(message.bodyLength) }
  }
  await bytes.expectEnd()
}

/** The schema, and the dictionaries so far. */
export class ArrowState {
  readonly #fields: readonly ArrowField[]
  readonly #types: ReadonlyMap<bigint, ArrowType>
  readonly #dictionaries = new Map<bigint, readonly ArrowData[]>()

  constructor(fields: readonly ArrowField[]) {
    this.#fields = fields
    this.#types = dictionaryTypes(fields)
  }

  /** @returns the rows of the message; undefined where it has part of a dictionary */
  take(message: ArrowMessage, body: Uint8Array): ArrowBatch | undefined {
    const dictionaries: Dictionaries = this.#dictionaries
    if (message.kind === 'schema') throw new DataError('a second schema')
    if (message.kind === 'rows') return rowsOf(message.batch, body, this.#fields, dictionaries)
    const { id, isDelta } = message
    const type = this.#types.get(id)
    if (type === undefined) throw new DataError(`a dictionary that no column has (number ${id})`)
    const before = isDelta ? (dictionaries.get(id) ?? []) : []
    this.#dictionaries.set(id, [...before, dictionaryValues(message.batch, body, type, dictionaries)])
    return undefined
  }
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

  /** Where numbers in them are aligned. @throws where there are fewer */
  async take(count: number): Promise<Uint8Array> {
    const whole = this.#rest.subarray(0, count)
    if (count > 0 && whole.length === count && whole.byteOffset % ALIGNMENT === 0) {
      this.#rest = this.#rest.subarray(count)
      return whole
    }
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
