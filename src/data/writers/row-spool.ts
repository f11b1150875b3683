/**
 * @file Rows of a program that can be read only once, in a file until they are read again: any value that a format can
 * hold comes back as it was, with its origin. Knows no format.
 *
 * The file loses its name as soon as it is open, where the system allows that: its space is free once the process has
 * ended, in whatever way. Else `close` removes it.
 */

import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import { writeError } from '../../atomic-write.js'
import { describeValue } from '../../errors.js'
import { ownedName } from '../../file-owner.js'
import { PythonFloat } from '../../lossless-json.js'
import { DataError, LowrankError } from '../../lowrank-error.js'
import { readError } from '../../regular-file.js'
import type { RowSource, SourceRow } from '../sources/row-source.js'
import { entriesOf, expectLevels } from './row-schema.js'

/** Bytes of rows that are written together. */
const BATCH_BYTES = 1 << 20

/** The file. The caller closes it. */
export class RowSpool {
  readonly #path: string
  readonly #file: FileHandle
  readonly #hasName: boolean
  readonly #sizes: number[] = []
  #size = 0
  #batch: Buffer[] = []
  #batchBytes = 0

  private constructor(path: string, file: FileHandle, hasName: boolean) {
    this.#path = path
    this.#file = file
    this.#hasName = hasName
  }

  /**
   * @param beside A path in the directory of the file, which is made where it is missing.
   * @throws LowrankError where the file cannot be made
   */
  static async create(beside: string): Promise<RowSpool> {
    const path = join(dirname(beside), ownedName('.rows.lowrank-'))
    try {
      await mkdir(dirname(beside), { recursive: true })
      const file = await open(path, 'wx+', 0o600)
      const hasName = await rm(path).then(
        () => false,
        () => true,
      )
      return new RowSpool(path, file, hasName)
    } catch (error) {
      throw writeError(path, error)
    }
  }

  /**
   * Takes a row.
   * @returns whether the rows since `flush()` are enough to be written
   * @throws DataError for what no file can hold
   */
  add({ value, origin }: SourceRow): boolean {
    const bytes = serialize({ value: cloneable(value), origin })
    this.#batch.push(bytes)
    this.#batchBytes += bytes.length
    return this.#batchBytes >= BATCH_BYTES
  }

  /** @throws LowrankError where the file cannot be written, as on a full disk */
  async flush(): Promise<void> {
    if (this.#batch.length === 0) return
    const bytes = serialize(this.#batch)
    this.#batch = []
    this.#batchBytes = 0
    try {
      for (let at = 0; at < bytes.length; )
        at += (await this.#file.write(bytes, at, bytes.length - at, this.#size + at)).bytesWritten
    } catch (error) {
      throw writeError(this.#path, error)
    }
    this.#sizes.push(bytes.length)
    this.#size += bytes.length
  }

  /** The rows that were added, as often as one asks. No row is added after it. */
  async source(name: string): Promise<RowSource> {
    await this.flush()
    return { name, rows: ({ onFraction }) => this.#rows(onFraction) }
  }

  async close(): Promise<void> {
    await this.#file.close()
    if (this.#hasName) await rm(this.#path, { force: true })
  }

  async *#rows(onFraction: (fraction: number) => void): AsyncGenerator<SourceRow> {
    let start = 0
    for (const size of this.#sizes) {
      const bytes = Buffer.allocUnsafe(size)
      for (let at = 0; at < size; ) {
        const { bytesRead } = await this.#file.read(bytes, at, size - at, start + at).catch((error: unknown) => {
          throw readError('data', this.#path, error)
        })
        if (bytesRead === 0)
          throw new LowrankError(
            'FILE',
            `[data] expected ${this.#path} to stay as it is, but another program has cut it`,
          )
        at += bytesRead
      }
      start += size
      onFraction(start / this.#size)
      for (const row of deserialize(bytes) as Uint8Array[]) {
        const { value, origin } = deserialize(row) as SourceRow
        yield { value: original(value), origin }
      }
    }
  }
}

/** `serialize` forgets classes of ours, but keeps boxed numbers, which no row has. */
function cloneable(value: unknown): unknown {
  return mapValues(value, (each) => (each instanceof PythonFloat ? Object(each.value) : undefined))
}

function original(value: unknown): unknown {
  return mapValues(value, (each) => (each instanceof Number ? new PythonFloat(each.valueOf()) : undefined))
}

/** A copy with other values wherever `change` gives one. */
function mapValues(value: unknown, change: (value: object) => unknown, level = 0): unknown {
  expectLevels(level)
  if (typeof value === 'function' || typeof value === 'symbol')
    throw new DataError(`a value that a file can hold, got ${describeValue(value)}`)
  if (typeof value !== 'object' || value === null) return value
  const other = change(value)
  if (other !== undefined) return other
  if (Array.isArray(value)) return value.map((item) => mapValues(item, change, level + 1))
  if (value instanceof Date || ArrayBuffer.isView(value)) return value
  return new Map(entriesOf(value).map(([name, entry]) => [name, mapValues(entry, change, level + 1)]))
}
