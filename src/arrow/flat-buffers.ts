/**
 * @file Tables of FlatBuffers (https://flatbuffers.dev/internals) from bytes that nobody vouches for: each offset,
 * length and text is checked where it is read. Errors say what is wrong alone: whoever knows the file puts it in words.
 */

import { DataError } from '../lowrank-error.js'
import { textOf } from './columnar-values.js'

const MOST_LEVELS = 128
// Parts may be shared, as texts that are equal are: so often that they are read this many times their size, no more.
const MOST_READ = 16
const FREE_BYTES = 1 << 16

/** Structs or numbers that lie one after the other. */
export interface FlatVector {
  readonly count: number
  /** The number of 32 bits at a byte of an element. */
  int(index: number, byte: number): number
  /** The number of 64 bits at a byte of an element. @throws DataError where it is beyond 2^53 */
  long(index: number, byte: number): number
}

/** The bytes of one buffer, and how many more of them may be read. */
interface Source {
  readonly view: DataView
  left: number
}

/** A table. Fields are named by their number in the schema of the format; absent ones have their default. */
export class FlatTable {
  readonly #source: Source
  readonly #at: number
  readonly #level: number
  readonly #fields: number
  readonly #fieldBytes: number
  readonly #size: number

  private constructor(source: Source, at: number, level: number) {
    if (level > MOST_LEVELS) throw new DataError(`metadata of more than ${MOST_LEVELS} levels`)
    this.#source = source
    this.#at = at
    this.#level = level
    expectWithin(source, at, 4)
    this.#fields = at - source.view.getInt32(at, true)
    expectWithin(source, this.#fields, 4)
    this.#fieldBytes = source.view.getUint16(this.#fields, true)
    this.#size = source.view.getUint16(this.#fields + 2, true)
    expectWithin(source, this.#fields, Math.max(4, this.#fieldBytes))
    expectWithin(source, at, Math.max(4, this.#size))
    spend(source, this.#size)
  }

  /** The table that a buffer begins with. */
  static root(bytes: Uint8Array): FlatTable {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const source = { view, left: MOST_READ * bytes.length + FREE_BYTES }
    expectWithin(source, 0, 4)
    return new FlatTable(source, view.getUint32(0, true), 0)
  }

  boolean(field: number): boolean {
    return this.byte(field) !== 0
  }

  /** A number of 8 bits without a sign. */
  byte(field: number, otherwise = 0): number {
    const at = this.#place(field, 1)
    return at === undefined ? otherwise : this.#source.view.getUint8(at)
  }

  short(field: number, otherwise = 0): number {
    const at = this.#place(field, 2)
    return at === undefined ? otherwise : this.#source.view.getInt16(at, true)
  }

  int(field: number, otherwise = 0): number {
    const at = this.#place(field, 4)
    return at === undefined ? otherwise : this.#source.view.getInt32(at, true)
  }

  /** @throws DataError beyond 2^53 */
  long(field: number): number {
    const at = this.#place(field, 8)
    return at === undefined ? 0 : safeLong(this.#source.view, at)
  }

  bigint(field: number): bigint {
    const at = this.#place(field, 8)
    return at === undefined ? 0n : this.#source.view.getBigInt64(at, true)
  }

  text(field: number): string | undefined {
    const at = this.#target(field)
    if (at === undefined) return undefined
    const { buffer, byteOffset } = this.#source.view
    return textOf(new Uint8Array(buffer, byteOffset + at + 4, this.#countAt(at, 1)))
  }

  table(field: number): FlatTable | undefined {
    const at = this.#target(field)
    return at === undefined ? undefined : new FlatTable(this.#source, at, this.#level + 1)
  }

  tables(field: number): FlatTable[] {
    const at = this.#target(field)
    if (at === undefined) return []
    const { view } = this.#source
    return Array.from({ length: this.#countAt(at, 4) }, (_, index) => {
      const place = at + 4 + 4 * index
      return new FlatTable(this.#source, place + view.getUint32(place, true), this.#level + 1)
    })
  }

  /** @param bytes of one element */
  vector(field: number, bytes: number): FlatVector {
    const at = this.#target(field)
    const { view } = this.#source
    const start = (at ?? 0) + 4
    return {
      count: at === undefined ? 0 : this.#countAt(at, bytes),
      int: (index, byte) => view.getInt32(start + bytes * index + byte, true),
      long: (index, byte) => safeLong(view, start + bytes * index + byte),
    }
  }

  /** Where a field is; undefined where it is absent. */
  #place(field: number, bytes: number): number | undefined {
    const entry = 4 + 2 * field
    if (entry + 2 > this.#fieldBytes) return undefined
    const offset = this.#source.view.getUint16(this.#fields + entry, true)
    if (offset === 0) return undefined
    if (offset + bytes > this.#size) throw new DataError('metadata with a field outside of its table')
    return this.#at + offset
  }

  /** Where what a field points to is. */
  #target(field: number): number | undefined {
    const place = this.#place(field, 4)
    return place === undefined ? undefined : place + this.#source.view.getUint32(place, true)
  }

  /** How many elements a vector has, all of which are there. */
  #countAt(at: number, bytes: number): number {
    expectWithin(this.#source, at, 4)
    const count = this.#source.view.getUint32(at, true)
    expectWithin(this.#source, at + 4, count * bytes)
    spend(this.#source, count * bytes)
    return count
  }
}

function safeLong(view: DataView, at: number): number {
  const value = Number(view.getBigInt64(at, true))
  if (Number.isSafeInteger(value)) return value
  throw new DataError('metadata with a number beyond 2^53')
}

function expectWithin({ view }: Source, at: number, bytes: number): void {
  if (at >= 0 && at + bytes <= view.byteLength) return
  throw new DataError(`metadata of ${view.byteLength} bytes that points to bytes ${at} to ${at + bytes} of them`)
}

function spend(source: Source, bytes: number): void {
  source.left -= bytes
  if (source.left < 0) throw new DataError('metadata that names one place again and again')
}
