/**
 * @file The block formats of ggml that are read, unpacked to float32 with the roundings of ggml's own reference: every
 * product and sum is rounded to float32. Blocks of 32 are here, those of 256 ("K") in `k-formats.ts`. Layouts:
 * ggml-common.h of https://github.com/ggml-org/ggml
 *
 * In comments d and m are float16 numbers, q a packed integer, [n] a number of bytes.
 */

import { halfToFloat } from '../weights/half.js'
import type { BlockFormat } from '../weights/weight-tensor.js'
import { Q2_K, Q3_K, Q4_K, Q5_K, Q6_K } from './k-formats.js'

const SIZE = 32

/** d, int8 q [32]: d q. */
const Q8_0: BlockFormat = {
  size: SIZE,
  bytes: 34,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 34) {
      const d = halfToFloat(packed, at)
      for (let i = 0; i < SIZE; i++) values[to++] = d * (((packed[at + 2 + i] as number) << 24) >> 24)
    }
  },
}

/** d, nibbles [16]: d (q - 8). The low nibbles are the first half of the block, in all formats of this file. */
const Q4_0: BlockFormat = {
  size: SIZE,
  bytes: 18,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 18, to += SIZE) {
      const d = halfToFloat(packed, at)
      for (let i = 0; i < 16; i++) {
        const byte = packed[at + 2 + i] as number
        values[to + i] = d * ((byte & 15) - 8)
        values[to + 16 + i] = d * ((byte >> 4) - 8)
      }
    }
  },
}

/** d, m, nibbles [16]: d q + m. */
const Q4_1: BlockFormat = {
  size: SIZE,
  bytes: 20,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 20, to += SIZE) {
      const d = halfToFloat(packed, at)
      const m = halfToFloat(packed, at + 2)
      for (let i = 0; i < 16; i++) {
        const byte = packed[at + 4 + i] as number
        values[to + i] = Math.fround(d * (byte & 15)) + m
        values[to + 16 + i] = Math.fround(d * (byte >> 4)) + m
      }
    }
  },
}

/** d, fifth bits [4], nibbles [16]: d (q - 16). */
const Q5_0: BlockFormat = {
  size: SIZE,
  bytes: 22,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 22, to += SIZE) {
      const d = halfToFloat(packed, at)
      for (let i = 0; i < 16; i++) {
        const byte = packed[at + 6 + i] as number
        values[to + i] = d * (((byte & 15) | (fifthBit(packed, at + 2, i) << 4)) - 16)
        values[to + 16 + i] = d * (((byte >> 4) | (fifthBit(packed, at + 2, 16 + i) << 4)) - 16)
      }
    }
  },
}

/** d, m, fifth bits [4], nibbles [16]: d q + m. */
const Q5_1: BlockFormat = {
  size: SIZE,
  bytes: 24,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 24, to += SIZE) {
      const d = halfToFloat(packed, at)
      const m = halfToFloat(packed, at + 2)
      for (let i = 0; i < 16; i++) {
        const byte = packed[at + 8 + i] as number
        values[to + i] = Math.fround(d * ((byte & 15) | (fifthBit(packed, at + 4, i) << 4))) + m
        values[to + 16 + i] = Math.fround(d * ((byte >> 4) | (fifthBit(packed, at + 4, 16 + i) << 4))) + m
      }
    }
  },
}

const IQ4_NL_CODE = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]

/** d, nibbles [16]: d code[q], with a code that is not linear. */
const IQ4_NL: BlockFormat = {
  size: SIZE,
  bytes: 18,
  unpack(packed, count, values) {
    for (let block = 0, at = 0, to = 0; block < count; block++, at += 18, to += SIZE) {
      const d = halfToFloat(packed, at)
      for (let i = 0; i < 16; i++) {
        const byte = packed[at + 2 + i] as number
        values[to + i] = d * (IQ4_NL_CODE[byte & 15] as number)
        values[to + 16 + i] = d * (IQ4_NL_CODE[byte >> 4] as number)
      }
    }
  },
}

function fifthBit(packed: Uint8Array, at: number, i: number): number {
  return ((packed[at + (i >> 3)] as number) >> (i & 7)) & 1
}

/** By the name that ggml gives the type. */
export const BLOCK_FORMATS: Readonly<Record<string, BlockFormat>> = {
  Q8_0,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  IQ4_NL,
}
