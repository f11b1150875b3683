/**
 * @file The "K" formats of ggml: blocks of 256 whose parts of 16 or 32 have integer scales of their own. See
 * `block-formats.ts` for the notation and the roundings.
 */

import { halfToFloat } from '../weights/half.js'
import type { BlockFormat } from '../weights/weight-tensor.js'

const SIZE = 256

/** Scales and minima of parts of 16, a nibble each [16], 2-bit q [64], d, dmin: (d scale) q - (dmin min). */
export const Q2_K: BlockFormat = {
  size: SIZE,
  bytes: 84,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 84) {
      const d = halfToFloat(packed, at + 80)
      const dmin = halfToFloat(packed, at + 82)
      for (let part = 0; part < 16; part++) {
        const byte = packed[at + part] as number
        const scale = Math.fround(d * (byte & 15))
        const min = Math.fround(dmin * (byte >> 4))
        const { from, shift } = twoBits(part, at + 16)
        for (let i = 0; i < 16; i++) {
          values[to++] = Math.fround(scale * (((packed[from + i] as number) >> shift) & 3)) - min
        }
      }
    }
  },
}

/**
 * Third bits [32], 2-bit q [64], 6-bit scales of parts of 16 [12], d: (d (scale - 32)) (q - 4 where the third bit is
 * 0).
 */
export const Q3_K: BlockFormat = {
  size: SIZE,
  bytes: 110,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 110) {
      const d = halfToFloat(packed, at + 108)
      for (let part = 0; part < 16; part++) {
        // Nibbles of the first 8 bytes are the low four bits, pairs of bits of the last 4 the high two.
        const low = ((packed[at + 96 + (part & 7)] as number) >> (4 * (part >> 3))) & 15
        const high = ((packed[at + 104 + (part & 3)] as number) >> (2 * (part >> 2))) & 3
        const scale = Math.fround(d * ((low | (high << 4)) - 32))
        const { from, shift } = twoBits(part, at + 32)
        const mask = at + 16 * (part & 1)
        for (let i = 0; i < 16; i++) {
          const q = ((packed[from + i] as number) >> shift) & 3
          const third = ((packed[mask + i] as number) >> (part >> 1)) & 1
          values[to++] = scale * (q - 4 * (1 - third))
        }
      }
    }
  },
}

/** d, dmin, 6-bit scales and minima of parts of 32 [12], nibbles [128]: (d scale) q - (dmin min). */
export const Q4_K: BlockFormat = {
  size: SIZE,
  bytes: 144,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 144) {
      const d = halfToFloat(packed, at)
      const dmin = halfToFloat(packed, at + 2)
      for (let part = 0; part < 8; part++) {
        const scale = Math.fround(d * scaleOf(packed, at + 4, part))
        const min = Math.fround(dmin * minOf(packed, at + 4, part))
        const from = at + 16 + 32 * (part >> 1)
        const shift = 4 * (part & 1)
        for (let i = 0; i < 32; i++) {
          values[to++] = Math.fround(scale * (((packed[from + i] as number) >> shift) & 15)) - min
        }
      }
    }
  },
}

/** As Q4_K, with fifth bits [32] before the nibbles. */
export const Q5_K: BlockFormat = {
  size: SIZE,
  bytes: 176,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 176) {
      const d = halfToFloat(packed, at)
      const dmin = halfToFloat(packed, at + 2)
      for (let part = 0; part < 8; part++) {
        const scale = Math.fround(d * scaleOf(packed, at + 4, part))
        const min = Math.fround(dmin * minOf(packed, at + 4, part))
        const from = at + 48 + 32 * (part >> 1)
        const shift = 4 * (part & 1)
        for (let i = 0; i < 32; i++) {
          const fifth = ((packed[at + 16 + i] as number) >> part) & 1
          const q = (((packed[from + i] as number) >> shift) & 15) | (fifth << 4)
          values[to++] = Math.fround(scale * q) - min
        }
      }
    }
  },
}

/** Nibbles [128], upper 2 bits [64], int8 scales of parts of 16 [16], d: (d scale) (q - 32). */
export const Q6_K: BlockFormat = {
  size: SIZE,
  bytes: 210,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 210) {
      const d = halfToFloat(packed, at + 208)
      for (let part = 0; part < 16; part++) {
        const scale = Math.fround(d * (((packed[at + 192 + part] as number) << 24) >> 24))
        const half = part >> 3
        const low = at + 64 * half + 16 * (part & 3)
        const lowShift = 4 * ((part >> 2) & 1)
        const { from, shift } = twoBits(part, at + 128)
        for (let i = 0; i < 16; i++) {
          const q =
            (((packed[low + i] as number) >> lowShift) & 15) | ((((packed[from + i] as number) >> shift) & 3) << 4)
          values[to++] = scale * (q - 32)
        }
      }
    }
  },
}

/** Where the 2-bit numbers of a part of 16 are: 32 bytes hold 128 of them, the first 32 in the lowest bits. */
function twoBits(part: number, start: number): { from: number; shift: number } {
  return { from: start + 32 * (part >> 3) + 16 * (part & 1), shift: 2 * ((part >> 1) & 3) }
}

/**
 * The 12 bytes hold 4 scales and 4 minima in their lower six bits, then the lower nibbles of 4 more of each, whose
 * upper bits are above the others.
 */
function scaleOf(packed: Uint8Array, at: number, part: number): number {
  if (part < 4) return (packed[at + part] as number) & 63
  return ((packed[at + 4 + part] as number) & 15) | (((packed[at + part - 4] as number) >> 2) & 48)
}

function minOf(packed: Uint8Array, at: number, part: number): number {
  if (part < 4) return (packed[at + 4 + part] as number) & 63
  return ((packed[at + 4 + part] as number) >> 4) | (((packed[at + part] as number) >> 2) & 48)
}
