/** @file A stream of unknown length, cut into parts of one size in a few buffers that are used again. */

import { describeValue } from '../../../errors.js'
import { DataError } from '../../../lowrank-error.js'

/** A part of the stream. */
export interface StreamPart {
  /** From 1. */
  readonly number: number
  readonly bytes: Uint8Array
  /** Gives its buffer back once it is sent. */
  release(): void
}

export interface StreamParts {
  /**
   * Reads until there is more than so many bytes, or the end. @returns bytes that were read, and whether it was the end
   */
  readAhead(bytes: number): Promise<{ readonly bytes: number; readonly isEnd: boolean }>
  /** The parts, those that were read ahead first. */
  parts(): AsyncGenerator<StreamPart>
  /** All bytes from the beginning, as long as no part was released. */
  whole(): AsyncGenerator<Uint8Array>
}

export function cutIntoParts(pieces: AsyncIterator<Uint8Array>, partSize: number): StreamParts {
  const spare: Uint8Array[] = []
  /** Those that were not released: read ahead, or on their way. */
  const held: StreamPart[] = []
  let handedOut = 0
  let rest: Uint8Array = new Uint8Array(0)
  let number = 0
  let isEnd = false

  const read = async (): Promise<StreamPart | undefined> => {
    if (isEnd) return undefined
    const buffer = spare.pop() ?? new Uint8Array(partSize)
    let length = 0
    while (length < partSize) {
      if (rest.byteLength === 0) {
        const { done, value } = await pieces.next()
        if (done) {
          isEnd = true
          break
        }
        rest = bytesOf(value)
      }
      const taken = rest.subarray(0, partSize - length)
      buffer.set(taken, length)
      length += taken.byteLength
      rest = rest.subarray(taken.byteLength)
    }
    if (length === 0) {
      spare.push(buffer)
      return undefined
    }
    const part: StreamPart = {
      number: ++number,
      bytes: buffer.subarray(0, length),
      release() {
        held.splice(held.indexOf(part), 1)
        handedOut--
        spare.push(buffer)
      },
    }
    held.push(part)
    return part
  }

  return {
    async readAhead(bytes) {
      let there = held.reduce((sum, part) => sum + part.bytes.byteLength, 0)
      while (there <= bytes) {
        const part = await read()
        if (part === undefined) break
        there += part.bytes.byteLength
      }
      return { bytes: there, isEnd }
    },
    async *parts() {
      for (;;) {
        const part = held[handedOut] ?? (await read())
        if (part === undefined) return
        handedOut++
        yield part
      }
    },
    async *whole() {
      for (const { bytes } of held) yield bytes
      yield rest
      while (!isEnd) {
        const { done, value } = await pieces.next()
        if (done) return
        yield bytesOf(value)
      }
    },
  }
}

function bytesOf(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece
  throw new DataError(
    `[databricks] expected bytes (Uint8Array) from the stream to upload, got ${describeValue(piece)}; encode text with TextEncoderStream`,
  )
}
