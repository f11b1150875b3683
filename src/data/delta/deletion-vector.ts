/**
 * @file Deletion vectors of Delta tables: which rows of a file are deleted. A vector is a 64-bit Roaring bitmap in its
 * portable form (https://github.com/RoaringBitmap/RoaringFormatSpec), within the log or in a file.
 */

import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describeValue } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { DataFile } from '../sources/data-file.js'
import { type DeletionVectorPlace, resolvePath } from './delta-log.js'

const MAGIC = 1681511377
const SERIAL_COOKIE = 12347
const SERIAL_COOKIE_NO_RUNS = 12346
// From here on containers say where they are, whatever their kind.
const NO_OFFSET_THRESHOLD = 4
const MOST_ARRAY_VALUES = 4096
const Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'
const UUID_CHARACTERS = 20

/**
 * The numbers of the rows, from 0, that a vector deletes.
 * @throws naming the file where the vector is damaged
 */
export async function readDeletionVector(table: string, place: DeletionVectorPlace): Promise<ReadonlySet<number>> {
  const where = place.storageType === 'i' ? `${table}: a deletion vector in its log` : vectorPath(table, place)
  try {
    const bytes = place.storageType === 'i' ? decodeZ85(place.pathOrInlineDv) : await readStored(where, place)
    const rows = decodeVector(Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, place.sizeInBytes)))
    if (rows.size !== Number(place.cardinality))
      throw new DataError(`${rows.size} deleted rows where the log says ${place.cardinality}`)
    return rows
  } catch (error) {
    if (error instanceof DataError && error.file === undefined)
      throw new DataError(`[data] expected a deletion vector in ${where}, got ${error.message}`, {
        file: where,
        cause: error,
      })
    if (error instanceof RangeError)
      throw new DataError(`[data] expected a deletion vector in ${where}, got one that was cut`, {
        file: where,
        cause: error,
      })
    throw error
  }
}

/** Where a stored vector is: a file by the UUID at the end of its name, behind an optional folder, or a path. */
function vectorPath(table: string, { storageType, pathOrInlineDv: name }: DeletionVectorPlace): string {
  if (storageType === 'p') return resolvePath(table, name)
  if (storageType !== 'u')
    throw new DataError(
      `[data] expected a deletion vector of the kinds u, i or p in ${table}, got ${describeValue(storageType)}`,
      {
        file: table,
      },
    )
  const hex = Buffer.from(decodeZ85(name.slice(-UUID_CHARACTERS))).toString('hex')
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return join(table, name.slice(0, -UUID_CHARACTERS), `deletion_vector_${uuid}.bin`)
}

/** The bytes of a vector in a file: its size, itself, and its CRC-32. */
async function readStored(path: string, { offset, sizeInBytes }: DeletionVectorPlace): Promise<Uint8Array> {
  const file = await DataFile.open(path)
  try {
    const start = Number(offset ?? 1)
    const stored = Buffer.from(await file.slice(start, start + sizeInBytes + 8))
    const size = stored.readUInt32BE(0)
    if (size !== sizeInBytes) throw new DataError(`one of ${size} bytes where the log says ${sizeInBytes}`)
    const bytes = stored.subarray(4, 4 + size)
    if (crc32(bytes) !== stored.readUInt32BE(4 + size)) throw new DataError('bytes with another checksum')
    return bytes
  } finally {
    await file.close()
  }
}

function decodeVector(bytes: Buffer): Set<number> {
  const rows = new Set<number>()
  if (bytes.readUInt32LE(0) !== MAGIC) throw new DataError('another magic number')
  const bitmaps = Number(bytes.readBigUInt64LE(4))
  let at = 12
  for (let index = 0; index < bitmaps; index++) {
    const high = bytes.readUInt32LE(at) * 2 ** 32
    at = decodeBitmap(bytes, at + 4, (value) => rows.add(high + value))
  }
  return rows
}

/** Decodes one 32-bit bitmap. @returns where it ends */
function decodeBitmap(bytes: Buffer, start: number, add: (value: number) => void): number {
  const cookie = bytes.readUInt32LE(start)
  const hasRuns = (cookie & 0xffff) === SERIAL_COOKIE
  if (!hasRuns && cookie !== SERIAL_COOKIE_NO_RUNS) throw new DataError('a bitmap of another form')
  const count = hasRuns ? (cookie >>> 16) + 1 : bytes.readUInt32LE(start + 4)
  const runFlags = start + 4
  const headers = hasRuns ? runFlags + Math.ceil(count / 8) : start + 8
  const hasOffsets = !hasRuns || count >= NO_OFFSET_THRESHOLD
  let at = headers + 4 * count + (hasOffsets ? 4 * count : 0)
  for (let index = 0; index < count; index++) {
    const high = bytes.readUInt16LE(headers + 4 * index) * 2 ** 16
    const values = bytes.readUInt16LE(headers + 4 * index + 2) + 1
    const isRun = hasRuns && ((bytes.readUInt8(runFlags + (index >> 3)) >> (index % 8)) & 1) === 1
    if (isRun) {
      const runs = bytes.readUInt16LE(at)
      for (let run = 0; run < runs; run++) {
        const first = bytes.readUInt16LE(at + 2 + 4 * run)
        const length = bytes.readUInt16LE(at + 4 + 4 * run)
        for (let value = first; value <= first + length; value++) add(high + value)
      }
      at += 2 + 4 * runs
    } else if (values <= MOST_ARRAY_VALUES) {
      for (let value = 0; value < values; value++) add(high + bytes.readUInt16LE(at + 2 * value))
      at += 2 * values
    } else {
      for (let value = 0; value < 2 ** 16; value++)
        if (((bytes.readUInt8(at + (value >> 3)) >> (value % 8)) & 1) === 1) add(high + value)
      at += 2 ** 13
    }
  }
  return at
}

/** Bytes from Z85 (https://rfc.zeromq.org/spec/32): five characters are four bytes. */
function decodeZ85(text: string): Uint8Array {
  if (text.length % 5 !== 0) throw new DataError(`Z85 text of ${text.length} characters`)
  const bytes = Buffer.alloc((text.length / 5) * 4)
  for (let at = 0; at < text.length; at += 5) {
    let value = 0
    for (const character of text.slice(at, at + 5)) {
      const digit = Z85.indexOf(character)
      if (digit < 0) throw new DataError(`${describeValue(character)} in Z85 text`)
      value = value * 85 + digit
    }
    bytes.writeUInt32BE(value % 2 ** 32, (at / 5) * 4)
  }
  return bytes
}
