/** @file From what callers give to ragged host arrays: padding, labels, checks. */

import { describe, expect, test } from 'vitest'
import { type ForwardBatch, prepareBatch } from '../../src/architecture/batch.js'
import { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'

const VOCAB = 20
const prepare = (batch: ForwardBatch) => prepareBatch(batch, VOCAB)
const ints = (...values: number[]) => Int32Array.from(values)

describe('rows of one length', () => {
  test('become one axis; labels move to the token before, and never across rows', () => {
    const inputIds = [
      [1, 2, 3],
      [4, 5, 6],
    ]
    expect(prepare({ inputIds, labels: inputIds })).toEqual({
      inputIds: ints(1, 2, 3, 4, 5, 6),
      positions: ints(0, 1, 2, 0, 1, 2),
      cuSeqlens: ints(0, 3, 6),
      labels: ints(2, 3, -100, 5, 6, -100),
      outputShape: [2, 3],
      outputRows: undefined,
    })
  })

  test('weights move with their labels, and those of padding are never looked at', () => {
    const batch = {
      inputIds: [
        [0, 7, 8],
        [9, 10, 0],
      ],
      attentionMask: [
        [0, 1, 1],
        [1, 1, 0],
      ],
      labels: [
        [0, 7, 8],
        [9, 10, 0],
      ],
      weights: [
        [Number.NaN, 0.5, 2],
        [3, 0.25, -1],
      ],
    }
    expect(prepare(batch)).toMatchObject({ labels: ints(8, -100, 10, -100), weights: Float32Array.of(2, 0, 0.25, 0) })
    const ragged = { inputIds: ints(7, 8, 9, 10), labels: ints(7, 8, 9, 10), cuSeqlens: [0, 2, 4] }
    for (const weights of [[0.5, 2, 3, 0.25], Float32Array.of(0.5, 2, 3, 0.25)])
      expect(prepare({ ...ragged, weights }).weights).toEqual(Float32Array.of(2, 0, 0.25, 0))
    expect(prepare(ragged).weights).toBeUndefined()
  })

  test('padding on either side is stripped, positions are columns, and rows of padding alone are no sequence', () => {
    const batch = prepare({
      inputIds: [
        [0, 0, 7, 8],
        [0, 0, 0, 0],
        [9, 10, 11, 0],
      ],
      attentionMask: [
        [0, 0, 1, 1],
        [0, 0, 0, 0],
        [1, 1, 1, 0],
      ],
      labels: [
        [-100, -100, 7, 8],
        [-100, -100, -100, -100],
        [-100, 10, 11, -100],
      ],
    })
    expect(batch).toEqual({
      inputIds: ints(7, 8, 9, 10, 11),
      positions: ints(2, 3, 0, 1, 2),
      cuSeqlens: ints(0, 2, 5),
      labels: ints(8, -100, 10, 11, -100),
      outputShape: [3, 4],
      outputRows: ints(2, 3, 8, 9, 10),
    })
  })

  test('what stands in padding is never looked at', () => {
    const batch = { inputIds: [[5, 999]], attentionMask: [[1, 0]], labels: [[5, 12345]] }
    expect(prepare(batch)).toMatchObject({ inputIds: ints(5), labels: ints(-100) })
  })

  test('int32 tensors of host data are the same as arrays, views of rows too', () => {
    const device = Device.open()
    const rows = [
      [1, 2, 3],
      [4, 5, 6],
      [7, 8, 9],
    ]
    const mask = [
      [1, 1, 1],
      [1, 1, 0],
      [0, 1, 1],
    ]
    const tensor = (values: number[][]) => Tensor.from(device, Int32Array.from(values.flat()), [3, 3])
    expect(prepare({ inputIds: tensor(rows), attentionMask: tensor(mask), labels: tensor(rows) })).toEqual(
      prepare({ inputIds: rows, attentionMask: mask, labels: rows }),
    )
    expect(prepare({ inputIds: tensor(rows).slice(1, 3) })).toEqual(prepare({ inputIds: rows.slice(1) }))
    expect(() => prepare({ inputIds: tensor(rows).columns(0, 2) })).toThrow(
      '[forward] expected an int32 Tensor made from host data for inputIds, got one that was computed or changed, or columns',
    )
    expect(() => prepare({ inputIds: Tensor.full(device, [1, 2], 'float32', 1) })).toThrow(
      '[forward] expected an int32 Tensor made from host data for inputIds, got float32; read it and pass number[][]',
    )
    expect(() => prepare({ inputIds: tensor(rows).reshape([9]) })).toThrow(
      '[forward] expected shape [B, T] for inputIds, got [9]',
    )
    device.close()
  })

  test.each<[string, unknown, string]>([
    [
      'rows of different lengths',
      { inputIds: [[1, 2], [3]] },
      'expected rows of one length for inputIds, got 2 and 1 (row 1); pad them and give attentionMask',
    ],
    [
      'a mask of another shape',
      { inputIds: [[1, 2]], attentionMask: [[1]] },
      'expected shape [1, 2] (like inputIds) for attentionMask, got [1, 1]',
    ],
    [
      'labels of another shape',
      {
        inputIds: [[1, 2]],
        labels: [
          [1, 2],
          [1, 2],
        ],
      },
      'expected shape [1, 2] (like inputIds) for labels, got [2, 2]',
    ],
    [
      'a mask that is neither 0 nor 1',
      { inputIds: [[1, 2]], attentionMask: [[1, 2]] },
      'expected 0 or 1 in attentionMask, got 2 at row 0, column 1',
    ],
    [
      'an id that 32 bits would cut to 5',
      { inputIds: [[1, 2 ** 32 + 5]] },
      'expected whole numbers from -2147483648 to 2147483647 in inputIds, got 4294967301 at row 0, column 1',
    ],
    [
      'a mask that 32 bits would cut to 1',
      { inputIds: [[1]], attentionMask: [[2 ** 32 + 1]] },
      'got 4294967297 at row 0',
    ],
    [
      'a label that 32 bits would cut',
      { inputIds: [[1]], labels: [[2 ** 32 - 100]] },
      'in labels, got 4294967196 at row 0',
    ],
    ['ids as text', { inputIds: [['1']] }, 'expected whole numbers in inputIds, got "1" at row 0, column 0'],
    ['ids as bigint', { inputIds: [[1n]] }, 'expected whole numbers in inputIds, got 1n at row 0, column 0'],
    ['typed rows', { inputIds: new Float64Array(3) }, 'for inputIds, got Float64Array of 24 bytes'],
    ['fractions', { inputIds: [[1, 2.5]] }, 'expected whole numbers in inputIds, got 2.5 at row 0, column 1'],
    [
      'an id above the vocabulary',
      { inputIds: [[1, 20]] },
      'expected token ids in [0, 20) for inputIds, got 20 at token 1; is the tokenizer the one of this model?',
    ],
    ['an id below zero', { inputIds: [[-1, 2]] }, 'expected token ids in [0, 20) for inputIds, got -1 at token 0'],
    ['-100 among ids', { inputIds: [[1, -100]] }, 'got -100 at token 1'],
    [
      'a label above the vocabulary',
      { inputIds: [[1, 2]], labels: [[1, 20]] },
      'expected token ids in [0, 20) or -100 for labels, got 20 at token 0',
    ],
    [
      'a label below zero',
      { inputIds: [[1, 2]], labels: [[1, -1]] },
      'expected token ids in [0, 20) or -100 for labels, got -1',
    ],
    ['no rows', { inputIds: [] }, 'expected at least one token in inputIds, got none (is attentionMask all 0?)'],
    ['padding alone', { inputIds: [[1]], attentionMask: [[0]] }, 'expected at least one token in inputIds, got none'],
    [
      'one flat row',
      { inputIds: [1, 2] },
      'expected number[][] or an int32 Tensor [B, T] for inputIds, got an array of other things; a ragged batch needs cuSeqlens',
    ],
    ['nothing', { inputIds: undefined }, 'for inputIds, got nothing'],
    [
      'a misspelled field',
      { inputIds: [[1]], attention_mask: [[1]] },
      'unknown option "attention_mask"; did you mean "attentionMask"?',
    ],
    [
      'weights of another shape',
      { inputIds: [[1, 2]], labels: [[1, 2]], weights: [[1]] },
      'expected shape [1, 2] (like inputIds) for weights, got [1, 1]',
    ],
    [
      'a list of weights for rows',
      { inputIds: [[1, 2]], labels: [[1, 2]], weights: [1, 2] },
      'expected number[][], rows of one length, for weights, got an array of other things; a ragged batch needs cuSeqlens',
    ],
    [
      'a negative weight',
      { inputIds: [[1, 2]], labels: [[1, 2]], weights: [[1, -2]] },
      'expected finite numbers of 0 or more in weights, got -2 at token 1',
    ],
    [
      'a weight beyond float32',
      { inputIds: [[1, 2]], labels: [[1, 2]], weights: [[1, 1e39]] },
      'expected finite numbers of 0 or more in weights, got 1e+39 at token 1',
    ],
    [
      'weights without labels',
      { inputIds: [[1, 2]], weights: [[1, 1]] },
      'expected labels beside weights, got none: there is no loss',
    ],
    [
      'weights of another length',
      { inputIds: [1, 2], labels: [1, 2], weights: [1], cuSeqlens: [0, 2] },
      'expected 2 weights, one per token, got 1',
    ],
    [
      'weights that are a text',
      { inputIds: [[1, 2]], labels: [[1, 2]], weights: '1' },
      'expected number[][], or with cuSeqlens number[] or a Float32Array for weights, got "1"',
    ],
    [
      'no items',
      { inputIds: [[1, 2]], labels: [[1, 2]], numItemsInBatch: 0 },
      'expected a number above 0 for numItemsInBatch, got 0',
    ],
    [
      'items that are no number',
      { inputIds: [[1, 2]], numItemsInBatch: Number.NaN },
      'expected a number above 0 for numItemsInBatch, got NaN',
    ],
    [
      'items beyond float32',
      { inputIds: [[1, 2]], numItemsInBatch: 1e39 },
      'expected a number above 0 for numItemsInBatch, got 1e+39',
    ],
    [
      'items as text',
      { inputIds: [[1, 2]], numItemsInBatch: '4' },
      'expected a number above 0 for numItemsInBatch, got "4"',
    ],
  ])('%s: an error', (_, batch, message) => {
    expect(() => prepare(batch as ForwardBatch)).toThrow('[forward] ')
    expect(() => prepare(batch as ForwardBatch)).toThrow(message)
  })
})

describe('ragged rows', () => {
  test('positions and labels begin anew with each sequence; an empty one is no trouble', () => {
    const inputIds = ints(1, 2, 3, 4, 5)
    expect(prepare({ inputIds, labels: inputIds, cuSeqlens: [0, 2, 2, 5] })).toEqual({
      inputIds,
      positions: ints(0, 1, 0, 1, 2),
      cuSeqlens: ints(0, 2, 2, 5),
      labels: ints(2, -100, 4, 5, -100),
      outputShape: [5],
    })
  })

  const bounds = 'expected cuSeqlens to ascend from 0 to the number of tokens 3, got'
  test.each<[string, unknown, string]>([
    ['too short', { cuSeqlens: [0] }, `${bounds} [0]`],
    ['not from 0', { cuSeqlens: [1, 3] }, `${bounds} [1,3]`],
    ['not to the end', { cuSeqlens: [0, 2] }, `${bounds} [0,2]`],
    ['descending', { cuSeqlens: [0, 2, 1, 3] }, `${bounds} [0,2,1,3]`],
    ['long', { cuSeqlens: [0, 1, 1, 1, 1, 1, 1, 1, 1, 2] }, `${bounds} [0,1,1,1,1,1,1,1, ...]`],
    [
      'with a mask',
      { cuSeqlens: [0, 3], attentionMask: [[1, 1, 1]] },
      'expected no attentionMask with cuSeqlens: a ragged batch holds no padding',
    ],
    ['labels of another length', { cuSeqlens: [0, 3], labels: ints(1, 2) }, 'expected 3 labels, one per token, got 2'],
    [
      'rows of rows',
      { cuSeqlens: [0, 3], inputIds: [[1, 2, 3]] },
      'expected whole numbers in inputIds, got [1, 2, 3] at place 0',
    ],
    [
      'ids that 32 bits would cut',
      { cuSeqlens: [0, 2], inputIds: [1, 2 ** 32 + 5] },
      'expected whole numbers from -2147483648 to 2147483647 in inputIds, got 4294967301 at place 1',
    ],
    ['ids with a fraction', { cuSeqlens: [0, 2], inputIds: [1, 1.5] }, 'expected whole numbers in inputIds, got 1.5'],
    ['labels that 32 bits would cut', { cuSeqlens: [0, 3], labels: [1, 2, 2 ** 32] }, 'expected whole numbers from'],
    [
      'bounds that 32 bits would cut',
      { cuSeqlens: [0, 2 ** 32 + 3] },
      'expected whole numbers from -2147483648 to 2147483647 in cuSeqlens, got 4294967299 at place 1',
    ],
    ['bounds with a fraction', { cuSeqlens: [0, 1.5, 3] }, 'expected whole numbers in cuSeqlens, got 1.5 at place 1'],
    [
      'bounds of another kind',
      { cuSeqlens: Float64Array.of(0, 3) },
      'expected an Int32Array or number[] for cuSeqlens, got Float64Array of 16 bytes',
    ],
    [
      'ids of another kind',
      { cuSeqlens: [0, 3], inputIds: BigInt64Array.of(1n, 2n, 3n) },
      'expected number[][] or an int32 Tensor [B, T], or with cuSeqlens number[], an Int32Array or an int32 Tensor [N], for inputIds, got BigInt64Array of 24 bytes',
    ],
  ])('%s: an error', (_, changes, message) => {
    expect(() => prepare({ inputIds: ints(1, 2, 3), ...(changes as object) })).toThrow(`[forward] ${message}`)
  })
})
