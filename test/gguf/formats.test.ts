/** @file Packing of weights in the formats of GGUF, compared with slow references, and read again by the reader. */

import { describe, expect, test } from 'vitest'
import { BLOCK_FORMATS } from '../../src/gguf/block-formats.js'
import { FORMATS, type FormatName, packedBytes, packRows } from '../../src/gguf/formats.js'
import { Random } from '../../src/random.js'
import { loadAddon } from '../../src/tensor/addon.js'
import type { BlockFormat } from '../../src/weights/weight-tensor.js'
import { BLOCKS, bfloat16Bits, error, fittedError, halfBits, K_FORMATS } from '../reference/gguf-formats.js'

/** Rows of several sizes of values, one of zeros, one of one sign, one with an outlier. */
function weights(rows: number, cols: number): Float32Array {
  const random = new Random(7)
  const values = new Float32Array(rows * cols)
  for (let row = 0; row < rows; row++) values.set(random.normals(cols, 0, 2 ** ((row % 7) - 4)), row * cols)
  values.fill(0, 0, cols)
  for (let i = cols; i < 2 * cols; i++) values[i] = Math.abs(values[i] as number)
  values[2 * cols + 3] = 900
  values[2 * cols + 4] = -900
  return values
}

function unpacked(format: FormatName, packed: Uint8Array, count: number): Float32Array {
  const { unpack, size } = BLOCK_FORMATS[format] as BlockFormat
  const values = new Float32Array(count)
  unpack(packed, count / size, values)
  return values
}

test.each(Object.keys(BLOCKS) as FormatName[])('packs %s as the reference does, to the byte', async (format) => {
  const values = weights(63, 96)
  const packed = await packRows('w', format, values)
  const wanted: number[] = []
  for (let at = 0; at < values.length; at += 32)
    wanted.push(...(BLOCKS[format] as (x: readonly number[]) => number[])(Array.from(values.subarray(at, at + 32))))
  expect(Buffer.from(packed).equals(Buffer.from(wanted))).toBe(true)
})

test.each([
  ['F16', halfBits],
  ['BF16', bfloat16Bits],
] as const)('rounds to the nearest %s, ties to even', async (format, bitsOf) => {
  const special = [
    0,
    -0,
    1,
    -1,
    65504,
    -65504,
    2 ** -24,
    2 ** -25,
    1.5 * 2 ** -25,
    2 ** -14,
    2 ** -15 + 2 ** -25,
    1 / 3,
  ]
  const ties = Array.from({ length: 60 }, (_, i) => (2049 + 2 * i) / 1024)
  const values = Float32Array.from([...special, ...ties, ...weights(5, 99)])
  const packed = await packRows('w', format, values)
  const words = new Uint16Array(packed.buffer, packed.byteOffset, values.length)
  expect(Array.from(words)).toEqual(Array.from(values, bitsOf))
})

describe.each(Object.entries(K_FORMATS))('%s', (name, kind) => {
  const format = name as FormatName

  // Rounding scales and minima of parts to 6 or 8 bits costs the rest; the finer the codes, and the more a few columns
  // count, the more of the error it is.
  test.each([
    ['no importance', false, 1.15],
    ['importance', true, 1.4],
  ])('leaves hardly more error than parts fitted in float64, with %s', async (_, hasImportance, limit) => {
    const values = weights(21, 512)
    const importance = Float32Array.from({ length: 512 }, (__, i) => (i % 5 === 0 ? 40 : 1))
    const packed = await packRows('w', format, values, hasImportance ? importance : undefined)
    const read = unpacked(format, packed, values.length)
    let ours = 0
    let fitted = 0
    for (let at = 3 * 512; at < values.length; at += 256) {
      const x = Array.from(values.subarray(at, at + 256))
      const w = x.map((__, i) => (hasImportance ? (importance[(at + i) % 512] as number) : 1))
      ours += error(x, w, (i) => read[at + i] as number)
      fitted += fittedError(x, w, kind)
    }
    expect(ours / fitted).toBeLessThan(limit)
  })

  test('keeps zeros, and rows of one sign', async () => {
    const values = weights(3, 256)
    const read = unpacked(format, await packRows('w', format, values), values.length)
    expect(new Set(read.subarray(0, 256))).toEqual(new Set([0]))
    const row = values.subarray(256, 512)
    const largest = Math.max(...row)
    row.forEach((value, i) => {
      expect(Math.abs(value - (read[256 + i] as number))).toBeLessThan(largest / 15)
    })
  })

  test('puts the error where the importance is small', async () => {
    const values = weights(40, 256).subarray(3 * 256)
    const importance = Float32Array.from({ length: 256 }, (_, i) => (i % 2 === 0 ? 100 : 0.01))
    const errorsOf = async (given?: Float32Array): Promise<number> => {
      const read = unpacked(format, await packRows('w', format, values, given), values.length)
      return error(
        Array.from(values),
        Array.from(values, (_, i) => (i % 2 === 0 ? 1 : 0)),
        (i) => read[i] as number,
      )
    }
    expect(await errorsOf(importance)).toBeLessThan(0.95 * (await errorsOf()))
  })
})

test('gives the same bytes for values that come at once and row by row', async () => {
  const values = weights(70, 256)
  for (const format of Object.keys(FORMATS) as FormatName[]) {
    const whole = await packRows('w', format, values)
    const bytes = packedBytes(format, [256]) as number
    for (let row = 0; row < 70; row += 23) {
      const one = await packRows('w', format, values.slice(256 * row, 256 * (row + 1)))
      expect(Buffer.from(whole.subarray(bytes * row, bytes * (row + 1))).equals(Buffer.from(one))).toBe(true)
    }
  }
})

test('refuses what no format holds, naming the tensor', async () => {
  const values = weights(3, 256)
  values[300] = Number.POSITIVE_INFINITY
  for (const format of ['Q8_0', 'Q4_0', 'Q5_1', 'Q4_K', 'Q6_K', 'F16', 'BF16'] as const)
    await expect(packRows('blk.0.attn_q.weight', format, values)).rejects.toThrow(
      `[gguf] expected the values of "blk.0.attn_q.weight" to fit ${format}; some are infinite or no numbers`,
    )
  values[300] = 3e38
  await expect(packRows('w', 'Q4_K', values)).rejects.toThrow('some are too large for it: choose BF16 or F32')
})

test('refuses calls that name no format, no floats or no whole blocks', () => {
  const { quantize } = loadAddon()
  const floats = new Float32Array(64)
  expect(() => quantize('Q3_K', floats, null)).toThrow(
    "[quantize] expected a format of GGUF that is written for format, got 'Q3_K'",
  )
  expect(() => quantize('Q8_0', new Float64Array(32) as never, null)).toThrow(
    '[quantize] expected a Float32Array for values',
  )
  expect(() => quantize('Q8_0', new Float32Array(33), null)).toThrow(
    'expected whole blocks of 32 for the number of values, got 33',
  )
  expect(() => quantize('Q8_0', floats, new Float32Array(3))).toThrow(
    'expected a divisor of 64 for the length of importance, got 3',
  )
})
