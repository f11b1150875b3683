/**
 * @file Snappy (https://github.com/google/snappy/blob/main/format_description.txt), packing alone: a block of literals
 * and of copies of what came up to 64 KiB before it. Knows no format of files.
 */

/** How far back copies reach. */
const WINDOW_BYTES = (1 << 16) - 1
const TABLE_BITS = 14
// Where a copy is found: by four bytes, which are read at once and must not end behind the input.
const LEAST_COPY = 4
const TAIL_BYTES = 15
// Without a copy for so many places, the search begins to leave places out.
const PATIENCE_BITS = 5
const LITERAL = 0
const NEAR_COPY = 1
const FAR_COPY = 2

/** Where four bytes with the same hash were seen last. */
const table = new Uint32Array(1 << TABLE_BITS)

/** Packs bytes. */
export function snappy(input: Uint8Array): Uint8Array {
  const { length } = input
  // Literals take five bytes more each at most, and are behind a copy, which takes less than it copies.
  const output = Buffer.allocUnsafeSlow(32 + length + Math.ceil(length / 4))
  const view = new DataView(input.buffer, input.byteOffset, length)
  let out = 0
  let rest = length
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) output[out++] = (rest % 0x80) | 0x80
  output[out++] = rest
  table.fill(0)
  const last = length - TAIL_BYTES
  // What is before `done` is written.
  let done = 0
  let misses = 1 << PATIENCE_BITS
  for (let at = 1; at < last; ) {
    const bytes = view.getInt32(at, true)
    const slot = hashOf(bytes)
    const found = table[slot] as number
    table[slot] = at
    if (at - found > WINDOW_BYTES || view.getInt32(found, true) !== bytes) {
      at += misses++ >> PATIENCE_BITS
      continue
    }
    misses = 1 << PATIENCE_BITS
    let copied = LEAST_COPY
    while (at + copied < length && input[found + copied] === input[at + copied]) copied++
    out = putLiteral(input, done, at, output, out)
    out = putCopy(at - found, copied, output, out)
    at += copied
    done = at
    if (at < last) table[hashOf(view.getInt32(at - 1, true))] = at - 1
  }
  return output.subarray(0, putLiteral(input, done, length, output, out))
}

function hashOf(bytes: number): number {
  return Math.imul(bytes, 0x1e35a7bd) >>> (32 - TABLE_BITS)
}

function putLiteral(input: Uint8Array, start: number, end: number, output: Buffer, to: number): number {
  const length = end - start
  if (length === 0) return to
  let out = to
  if (length <= 60) output[out++] = ((length - 1) << 2) | LITERAL
  else if (length <= 0x100) {
    output[out++] = (60 << 2) | LITERAL
    output[out++] = length - 1
  } else {
    const bytes = length <= 0x10000 ? 2 : length <= 0x1000000 ? 3 : 4
    output[out++] = ((59 + bytes) << 2) | LITERAL
    for (let index = 0; index < bytes; index++) output[out++] = ((length - 1) >>> (8 * index)) & 0xff
  }
  if (length > 64) output.set(input.subarray(start, end), out)
  else for (let index = 0; index < length; index++) output[out + index] = input[start + index] as number
  return out + length
}

function putCopy(offset: number, length: number, output: Buffer, to: number): number {
  let out = to
  let rest = length
  // A last piece of fewer than four bytes would be none that a near copy could say.
  for (; rest >= 68; rest -= 64) out = putFarCopy(offset, 64, output, out)
  if (rest > 64) {
    out = putFarCopy(offset, 60, output, out)
    rest -= 60
  }
  if (rest >= 12 || offset >= 2048) return putFarCopy(offset, rest, output, out)
  output[out++] = ((offset >> 8) << 5) | ((rest - 4) << 2) | NEAR_COPY
  output[out++] = offset & 0xff
  return out
}

function putFarCopy(offset: number, length: number, output: Buffer, to: number): number {
  output[to] = ((length - 1) << 2) | FAR_COPY
  output[to + 1] = offset & 0xff
  output[to + 2] = offset >> 8
  return to + 3
}
