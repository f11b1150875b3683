/**
 * @file Unpacks a zip archive that a stranger made: nothing outside of its folder, no links, no more than it says, and
 * no more than an honest archive holds. Zip64 is read, as archives beyond 4 GiB have it.
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { crc32, createInflateRaw } from 'node:zlib'
import { writeFileAtomic } from '../atomic-write.js'
import { formatBytes } from '../bytes.js'
import { describeValue } from '../errors.js'
import { DataError } from '../lowrank-error.js'
import { openRegularFile } from '../regular-file.js'

/** A file of an archive. */
interface Entry {
  readonly name: string
  readonly method: number
  readonly packed: number
  readonly size: number
  readonly crc: number
  /** Where its own header begins. */
  readonly at: number
}

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
/** Bytes that any archive may unpack to, and how many times its size beyond them. */
const FREE_BYTES = 64 * 2 ** 20
const LARGEST_RATIO = 400
const NO_NAME = /^[/\\]|^[a-z]:|\\|(?:^|\/)\.\.?(?:\/|$)|\0|\/\/|^$/i

/**
 * @param archive What errors call it.
 * @param onBytes Told the bytes that have been unpacked, and of how many.
 * @returns the files, by their paths in the folder
 * @throws DataError saying what is wrong with the archive; what was unpacked before that stays in `directory`
 */
export async function unzip(
  path: string,
  directory: string,
  archive: string,
  {
    signal,
    onBytes,
  }: { signal?: AbortSignal | undefined; onBytes?: ((bytes: number, total: number) => void) | undefined },
): Promise<{ readonly name: string; readonly bytes: number }[]> {
  const file = await openRegularFile('kaggle', path)
  try {
    const { size } = await file.stat()
    const fault: Fault = (got, remedy = 'pull it anew') =>
      new DataError(`[kaggle] expected a sound zip archive from ${archive}, got ${got}; ${remedy}`)
    const entries = await readDirectory(file, size, fault)
    const total = entries.reduce((sum, entry) => sum + entry.size, 0)
    if (total > FREE_BYTES && total > LARGEST_RATIO * size) {
      throw fault(
        `${formatBytes(total)} in ${formatBytes(size)}, as archives have it that are made to fill a disk (zip bombs)`,
        'nothing of it is unpacked: do not use it',
      )
    }
    let done = 0
    for (const entry of entries) {
      signal?.throwIfAborted()
      const counted = (bytes: number): void => onBytes?.(done + bytes, total)
      await writeFileAtomic(join(directory, entry.name), contentOf(file, entry, fault, counted, signal))
      done += entry.size
    }
    return entries.map(({ name, size: bytes }) => ({ name, bytes }))
  } finally {
    await file.close()
  }
}

type Fault = (got: string, remedy?: string) => DataError

/** The files that the directory of the archive names, each checked. */
async function readDirectory(file: FileHandle, size: number, fault: Fault): Promise<readonly Entry[]> {
  const { start, length, count } = await findDirectory(file, size, fault)
  if (length > LARGEST_DIRECTORY || start + length > size) throw fault('a damaged directory')
  const bytes = await read(file, start, length, fault)
  const entries: Entry[] = []
  const names = new Set<string>()
  let at = 0
  for (let index = 0; index < count; index++) {
    if (at + 46 > bytes.length || bytes.readUInt32LE(at) !== ENTRY) throw fault('a damaged directory')
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ]
    const next = at + 46 + nameBytes + extraBytes + commentBytes
    if (next > bytes.length) throw fault('a damaged directory')
    const name = bytes.toString('utf8', at + 46, at + 46 + nameBytes)
    const folded = name.normalize('NFC').toLowerCase()
    if (NO_NAME.test(name)) throw fault(`the file ${describeValue(name)}, which leads outside`, 'do not use it')
    const mode = bytes.readUInt32LE(at + 38) >>> 16
    const kind = mode & 0o170000
    if (kind !== 0 && kind !== 0o100000 && kind !== 0o040000)
      throw fault(`${describeValue(name)}, which is a link or a device`, 'do not use it')
    if (bytes.readUInt16LE(at + 8) & 1)
      throw fault(`${describeValue(name)}, which needs a password`, 'unpack it yourself')
    const entry = {
      name,
      method: bytes.readUInt16LE(at + 10),
      crc: bytes.readUInt32LE(at + 16),
      ...wideFields(bytes.subarray(at, next), nameBytes, extraBytes, fault),
    }
    at = next
    if (name.endsWith('/')) continue
    if (names.has(folded)) throw fault(`${describeValue(name)} twice`, 'do not use it')
    names.add(folded)
    if (entry.method !== STORED && entry.method !== DEFLATED)
      throw fault(`${describeValue(name)}, packed by method ${entry.method}`, 'unpack it yourself')
    if (entry.method === STORED && entry.packed !== entry.size) throw fault('a damaged directory')
    entries.push(entry)
  }
  // Entries that share their bytes are how a small archive becomes a large one.
  const inOrder = [...entries].sort((a, b) => a.at - b.at)
  for (const [index, entry] of inOrder.entries()) {
    const end = inOrder[index + 1]?.at ?? start
    if (entry.at + 30 + entry.packed > end) throw fault('files that lie over one another', 'do not use it')
  }
  return entries
}

/** Sizes and place of an entry; those that do not fit 32 bits are in its extra field. */
function wideFields(
  entry: Buffer,
  nameBytes: number,
  extraBytes: number,
  fault: Fault,
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
  throw fault('a damaged directory')
}

async function findDirectory(
  file: FileHandle,
  size: number,
  fault: Fault,
): Promise<{ start: number; length: number; count: number }> {
  const tailBytes = Math.min(size, END_BYTES + LARGEST_COMMENT)
  const tail = await read(file, size - tailBytes, tailBytes, fault)
  let at = tail.length - END_BYTES
  while (at >= 0 && tail.readUInt32LE(at) !== END) at--
  if (at < 0) throw fault('what has no directory of files: it was cut, or is no zip archive')
  const found = {
    start: tail.readUInt32LE(at + 16),
    length: tail.readUInt32LE(at + 12),
    count: tail.readUInt16LE(at + 10),
  }
  const locator = at - LOCATOR_BYTES
  if (locator < 0 || tail.readUInt32LE(locator) !== LOCATOR64) return found
  const place = Number(tail.readBigUInt64LE(locator + 8))
  if (place + 56 > size) throw fault('a damaged directory')
  const wide = await read(file, place, 56, fault)
  if (wide.readUInt32LE(0) !== END64) throw fault('a damaged directory')
  const [count, length, start] = [32, 40, 48].map((field) => Number(wide.readBigUInt64LE(field))) as [
    number,
    number,
    number,
  ]
  return { start, length, count }
}

/** The bytes of a file, checked while they come: their number and their CRC. */
async function* contentOf(
  file: FileHandle,
  entry: Entry,
  fault: Fault,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const { name, method, packed, size, crc, at } = entry
  const header = await read(file, at, 30, fault)
  if (header.readUInt32LE(0) !== LOCAL) throw fault('a damaged directory')
  const start = at + 30 + header.readUInt16LE(26) + header.readUInt16LE(28)
  const source = bytesOf(file, start, packed, fault)
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
      if (length > size) throw fault(`${describeValue(name)}, which is larger than it says`, 'do not use it')
      sum = crc32(piece, sum)
      onBytes(length)
      yield piece
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof DataError ? error : fault(`${describeValue(name)}, which does not unpack`)
  }
  if (length !== size || sum !== crc) throw fault(`${describeValue(name)}, which is damaged`)
}

async function* bytesOf(file: FileHandle, start: number, length: number, fault: Fault): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < length; at += PIECE_BYTES)
    yield await read(file, start + at, Math.min(PIECE_BYTES, length - at), fault)
}

async function read(file: FileHandle, start: number, length: number, fault: Fault): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, length - at, start + at)
    if (bytesRead === 0) throw fault('one that ends too early')
    at += bytesRead
  }
  return bytes
}
