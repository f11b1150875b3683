/** @file Zip archives, sound ones and ones that are made to do harm. */

import { crc32, deflateRawSync } from 'node:zlib'

export interface ZipFile {
  readonly name: string
  readonly content: Uint8Array | string
  /** Kind and rights as Unix has them: 0o120777 is a link. */
  readonly mode?: number
  readonly isStored?: boolean
  /** What the directory says in place of the truth. */
  readonly says?: { readonly size?: number; readonly crc?: number; readonly flags?: number; readonly method?: number }
}

/** @param isWide Whether sizes and places stand in fields of 64 bits. */
export function makeZip(files: readonly ZipFile[], isWide = false): Buffer {
  const parts: Buffer[] = []
  const entries: Buffer[] = []
  let at = 0
  for (const { name, content, mode = 0o100644, isStored = false, says = {} } of files) {
    const bytes = Buffer.from(content)
    const packed = isStored ? bytes : deflateRawSync(bytes)
    const title = Buffer.from(name)
    const size = says.size ?? bytes.length
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(title.length, 26)
    const wide = Buffer.alloc(isWide ? 28 : 0)
    if (isWide) {
      wide.writeUInt16LE(1, 0)
      wide.writeUInt16LE(24, 2)
      wide.writeBigUInt64LE(BigInt(size), 4)
      wide.writeBigUInt64LE(BigInt(packed.length), 12)
      wide.writeBigUInt64LE(BigInt(at), 20)
    }
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(says.flags ?? 0, 8)
    entry.writeUInt16LE(says.method ?? (isStored ? 0 : 8), 10)
    entry.writeUInt32LE(says.crc ?? crc32(bytes), 16)
    entry.writeUInt32LE(isWide ? 0xffffffff : packed.length, 20)
    entry.writeUInt32LE(isWide ? 0xffffffff : size, 24)
    entry.writeUInt16LE(title.length, 28)
    entry.writeUInt16LE(wide.length, 30)
    entry.writeUInt32LE((mode << 16) >>> 0, 38)
    entry.writeUInt32LE(isWide ? 0xffffffff : at, 42)
    entries.push(entry, title, wide)
    parts.push(local, title, packed)
    at += 30 + title.length + packed.length
  }
  const directory = Buffer.concat(entries)
  const tail: Buffer[] = []
  if (isWide) {
    const end64 = Buffer.alloc(56)
    end64.writeUInt32LE(0x06064b50, 0)
    end64.writeBigUInt64LE(BigInt(files.length), 32)
    end64.writeBigUInt64LE(BigInt(directory.length), 40)
    end64.writeBigUInt64LE(BigInt(at), 48)
    const locator = Buffer.alloc(20)
    locator.writeUInt32LE(0x07064b50, 0)
    locator.writeBigUInt64LE(BigInt(at + directory.length), 8)
    tail.push(end64, locator)
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(isWide ? 0xffff : files.length, 10)
  end.writeUInt32LE(isWide ? 0xffffffff : directory.length, 12)
  end.writeUInt32LE(isWide ? 0xffffffff : at, 16)
  return Buffer.concat([...parts, directory, ...tail, end])
}
