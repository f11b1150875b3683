/**
 * @file Refuses zip archives that would do harm when they are unpacked: names that lead outside, and content that is
 * much larger than the archive says or may be. Unpacks nothing to disk.
 */

import { inflateRawSync } from 'node:zlib'
import { formatBytes } from '../bytes.js'
import { DataError } from '../lowrank-error.js'

const END = 0x06054b50
const ENTRY = 0x02014b50
const STORED = 0
const DEFLATED = 8
const LARGEST_COMMENT = 0xffff
const END_BYTES = 22
/** More than any document that people write, and less than would fill a machine. */
const LARGEST_CONTENT = 256 * 2 ** 20

/**
 * @param file What errors call the archive.
 * @throws DataError saying what is wrong with it
 */
export function expectSafeZip(bytes: Buffer, file: string): void {
  const fault = (got: string, remedy = 'get the file anew from where it comes'): DataError =>
    new DataError(`[documents] expected a sound zip archive in ${file}, got ${got}; ${remedy}`, { file })
  const end = findEnd(bytes)
  if (end === undefined) throw fault('one without its directory')
  const count = bytes.readUInt16LE(end + 10)
  let at = bytes.readUInt32LE(end + 16)
  let total = 0
  for (let entry = 0; entry < count; entry++) {
    if (at + 46 > end || bytes.readUInt32LE(at) !== ENTRY) throw fault('a damaged directory')
    const [flags, method] = [bytes.readUInt16LE(at + 8), bytes.readUInt16LE(at + 10)]
    const [packed, size] = [bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 24)]
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ]
    const local = bytes.readUInt32LE(at + 42)
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength)
    if (/^[/\\]|^[a-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|\0/i.test(name))
      throw fault(`the entry ${JSON.stringify(name)}, which leads outside`, 'do not open it')
    if (flags & 1) throw fault('an entry with a password', 'save it without one')
    total += size
    if (total > LARGEST_CONTENT) throw fault(`more than ${formatBytes(LARGEST_CONTENT)} of content`, 'do not open it')
    if (local + 30 > bytes.length) throw fault('a damaged directory')
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
    if (start + packed > bytes.length) throw fault('an archive that ends too early')
    if (method === DEFLATED) expectSize(bytes.subarray(start, start + packed), size, name, fault)
    else if (method !== STORED) throw fault(`an entry packed by method ${method}`, 'save it anew')
    else if (packed !== size) throw fault(`an entry of another size than it says`, 'do not open it')
    at += 46 + nameLength + extra + comment
  }
}

/** Unpacks an entry no further than it says that it goes. */
function expectSize(
  packed: Buffer,
  size: number,
  name: string,
  fault: (got: string, remedy?: string) => DataError,
): void {
  let length: number
  try {
    length = inflateRawSync(packed, { maxOutputLength: Math.max(1, size) }).length
  } catch (error) {
    const isLarger = (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE'
    throw fault(
      isLarger ? `the entry ${JSON.stringify(name)}, which is larger than it says` : 'an entry that does not unpack',
      isLarger ? 'do not open it' : undefined,
    )
  }
  if (length !== size) throw fault('an entry of another size than it says')
}

function findEnd(bytes: Buffer): number | undefined {
  const first = Math.max(0, bytes.length - END_BYTES - LARGEST_COMMENT)
  for (let at = bytes.length - END_BYTES; at >= first; at--) if (bytes.readUInt32LE(at) === END) return at
  return undefined
}
