/**
 * @file Commands that are refused when they are queued: whatever the numbers say, nothing outside a buffer is touched.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Field, NativeStream } from '../../src/tensor/addon.js'
import {
  addon,
  BF16,
  enqueue,
  F32,
  I32,
  OMITTED,
  openStream,
  U8,
  upload,
  uploadInt32,
  type ViewWords,
  view,
} from './raw.js'

let stream: NativeStream
beforeAll(() => {
  stream = openStream()
})
afterAll(() => stream.close())

const NO_DROPOUT = [0, 0, 0, 0]
const BIG = 2 ** 53

function tensor(rows: number, cols: number, dtype = F32): ViewWords {
  return view(stream.allocate(rows * cols * [4, 2, 2, 4, 1][dtype]!), rows, cols, dtype)
}

describe('a view', () => {
  test.each([
    ['a slot that never was', { 0: 12345 }, 'expected a live buffer for y, got slot 12345'],
    ['a fractional slot', { 0: 0.5 }, 'expected a live buffer for y, got slot 0.5'],
    ['NaN as slot', { 0: Number.NaN }, 'expected a live buffer for y, got slot NaN'],
    ['a slot of 2^60', { 0: 2 ** 60 }, 'expected a live buffer for y'],
    ['a negative offset', { 1: -4 }, 'expected a whole number >= 0 as the byte offset for y, got -4'],
    ['an offset between elements', { 1: 2 }, 'expected a byte offset that is a multiple of 4 for y, got 2'],
    [
      'an offset past the end',
      { 1: 61 * 4 },
      'expected a view inside its buffer of 240 bytes for y, got float32 [5, 12]',
    ],
    [
      'an infinite offset',
      { 1: Number.POSITIVE_INFINITY },
      'expected a whole number >= 0 as the byte offset for y, got Infinity',
    ],
    ['an unknown dtype', { 2: 5 }, 'expected a dtype from 0 to 4 for y, got 5'],
    ['NaN as dtype', { 2: Number.NaN }, 'expected a dtype from 0 to 4 for y, got NaN'],
    ['one row too many', { 3: 6 }, 'expected a view inside its buffer of 240 bytes for y, got float32 [6, 12]'],
    ['NaN rows', { 3: Number.NaN }, 'expected a whole number >= 0 as the rows for y, got NaN'],
    ['half a row', { 3: 4.5 }, 'expected a whole number >= 0 as the rows for y, got 4.5'],
    ['2^53 rows', { 3: BIG }, 'expected a whole number >= 0 as the rows for y'],
    ['negative columns', { 4: -1 }, 'expected a whole number >= 0 as the cols for y, got -1'],
    ['a stride below its columns', { 5: 11 }, 'expected a row stride of at least 12 elements for y, got 11'],
    [
      'a stride that leaves the buffer',
      { 5: 13 },
      'expected a view inside its buffer of 240 bytes for y, got float32 [5, 12] with row stride 13 at byte 0',
    ],
    ['sizes whose product overflows', { 3: BIG - 1, 5: BIG - 1 }, 'expected a view inside its buffer of 240 bytes'],
    [
      'sizes whose product wraps to a small one',
      { 3: 2 ** 32 + 1, 5: 2 ** 31 },
      'expected a view inside its buffer of 240 bytes',
    ],
  ])('a view with %s is refused', (_, changes, message) => {
    const words: number[] = tensor(5, 12)
    for (const [index, value] of Object.entries(changes)) words[Number(index)] = value
    expect(() => enqueue(stream, 'fill', words, 0)).toThrow(`[fill] ${message}`)
  })

  test('a view may be empty, with nothing to do', async () => {
    const none = view(stream.allocate(4), 0, 7)
    enqueue(stream, 'fill', none, 1)
    expect(await stream.read(Float64Array.from(none), false)).toEqual(new Float32Array(0))
    await stream.sync()
  })
})

describe('a command', () => {
  test('needs a known op', () => {
    const count = Object.keys(addon().ops).length
    for (const op of [-1, count, 0.5, Number.NaN]) {
      expect(() => stream.enqueue(op, new Float64Array(8), 8)).toThrow(
        `[enqueue] expected an op from 0 to ${count - 1}, got`,
      )
    }
  })

  test('needs exactly its arguments', () => {
    const y = tensor(3, 5)
    expect(() => enqueue(stream, 'fill', y)).toThrow('[fill] expected more arguments for value, got only 6 numbers')
    expect(() => enqueue(stream, 'fill', y, 1, 2)).toThrow('[fill] expected 7 numbers as arguments, got 8')
    expect(() => enqueue(stream, 'add', y, OMITTED, y)).toThrow('[add] expected a tensor for b, got none')
    const id = addon().ops.fill!.id
    expect(() => stream.enqueue(id, Float64Array.from([...y, 1]), 8)).toThrow(
      '[enqueue] expected a length within args for length, got 8',
    )
    expect(() => stream.enqueue(id, new Float32Array(7) as unknown as Float64Array, 7)).toThrow(
      'expected a Float64Array for args',
    )
  })

  test('bounds the counts of its lists by what follows them', () => {
    const x = tensor(3, 5)
    for (const count of [-1, 1.5, 2 ** 31, 2 ** 40, Number.NaN, 1000]) {
      expect(() => enqueue(stream, 'linear', x, x, 0, count), `${count} parts`).toThrow('for parts')
    }
  })

  test('names an argument inside lists by its whole path', () => {
    const x = tensor(3, 5)
    const weight = tensor(4, 5)
    const pair = (b: ViewWords) => [...tensor(2, 5), ...b, ...OMITTED, ...tensor(3, 2), 1, ...NO_DROPOUT]
    const parts = [1, ...weight, 0, ...OMITTED, 0, 2, ...pair(tensor(4, 2)), ...pair(tensor(4, 3))]
    expect(() => enqueue(stream, 'linear', x, tensor(3, 4), 0, parts)).toThrow(
      '[linear] expected parts[0].pairs[1].b [4, 2] for a [2, 5], got [4, 3]',
    )
  })

  test('takes whole 32-bit numbers for integers', () => {
    const x = tensor(3, 8)
    for (const headDim of [2 ** 31, 2.5, Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(() => enqueue(stream, 'rope', x, tensor(9, 4), uploadInt32(stream, [0, 1, 2]), x, headDim, 0)).toThrow(
        '[rope] expected a whole number of 32 bits for headDim',
      )
    }
  })
})

describe('shapes and dtypes', () => {
  const cases: [string, () => (number | number[])[], string][] = [
    ['fill', () => [tensor(1, 3, U8), 256], 'expected a whole number that y can hold for value, got 256'],
    ['fill', () => [tensor(1, 3, I32), Number.NaN], 'expected a whole number that y can hold for value, got NaN'],
    ['copy', () => [tensor(2, 3), tensor(3, 2)], 'expected y [2, 3] for x [2, 3], got [3, 2]'],
    ['copy', () => [tensor(2, 3, I32), tensor(2, 3)], 'expected int32 for y as x is, got float32'],
    [
      'add',
      () => [tensor(2, 3, I32), tensor(2, 3, I32), tensor(2, 3, I32)],
      'expected float32, bfloat16 or float16 for a',
    ],
    ['add', () => [tensor(2, 3), tensor(2, 3, BF16), tensor(2, 3)], 'expected float32 for b as a is, got bfloat16'],
    ['embedding', () => [tensor(1, 4), tensor(7, 3), tensor(4, 3)], 'expected int32 for ids, got float32'],
    [
      'embedding',
      () => [tensor(4, 1, I32), tensor(7, 3), tensor(4, 3)],
      'expected ids [1, 4] for y [4, 3], got [4, 1]',
    ],
    [
      'embeddingBackward',
      () => [tensor(1, 4, I32), tensor(4, 3, BF16), tensor(7, 3, BF16)],
      'expected float32 for dWeight, got bfloat16',
    ],
    [
      'scatterRows',
      () => [tensor(4, 3), tensor(1, 3, I32), tensor(9, 3)],
      'expected rows [1, 4] for x [4, 3], got [1, 3]',
    ],
    [
      'rmsNorm',
      () => [tensor(512, 576), OMITTED, tensor(1, 575), OMITTED, tensor(512, 576), 1e-5],
      'expected weight [1, D], D a divisor of the columns of x [512, 576], got [1, 575]',
    ],
    [
      'rmsNorm',
      () => [tensor(3, 5), tensor(3, 5), tensor(1, 5), OMITTED, tensor(3, 5), 1e-5],
      'expected sum exactly when residual is given',
    ],
    [
      'rmsNorm',
      () => [tensor(3, 5), OMITTED, tensor(1, 5), OMITTED, tensor(3, 5), Number.NaN],
      'expected a finite number >= 0 for eps, got NaN',
    ],
    [
      'rmsNormBackward',
      () => [tensor(3, 5), OMITTED, tensor(3, 5), tensor(1, 5), tensor(3, 5), tensor(1, 5, BF16), 1e-5],
      'expected float32 for dWeight, got bfloat16',
    ],
    [
      'rmsNormBackward',
      () => [tensor(3, 6), OMITTED, tensor(3, 6), tensor(1, 2), tensor(3, 6), tensor(1, 6), 1e-5],
      'expected dWeight [1, 2] for weight [1, 2], got [1, 6]',
    ],
    [
      'layerNorm',
      () => [tensor(3, 5), OMITTED, tensor(1, 5), tensor(5, 1), OMITTED, tensor(3, 5), 1e-5],
      'expected bias [1, 5] for x [3, 5], got [5, 1]',
    ],
    [
      'layerNormBackward',
      () => [tensor(3, 5), OMITTED, tensor(3, 5), tensor(1, 5), tensor(3, 5), OMITTED, tensor(1, 4), 1e-5],
      'expected dBias [1, 5] for x [3, 5], got [1, 4]',
    ],
    [
      'dropout',
      () => [tensor(3, 5), tensor(3, 5), 1, 0, 0, 0],
      'expected a probability in [0, 1) for dropout.p, got 1',
    ],
    [
      'dropout',
      () => [tensor(3, 5), tensor(3, 5), 0, -1, 0, 0],
      'expected a whole number >= 0 and below 2^53 for dropout.seed, got -1',
    ],
    ['linear', () => [tensor(3, 5), tensor(3, 4), 0, 0], 'expected at least one part for parts, got 0'],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 3, 1, tensor(4, 5), 0, OMITTED, 0, 0],
      'expected 0, 1 or 2 for sumOrder, got 3',
    ],
    [
      'linear',
      () => loraOf({ rows: tensor(1, 3, I32) }),
      'expected parts[0].pairs[0].rows [1, 2] for x [3, 5], got [1, 3]',
    ],
    ['linear', () => loraOf({ rows: tensor(1, 2, I32), p: 0.5 }), 'expected no dropout for a pair with rows'],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 5), 0, 1, tensor(4, 5), 0, OMITTED, 0, 0],
      'expected y [3, 4] for x [3, 5], got [3, 5]',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, tensor(4, 5), 0, OMITTED, 1, 0],
      'expected parts[0].weight [5, 5] for x [3, 5], got [4, 5]',
    ],
    [
      'linearBackward',
      () => [tensor(3, 4), OMITTED, OMITTED, 1, tensor(4, 5), 0, tensor(4, 5), OMITTED, 0, 0],
      'expected x, which dWeight and da are made from, got none',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, tensor(4, 5), 1, nf4(4, 5), OMITTED, 0, 0],
      'expected either weight or nf4 for each part, got both or none',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, OMITTED, 0, OMITTED, 0, 0],
      'expected either weight or nf4 for each part, got both or none',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, OMITTED, 2, nf4(4, 5), nf4(4, 5), OMITTED, 0, 0],
      'expected at most one weight for parts[0].nf4, got 2',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, OMITTED, 1, nf4(4, 5), OMITTED, 1, 0],
      'expected 0 beside nf4 for parts[0].inOut, got 1',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, OMITTED, 1, nf4(4, 6), OMITTED, 0, 0],
      'expected parts[0].nf4[0] [4, 5] for x [3, 5], got [4, 6]',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, OMITTED, 1, nf4(4, 5), tensor(1, 5), 0, 0],
      'expected parts[0].bias [1, 4] for nf4[0] [4, 5], got [1, 5]',
    ],
    [
      'linear',
      () => [tensor(3, 5), tensor(3, 4), 0, 1, OMITTED, 1, nf4(4, 5, { packed: tensor(1, 9, U8) }), OMITTED, 0, 0],
      'expected parts[0].nf4[0].packed [1, 10] for x [3, 5], got [1, 9]',
    ],
    [
      'linearBackward',
      () => [tensor(3, 4), tensor(3, 5), OMITTED, 1, OMITTED, 1, nf4(4, 5), tensor(4, 5), OMITTED, 0, 0],
      'expected no dWeight beside nf4, which has no gradient',
    ],
    [
      'linearBackward',
      () => [tensor(3, 9), OMITTED, tensor(3, 5), 1, OMITTED, 1, nf4(4, 5), OMITTED, OMITTED, 0, 0],
      'expected the columns of all parts for dy, got 9',
    ],
    ['quantizeNf4', () => quantize({ x: tensor(4, 9, I32) }), 'expected float32, bfloat16 or float16 for x'],
    [
      'quantizeNf4',
      () => quantize({ x: view(stream.allocate(4), 0, 9) }),
      'expected at least one element for x, got 0',
    ],
    ['quantizeNf4', () => quantize({ packed: tensor(1, 17, U8) }), 'expected packed [1, 18] for x [4, 9], got [1, 17]'],
    ['quantizeNf4', () => quantize({ absmax: tensor(1, 2) }), 'expected uint8 for absmax, got float32'],
    ['quantizeNf4', () => quantize({ offset: OMITTED }), 'expected offset exactly when nestedAbsmax is given'],
    ['quantizeNf4', () => quantize({ nestedCode: OMITTED }), 'expected nestedCode exactly when nestedAbsmax is given'],
    ['dequantizeNf4', () => [tensor(4, 5), nf4(5, 4)], 'expected y [5, 4] for packed [1, 10], got [4, 5]'],
    ['dequantizeNf4', () => [tensor(4, 5, I32), nf4(4, 5)], 'expected float32, bfloat16 or float16 for y, got int32'],
    ['dequantizeNf4', () => [tensor(4, 5), nf4(4, 5, { rows: 0 })], 'expected y [0, 5] for packed [1, 10], got [4, 5]'],
    [
      'dequantizeNf4',
      () => [tensor(4, 5), nf4(4, 5, { blockSize: 48 })],
      'expected a power of two from 32 to 4096 for blockSize, got 48',
    ],
    [
      'dequantizeNf4',
      () => [tensor(4, 5), nf4(4, 5, { blockSize: 8192 })],
      'expected a power of two from 32 to 4096 for blockSize, got 8192',
    ],
    [
      'dequantizeNf4',
      () => [tensor(9, 9), nf4(9, 9, { nestedBlockSize: 2 ** 31 - 1 })],
      'expected a power of two from 32 to 4096 for nestedBlockSize, got 2147483647',
    ],
    [
      'dequantizeNf4',
      () => [tensor(9, 9), nf4(9, 9, { absmax: tensor(1, 2, U8) })],
      'expected absmax [1, 3] for y [9, 9], got [1, 2]',
    ],
    [
      'dequantizeNf4',
      () => [tensor(9, 9), nf4(9, 9, { nestedAbsmax: OMITTED, nestedCode: OMITTED, offset: OMITTED })],
      'expected float32 for absmax, got uint8',
    ],
    [
      'dequantizeNf4',
      () => [tensor(4, 5), nf4(4, 5, { code: tensor(1, 8) })],
      'expected code [1, 16] for y [4, 5], got [1, 8]',
    ],
    [
      'dequantizeNf4',
      () => [tensor(4, 5), nf4(4, 5, { nestedCode: tensor(1, 255) })],
      'expected nestedCode [1, 256] for absmax [1, 1], got [1, 255]',
    ],
    [
      'dequantizeNf4',
      () => [tensor(99, 99), nf4(99, 99, { nestedAbsmax: tensor(1, 9) })],
      'expected nestedAbsmax [1, 10] for absmax [1, 307], got [1, 9]',
    ],
    [
      'dequantizeNf4',
      () => [tensor(4, 5), nf4(4, 5, { offset: tensor(1, 2) })],
      'expected offset [1, 1] for absmax [1, 1], got [1, 2]',
    ],
    [
      'rope',
      () => [tensor(3, 9), tensor(8, 3), tensor(1, 3, I32), tensor(3, 9), 3, 0],
      "expected an even width that divides x's columns for headDim, got 3",
    ],
    [
      'rope',
      () => [tensor(3, 8), tensor(8, 2), tensor(1, 3, I32), tensor(3, 8), 4, 0],
      'expected cosSin [8, 4] for x [3, 8], got [8, 2]',
    ],
    [
      'attention',
      () => attention({ q: tensor(5, 12), k: tensor(5, 8) }),
      "expected a multiple of k's columns for q, got 12",
    ],
    [
      'attention',
      () => attention({ cuK: tensor(1, 3, I32) }),
      'expected cuSeqlensK [1, 2] for cuSeqlensQ [1, 2], got [1, 3]',
    ],
    [
      'attention',
      () => attention({ cuQ: tensor(1, 1, I32) }),
      'expected at least two cumulative lengths for cuSeqlensQ, got 1',
    ],
    [
      'attention',
      () => attention({ used: tensor(1, 2, I32) }),
      'expected seqUsedK [1, 1] for cuSeqlensQ [1, 2], got [1, 2]',
    ],
    [
      'attention',
      () => attention({ table: tensor(1, 2, I32), used: tensor(1, 1, I32), blockSize: 64 }),
      'expected either cuSeqlensK or blockTable, got both or none',
    ],
    ['attention', () => attention({ cuK: OMITTED }), 'expected either cuSeqlensK or blockTable, got both or none'],
    [
      'attention',
      () => attention({ cuK: OMITTED, table: tensor(1, 2, I32), blockSize: 64 }),
      'expected seqUsedK beside blockTable, got none',
    ],
    ['sampleRows', () => rows({ options: tensor(3, 3) }), 'expected options [3, 4] for logits [3, 40], got [3, 3]'],
    ['sampleRows', () => rows({ integers: tensor(3, 4) }), 'expected int32 for integers, got float32'],
    ['sampleRows', () => rows({ seen: tensor(3, 39, U8) }), 'expected seen [3, 40] for logits [3, 40], got [3, 39]'],
    [
      'sampleRows',
      () => rows({ allowed: tensor(3, 1, I32) }),
      'expected allowed [3, 2] for logits [3, 40], got [3, 1]',
    ],
    ['sampleRows', () => rows({ ids: tensor(1, 2, I32) }), 'expected ids [1, 3] for logits [3, 40], got [1, 2]'],
    [
      'topLogProbs',
      () => [tensor(3, 40), tensor(1, 3, I32), tensor(3, 22), tensor(3, 21, I32)],
      'expected 1 to 20 columns for ids, got 21',
    ],
    [
      'topLogProbs',
      () => [tensor(3, 40), tensor(1, 3, I32), tensor(3, 5), tensor(3, 5, I32)],
      'expected logProbs [3, 6] for ids [3, 5], got [3, 5]',
    ],
    [
      'topLogProbs',
      () => [tensor(3, 40), tensor(1, 2, I32), tensor(3, 6), tensor(3, 5, I32)],
      'expected chosen [1, 3] for logits [3, 40], got [1, 2]',
    ],
    ['attention', () => attention({ blockSize: 64 }), 'expected 0 without blockTable for blockSize, got 64'],
    ...[0, 32, 96, -64].map((blockSize): [string, () => (number | number[])[], string] => [
      'attention',
      () => paged({ blockSize }),
      `expected a power of two from 64 on for blockSize, got ${blockSize}`,
    ]),
    ['attention', () => paged({ k: tensor(100, 4) }), 'expected whole blocks of blockSize rows for k, got 100'],
    [
      'attention',
      () => paged({ table: tensor(2, 2, I32) }),
      'expected blockTable [1, 2] for cuSeqlensQ [1, 2], got [2, 2]',
    ],
    ['attention', () => paged({ table: tensor(1, 2) }), 'expected int32 for blockTable, got float32'],
    [
      'attention',
      () => paged({ table: view(stream.allocate(4), 1, 0, I32) }),
      'expected at least one block per sequence for blockTable, got 0',
    ],
    ['attention', () => attention({ headDim: 5 }), 'expected whole heads of headDim columns for q, got 8'],
    ['attention', () => attention({ lse: tensor(5, 2) }), 'expected lse [2, 5] for q [5, 8], got [5, 2]'],
    [
      'attentionBackward',
      () => {
        const forward = attention({})
        const [q, k, v, cuQ, cuK, , , y, lse, , ...options] = forward
        return [y!, q!, k!, v!, cuQ!, cuK!, y!, lse!, tensor(5, 8), tensor(5, 4), tensor(4, 4), ...options]
      },
      'expected dv [5, 4] for v [5, 4], got [4, 4]',
    ],
    ['swiglu', () => [tensor(3, 9), tensor(3, 5)], 'expected x [3, 10] for y [3, 5], got [3, 9]'],
    [
      'swigluBackward',
      () => [tensor(3, 5), tensor(3, 10), tensor(3, 5)],
      'expected dx [3, 10] for x [3, 10], got [3, 5]',
    ],
    ['gelu', () => [tensor(3, 5), tensor(3, 5), 2], 'expected 0 or 1 for tanh, got 2'],
    [
      'geluBackward',
      () => [tensor(3, 4), tensor(3, 5), tensor(3, 5), 1],
      'expected dy [3, 5] for x [3, 5], got [3, 4]',
    ],
    [
      'linearCrossEntropy',
      () => [tensor(3, 5), tensor(1, 3, I32), OMITTED, tensor(1, 1), OMITTED, 1, tensor(7, 4), OMITTED, 0, 0, 0, 1],
      'expected head[0].weight [7, 5] for h [3, 5], got [7, 4]',
    ],
    [
      'linearCrossEntropy',
      () => [
        tensor(3, 5),
        tensor(1, 3, I32),
        tensor(1, 2),
        tensor(1, 1),
        OMITTED,
        1,
        tensor(7, 5),
        OMITTED,
        0,
        0,
        0,
        1,
      ],
      'expected weights [1, 3] for h [3, 5], got [1, 2]',
    ],
    [
      'linearCrossEntropy',
      () => [
        tensor(3, 5),
        tensor(1, 3, I32),
        tensor(1, 3, I32),
        tensor(1, 1),
        OMITTED,
        1,
        tensor(7, 5),
        OMITTED,
        0,
        0,
        0,
        1,
      ],
      'expected float32 for weights, got int32',
    ],
    [
      'linearCrossEntropy',
      () => {
        const shared = stream.allocate(4 * 16)
        const [weights, loss] = [view(shared, 1, 3), view(shared, 1, 1, F32, 32)]
        return [tensor(3, 5), tensor(1, 3, I32), weights, loss, OMITTED, 1, tensor(7, 5), OMITTED, 0, 0, 0, 1]
      },
      'expected a buffer of its own for weights, got one that the op writes',
    ],
    [
      'linearCrossEntropy',
      () => {
        const shared = stream.allocate(4 * 32)
        const [weights, dh] = [view(shared, 1, 3), view(shared, 3, 5, F32, 16)]
        return [tensor(3, 5), tensor(1, 3, I32), weights, tensor(1, 1), dh, 1, tensor(7, 5), OMITTED, 0, 0, 0, 1]
      },
      'expected a buffer of its own for weights, got one that the op writes',
    ],
    [
      'linearCrossEntropy',
      () => [tensor(3, 5), tensor(1, 3, I32), OMITTED, tensor(1, 1), OMITTED, 0, 0, 0, 1],
      'expected exactly one part for head, got 0',
    ],
    [
      'adamw',
      () => [
        1,
        tensor(1, 6),
        tensor(1, 6),
        tensor(1, 5),
        tensor(1, 6),
        OMITTED,
        0,
        tensor(1, 2),
        1,
        0.9,
        0.99,
        1e-8,
        1,
        0,
        1,
      ],
      'expected parameters[0].m [1, 6] for parameter [1, 6], got [1, 5]',
    ],
    [
      'adamw',
      () => {
        const [plain, gapped] = [tensor(2, 3), view(stream.allocate(28), 2, 3, F32, 0, 4)]
        return [1, plain, gapped, plain, plain, OMITTED, 0, tensor(1, 2), 1, 0.9, 0.99, 1e-8, 1, 0, 1]
      },
      'expected rows without gaps for parameters[0].grad, got [2, 3] with a row stride of 4; copy it into a tensor of its own first',
    ],
    [
      'adamw',
      () => [0, tensor(1, 2), 1, 0.9, 0.99, 1e-8, 1, 0, 1],
      'expected one row of a norm per parameter and one for all for norms, got 2',
    ],
    ['adamw', () => [0, tensor(1, 1), 1, 0.9, 1, 1e-8, 1, 0, 1], 'expected a number in [0, 1) for beta2, got 1'],
    [
      'adamw',
      () => [0, tensor(1, 1), 1, 0.9, 0.99, 1e-8, 1, 0, 0],
      'expected a finite number > 0 for lossScale, got 0',
    ],
    [
      'linearCrossEntropy',
      () => [tensor(3, 5), tensor(1, 3, I32), OMITTED, tensor(1, 1), OMITTED, 1, tensor(7, 5), OMITTED, 0, 0, 0, -1],
      'expected a finite number > 0 for lossScale, got -1',
    ],
    [
      'linearLogProbs',
      () => [tensor(3, 5), tensor(1, 3, I32), tensor(1, 1), 1, tensor(7, 5), 0, 0],
      'expected logProbs [1, 3] for h [3, 5], got [1, 1]',
    ],
    [
      'linearLogProbs',
      () => [tensor(3, 5), tensor(1, 3, I32), tensor(1, 3), 1, tensor(7, 4), 0, 0],
      'expected head[0].weight [7, 5] for h [3, 5], got [7, 4]',
    ],
    [
      'linearLogProbs',
      () => [tensor(3, 5), tensor(1, 3, I32), tensor(1, 3), 0, 0],
      'expected exactly one part for head, got 0',
    ],
    [
      'linearLogProbsBackward',
      () => [tensor(1, 2), tensor(3, 5), tensor(1, 3, I32), tensor(3, 5), 1, tensor(7, 5), OMITTED, 0, 0],
      'expected dLogProbs [1, 3] for h [3, 5], got [1, 2]',
    ],
    [
      'linearLogProbsBackward',
      () => [tensor(1, 3), tensor(3, 5), tensor(1, 3, I32), tensor(3, 4), 1, tensor(7, 5), OMITTED, 0, 0],
      'expected dh [3, 5] for h [3, 5], got [3, 4]',
    ],
    [
      'linearLogProbsBackward',
      () => [tensor(1, 3), tensor(3, 5), tensor(1, 3, I32), tensor(3, 5), 1, tensor(7, 5), OMITTED, 0, -1],
      'expected a finite number >= 0 for softcap, got -1',
    ],
    ['argmax', () => [tensor(3, 5), tensor(1, 2, I32)], 'expected ids [1, 3] for x [3, 5], got [1, 2]'],
    ['sample', () => sampleArguments({ logits: tensor(3, 5, BF16) }), 'expected float32 for logits, got bfloat16'],
    [
      'sample',
      () => sampleArguments({ logits: view(tensor(1, 1)[0], 3, 0) }),
      'expected a vocabulary of 1 to 2^31 ids for logits, got 0',
    ],
    [
      'sample',
      () => sampleArguments({ steps: tensor(1, 2, I32) }),
      'expected steps [1, 3] for logits [3, 5], got [1, 2]',
    ],
    ['sample', () => sampleArguments({ ids: tensor(1, 4, I32) }), 'expected ids [1, 3] for logits [3, 5], got [1, 4]'],
    [
      'sample',
      () => sampleArguments({ seen: tensor(3, 5, U8) }),
      'expected seen exactly when repetitionPenalty is not 1',
    ],
    ['sample', () => sampleArguments({ penalty: 1.5 }), 'expected seen exactly when repetitionPenalty is not 1'],
    [
      'sample',
      () => sampleArguments({ penalty: 2, seen: tensor(3, 4, U8) }),
      'expected seen [3, 5] for logits [3, 5], got [3, 4]',
    ],
    [
      'sample',
      () => sampleArguments({ penalty: 0, seen: tensor(3, 5, U8) }),
      'expected a finite number above 0 for repetitionPenalty, got 0',
    ],
    ['sample', () => sampleArguments({ temperature: -1 }), 'expected a finite number >= 0 for temperature, got -1'],
    ['sample', () => sampleArguments({ topK: -1 }), 'expected a whole number >= 0 for topK, got -1'],
    ['sample', () => sampleArguments({ topP: 1.5 }), 'expected a number in [0, 1] for topP, got 1.5'],
    ['sample', () => sampleArguments({ minP: Number.NaN }), 'expected a number in [0, 1] for minP, got NaN'],
    ['sample', () => sampleArguments({ seed: 0.5 }), 'expected a whole number >= 0 and below 2^53 for seed, got 0.5'],
  ]

  test.each(cases)('%s is refused: %#', (op, args, message) => {
    expect(() => enqueue(stream, op, ...args())).toThrow(`[${op}] ${message}`)
  })

  test('every op has a case above', () => {
    expect(new Set(cases.map(([op]) => op))).toEqual(new Set(Object.keys(addon().ops)))
  })

  test('indices may not lie where the op writes', () => {
    const buffer = stream.allocate(100)
    const ids = view(buffer, 1, 3, I32)
    expect(() => enqueue(stream, 'embedding', ids, tensor(7, 5), view(buffer, 3, 5))).toThrow(
      '[embedding] expected a buffer of its own for ids, got one that the op writes',
    )
  })

  interface Nf4Words {
    packed: ViewWords
    absmax: ViewWords
    code: ViewWords
    nestedAbsmax: ViewWords
    nestedCode: ViewWords
    offset: ViewWords
    rows: number
    cols: number
    blockSize: number
    nestedBlockSize: number
  }

  /** A double quantised weight, in the order of Nf4 in ops/nf4.h: blocks of 32 elements, nested blocks of 32 scales. */
  function nf4(rows: number, cols: number, changes: Partial<Nf4Words> = {}): number[] {
    const blocks = Math.ceil((rows * cols) / 32)
    const words: Nf4Words = {
      packed: tensor(1, Math.ceil((rows * cols) / 2), U8),
      absmax: tensor(1, blocks, U8),
      code: tensor(1, 16),
      nestedAbsmax: tensor(1, Math.ceil(blocks / 32)),
      nestedCode: tensor(1, 256),
      offset: tensor(1, 1),
      rows,
      cols,
      blockSize: 32,
      nestedBlockSize: 32,
      ...changes,
    }
    return Object.values(words).flat()
  }

  function quantize(
    changes: Partial<Record<'x' | 'packed' | 'absmax' | 'offset' | 'nestedCode', ViewWords>>,
  ): number[] {
    const words = {
      x: tensor(4, 9),
      packed: tensor(1, 18, U8),
      absmax: tensor(1, 2, U8),
      nestedAbsmax: tensor(1, 1),
      offset: tensor(1, 1),
      code: tensor(1, 16),
      nestedCode: tensor(1, 256),
      ...changes,
    }
    return [...Object.values(words).flat(), 32, 32]
  }

  function sampleArguments(
    changes: Partial<Record<'logits' | 'steps' | 'seen' | 'ids', ViewWords>> &
      Partial<Record<'temperature' | 'topK' | 'topP' | 'minP' | 'penalty' | 'seed', number>>,
  ): (number | number[])[] {
    const { temperature = 1, topK = 0, topP = 1, minP = 0, penalty = 1, seed = 0 } = changes
    return [
      changes.logits ?? tensor(3, 5),
      changes.steps ?? tensor(1, 3, I32),
      changes.seen ?? OMITTED,
      changes.ids ?? tensor(1, 3, I32),
      temperature,
      topK,
      topP,
      minP,
      penalty,
      seed,
    ]
  }

  function rows(
    changes: Partial<Record<'options' | 'integers' | 'seen' | 'allowed' | 'ids', ViewWords>>,
  ): (number | number[])[] {
    return [
      tensor(3, 40),
      tensor(1, 3, I32),
      changes.options ?? tensor(3, 4),
      changes.integers ?? tensor(3, 4, I32),
      changes.seen ?? OMITTED,
      changes.allowed ?? OMITTED,
      changes.ids ?? tensor(1, 3, I32),
    ]
  }

  /** linear with one LoRA pair. */
  function loraOf({ rows, p = 0 }: { rows: ViewWords; p?: number }): (number | number[])[] {
    const pair = [tensor(2, 5), tensor(4, 2), rows, tensor(3, 2), 1, p, 0, 0, 0]
    return [tensor(3, 5), tensor(3, 4), 0, 1, tensor(4, 5), 0, OMITTED, 0, 1, ...pair]
  }

  function paged(changes: Parameters<typeof attention>[0]): (number | number[])[] {
    return attention({
      k: tensor(128, 4),
      cuK: OMITTED,
      used: tensor(1, 1, I32),
      table: tensor(1, 2, I32),
      blockSize: 64,
      ...changes,
    })
  }

  function attention(
    changes: Partial<Record<'q' | 'k' | 'cuQ' | 'cuK' | 'used' | 'table' | 'lse', ViewWords>> & {
      headDim?: number
      blockSize?: number
    },
  ): (number | number[])[] {
    const q = changes.q ?? tensor(5, 8)
    const k = changes.k ?? tensor(5, 4)
    const cuQ = changes.cuQ ?? tensor(1, 2, I32)
    const lse = changes.lse ?? tensor(2, 5)
    return [
      q,
      k,
      tensor(k[3], k[4]),
      cuQ,
      changes.cuK ?? tensor(1, 2, I32),
      changes.used ?? OMITTED,
      changes.table ?? OMITTED,
      tensor(q[3], q[4]),
      lse,
      changes.blockSize ?? 0,
      changes.headDim ?? 4,
      1,
      0,
      0.5,
      0,
    ]
  }
})

describe('hostile numbers', () => {
  // Tables of sizes that meet each other now and then, so that some commands pass the checks and run on whatever is in
  // their tensors.
  test('never do more than throw, or leave a fault', async () => {
    const random = generator(20251)
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!
    const slots = Array.from({ length: 6 }, () => upload(stream, new Array(64).fill(1))[0])
    const hostile = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 53, -(2 ** 53), 1e300]
    const word = (usual: readonly number[]) => (random() < 0.01 ? pick(hostile) : pick(usual))
    const makeView = (): number[] => {
      if (random() < 0.15) return OMITTED
      const cols = word([1, 2, 4])
      const stride = random() < 0.9 ? cols : word([4, 5])
      return [word(slots), word([0, 0, 4]), word([F32, F32, F32, I32, BF16]), word([1, 1, 2, 4]), cols, stride]
    }
    const encode = (fields: readonly Field[]): number[] =>
      fields.flatMap((field) => {
        if (field.kind === 'number') return [word([0, 0, 1, 1, 2, 0.5])]
        if (field.kind === 'group') return encode(field.fields ?? [])
        if (field.kind !== 'list') return makeView()
        const count = word([0, 1, 1, 2])
        const items = Array.from({ length: count >= 0 && count < 3 ? Math.floor(count) : 1 }, () =>
          encode(field.fields ?? []),
        )
        return [count, ...items.flat()]
      })
    let accepted = 0
    let refused = 0
    for (const [name, op] of Object.entries(addon().ops)) {
      for (let round = 0; round < 1500; round++) {
        const args = Float64Array.from(encode(op.fields))
        try {
          stream.enqueue(op.id, args, args.length)
          accepted++
        } catch (error) {
          refused++
          expect((error as Error).message).toMatch(new RegExp(`^\\[${name}\\] expected `))
        }
      }
      // Faults (an id outside its table, say) end here; the next op starts on a clear stream.
      await stream.sync().catch((error: Error) => expect(error.message).toMatch(/^\[\w+\] /))
      for (const slot of slots) enqueue(stream, 'fill', view(slot, 1, 64), 1)
    }
    expect(accepted).toBeGreaterThan(100)
    expect(refused).toBeGreaterThan(10_000)
    await stream.sync()
    for (const slot of slots) stream.release(slot)
  })

  /** Numerical Recipes' linear congruential generator. */
  function generator(seed: number): () => number {
    let state = seed
    return () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
  }
})
