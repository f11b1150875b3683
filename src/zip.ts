/**
 * @file Reads zip archives that strangers made: no names that lead outside, no links, no more than an archive says.
 * Zip64 is read, as archives beyond 4 GiB have it. Writes nothing.
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

import type { FileHandle } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { crc32, createInflateRaw } from 'node:zlib'
import { describeValue } from './errors.js'
import { DataError } from './lowrank-error.js'

/** A file of an archive. */
export interface ZipEntry {
  readonly name: string
  readonly method: number
  readonly packed: number
  readonly size: number
  readonly crc: number
  /** Where its own header begins. */
  readonly at: number
}

/** The bytes of an archive, of which few are in memory at a time. */
export interface ZipSource {
  readonly size: number
  /** As many of the bytes from `start` on as are there, `length` at most. */
  read(start: number, length: number): Promise<Buffer>
}

/** What is wrong: it was cut or changed, it was made to do harm, or it needs another program. */
export type ZipFlaw = 'damaged' | 'hostile' | 'foreign'

/** The error that says what was found in an archive. */
export type ZipFault = (got: string, flaw: ZipFlaw) => DataError

const END = 0x06054b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50
const ENTRY = 0x02014b50
const LOCAL = 0x04034b50
const END_BYTES = 22
const LOCATOR_BYTES = 20
const LARGEST_COMMENT = 0xffff
const LARGEST_DIRECTORY = 256 * 2 ** 20
const STORED = 0
const DEFLATED = 8
const PIECE_BYTES = 1 << 18
const NO_NAME = /^[/\\]|^[a-z]:|\\|(?:^|\/)\.\.?(?:\/|$)|\0|\/\/|^$/i

export function zipOfFile(file: FileHandle, size: number): ZipSource {
  return {
    size,
    async read(start, length) {
      const bytes = Buffer.alloc(length)
      let at = 0
      while (at < length) {
        const { bytesRead } = await file.read(bytes, at, length - at, start + at)
        if (bytesRead === 0) break
        at += bytesRead
      }
      return bytes.subarray(0, at)
    },
  }
}

export function zipOfBytes(bytes: Buffer): ZipSource {
  return { size: bytes.length, read: async (start, length) => bytes.subarray(start, start + length) }
}

/**
 * The files that the directory of an archive names, each checked.
 *
 * @throws what `fault` makes of the first flaw
 */
export async function readZipDirectory(source: ZipSource, fault: ZipFault): Promise<readonly ZipEntry[]> {
  const { size } = source
  const { start, length, count } = await findDirectory(source, fault)
  if (length > LARGEST_DIRECTORY || start + length > size) throw fault('a damaged directory', 'damaged')
  const bytes = await take(source, start, length, fault)
  const entries: ZipEntry[] = []
  const names = new Set<string>()
  let at = 0
  for (let index = 0; index < count; index++) {
    if (at + 46 > bytes.length || bytes.readUInt32LE(at) !== ENTRY) throw fault('a damaged directory', 'damaged')
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ]
    const next = at + 46 + nameBytes + extraBytes + commentBytes
    if (next > bytes.length) throw fault('a damaged directory', 'damaged')
    const name = bytes.toString('utf8', at + 46, at + 46 + nameBytes)
    const folded = name.normalize('NFC').toLowerCase()
    if (NO_NAME.test(name)) throw fault(`the file ${describeValue(name)}, which leads outside`, 'hostile')
    const mode = bytes.readUInt32LE(at + 38) >>> 16
    const kind = mode & 0o170000
    if (kind !== 0 && kind !== 0o100000 && kind !== 0o040000)
      throw fault(`${describeValue(name)}, which is a link or a device`, 'hostile')
    if (bytes.readUInt16LE(at + 8) & 1) throw fault(`${describeValue(name)}, which needs a password`, 'foreign')
    const entry = {
      name,
      method: bytes.readUInt16LE(at + 10),
      crc: bytes.readUInt32LE(at + 16),
      ...wideFields(bytes.subarray(at, next), nameBytes, extraBytes, fault),
    }
    at = next
    if (name.endsWith('/')) continue
    if (names.has(folded)) throw fault(`${describeValue(name)} twice`, 'hostile')
    names.add(folded)
    if (entry.method !== STORED && entry.method !== DEFLATED)
      throw fault(`${describeValue(name)}, packed by method ${entry.method}`, 'foreign')
    if (entry.method === STORED && entry.packed !== entry.size) throw fault('a damaged directory', 'damaged')
    entries.push(entry)
  }
  // Entries that share their bytes are how a small archive becomes a large one.
  const inOrder = [...entries].sort((a, b) => a.at - b.at)
  for (const [index, entry] of inOrder.entries()) {
    const end = inOrder[index + 1]?.at ?? start
    if (entry.at + 30 + entry.packed > end) throw fault('files that lie over one another', 'hostile')
  }
  return entries
}

/** Sizes and place of an entry; those that do not fit 32 bits are in its extra field. */
function wideFields(
  entry: Buffer,
  nameBytes: number,
  extraBytes: number,
  fault: ZipFault,
): { size: number; packed: number; at: number } {
  const fields = { size: entry.readUInt32LE(24), packed: entry.readUInt32LE(20), at: entry.readUInt32LE(42) }
  const names = (['size', 'packed', 'at'] as const).filter((name) => fields[name] === 0xffffffff)
  if (names.length === 0) return fields
  const extra = entry.subarray(46 + nameBytes, 46 + nameBytes + extraBytes)
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2)
    if (extra.readUInt16LE(at) === 1 && length >= 8 * names.length && at + 4 + length <= extra.length) {
      for (const [index, name] of names.entries()) fields[name] = Number(extra.readBigUInt64LE(at + 4 + 8 * index))
      return fields
    }
    at += 4 + length
  }
  throw fault('a damaged directory', 'damaged')
}

async function findDirectory(
  source: ZipSource,
  fault: ZipFault,
): Promise<{ start: number; length: number; count: number }> {
  const { size } = source
  const tailBytes = Math.min(size, END_BYTES + LARGEST_COMMENT)
  const tail = await take(source, size - tailBytes, tailBytes, fault)
  let at = tail.length - END_BYTES
  while (at >= 0 && tail.readUInt32LE(at) !== END) at--
  if (at < 0) throw fault('what has no directory of files: it was cut, or is no zip archive', 'damaged')
  const found = {
    start: tail.readUInt32LE(at + 16),
    length: tail.readUInt32LE(at + 12),
    count: tail.readUInt16LE(at + 10),
  }
  const locator = at - LOCATOR_BYTES
  if (locator < 0 || tail.readUInt32LE(locator) !== LOCATOR64) return found
  const place = Number(tail.readBigUInt64LE(locator + 8))
  if (place + 56 > size) throw fault('a damaged directory', 'damaged')
  const wide = await take(source, place, 56, fault)
  if (wide.readUInt32LE(0) !== END64) throw fault('a damaged directory', 'damaged')
  const [count, length, start] = [32, 40, 48].map((field) => Number(wide.readBigUInt64LE(field))) as [
    number,
    number,
    number,
  ]
  return { start, length, count }
}

/**
 * The bytes of a file, checked while they come: their number and their CRC.
 *
 * @param onBytes Told the bytes of it that have been unpacked.
 * @throws what `fault` makes of the first flaw
 */
export async function* readZipEntry(
  zip: ZipSource,
  entry: ZipEntry,
  fault: ZipFault,
  onBytes?: (bytes: number) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { name, method, packed, size, crc, at } = entry
  const header = await take(zip, at, 30, fault)
  if (header.readUInt32LE(0) !== LOCAL) throw fault('a damaged directory', 'damaged')
  const start = at + 30 + header.readUInt16LE(26) + header.readUInt16LE(28)
  const source = bytesOf(zip, start, packed, fault)
  let pieces: AsyncIterable<Uint8Array> = source
  if (method === DEFLATED) {
    const inflate = createInflateRaw({ chunkSize: PIECE_BYTES })
    pipeline(Readable.from(source, { objectMode: true }), inflate, () => {})
    pieces = inflate
  }
  let length = 0
  let sum = 0
  try {
    for await (const piece of pieces) {
      signal?.throwIfAborted()
      length += piece.length
      if (length > size) throw fault(`${describeValue(name)}, which is larger than it says`, 'hostile')
      sum = crc32(piece, sum)
      onBytes?.(length)
      yield piece
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof DataError ? error : fault(`${describeValue(name)}, which does not unpack`, 'damaged')
  }
  if (length !== size || sum !== crc) throw fault(`${describeValue(name)}, which is damaged`, 'damaged')
}

async function* bytesOf(source: ZipSource, start: number, length: number, fault: ZipFault): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < length; at += PIECE_BYTES)
    yield await take(source, start + at, Math.min(PIECE_BYTES, length - at), fault)
}

async function take(source: ZipSource, start: number, length: number, fault: ZipFault): Promise<Buffer> {
  const bytes = await source.read(start, length)
  if (bytes.length < length) throw fault('one that ends too early', 'damaged')
  return bytes
}
