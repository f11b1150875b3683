/** @file Deletion vectors as Delta writes them, for tables that tests make: no writer within reach makes any. */

import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

const Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'

export function encodeZ85(bytes: Buffer): string {
  const padded = Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
  let text = ''
  for (let at = 0; at < padded.length; at += 4) {
    let value = padded.readUInt32BE(at)
    let group = ''
    for (let digit = 0; digit < 5; digit++) {
      group = Z85.charAt(value % 85) + group
      value = Math.floor(value / 85)
    }
    text += group
  }
  return text
}

/** Rows below 2^32 as a 64-bit Roaring bitmap; `runs` writes containers of runs where the others have arrays. */
export function encodeVector(rows: readonly number[], { runs = false } = {}): Buffer {
  const groups = new Map<number, number[]>()
  for (const row of rows) groups.set(row >>> 16, [...(groups.get(row >>> 16) ?? []), row & 0xffff])
  const keys = [...groups.keys()].sort((a, b) => a - b)
  const bodies = keys.map((key) => containerOf(groups.get(key) as number[], runs))
  const headers = Buffer.alloc(4 * keys.length)
  for (const [index, key] of keys.entries()) {
    headers.writeUInt16LE(key, 4 * index)
    headers.writeUInt16LE((groups.get(key) as number[]).length - 1, 4 * index + 2)
  }
  const cookie = runs ? Buffer.alloc(4 + Math.ceil(keys.length / 8), 0xff) : Buffer.alloc(8)
  if (runs) cookie.writeUInt32LE(12347 | ((keys.length - 1) << 16), 0)
  else {
    cookie.writeUInt32LE(12346, 0)
    cookie.writeUInt32LE(keys.length, 4)
  }
  // Readers that go from one container to the next need no places, but they are part of the form.
  const places = !runs || keys.length >= 4 ? Buffer.alloc(4 * keys.length) : Buffer.alloc(0)
  let place = cookie.length + headers.length + places.length
  for (const [index, body] of bodies.entries()) {
    if (places.length > 0) places.writeUInt32LE(place, 4 * index)
    place += body.length
  }
  const head = Buffer.alloc(16)
  head.writeUInt32LE(1681511377, 0)
  head.writeBigUInt64LE(1n, 4)
  return Buffer.concat([head, cookie, headers, places, ...bodies])
}

function containerOf(values: readonly number[], runs: boolean): Buffer {
  if (runs) {
    const pairs: [number, number][] = []
    for (const value of values) {
      const last = pairs.at(-1)
      if (last !== undefined && last[0] + last[1] + 1 === value) last[1]++
      else pairs.push([value, 0])
    }
    return words([pairs.length, ...pairs.flat()])
  }
  if (values.length <= 4096) return words(values)
  const bits = Buffer.alloc(2 ** 13)
  for (const value of values) bits[value >> 3] = (bits[value >> 3] as number) | (1 << (value % 8))
  return bits
}

function words(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt16LE(value, 2 * index)
  return bytes
}

/** Writes a vector to a file of a table. @returns the fields of its place in the log */
export async function storeVector(table: string, vector: Buffer): Promise<{ uuid: string; path: string }> {
  const id = randomBytes(16)
  const name = id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const size = Buffer.alloc(4)
  size.writeUInt32BE(vector.length)
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(vector))
  const path = join(table, `deletion_vector_${name}.bin`)
  await writeFile(path, Buffer.concat([Buffer.from([1]), size, vector, sum]))
  return { uuid: encodeZ85(id), path }
}
