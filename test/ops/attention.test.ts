/** @file attention, forward and backward, on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { type AttentionCase, attention, attentionBackward } from '../reference/attention.js'
import { at, type Matrix, matrix, set } from '../reference/matrix.js'
import { isGpu, testDevices } from '../support/devices.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import {
  COMPUTE_DTYPES,
  type Compute,
  expectClose,
  expectGapsUntouched,
  ONE_ROUNDING,
  type Operand,
  operandMaker,
  output,
  readMatrix,
  type Tolerance,
  upload,
} from '../support/values.js'

interface Shape extends Omit<AttentionCase, 'scale'> {
  name: string
  heads: number
  kvHeads: number
  /** Key rows after the last sequence. */
  spare: number
  /**
   * Gaps between rows are multiplied by it: 8 lets heads begin at multiples of 16 bytes in 16-bit dtypes, which GPU
   * kernels copy whole.
   */
  gapStep: number
}

const BASE: Shape = {
  name: '',
  headDim: 32,
  heads: 2,
  kvHeads: 2,
  causal: true,
  window: 0,
  softcap: 0,
  queries: [33],
  keys: [33],
  spare: 0,
  gapStep: 1,
}
const SHAPES: Shape[] = [
  { ...BASE, name: 'one causal sequence of 33' },
  { ...BASE, name: 'an odd head width', headDim: 33, queries: [65], keys: [65] },
  { ...BASE, name: 'a head width of 1', headDim: 1, queries: [31], keys: [31] },
  { ...BASE, name: 'heads of 80 in groups of 3', headDim: 80, heads: 6, queries: [32], keys: [32] },
  {
    ...BASE,
    name: 'packed sequences, an empty one among them',
    heads: 4,
    queries: [5, 1, 70, 0, 64],
    keys: [5, 1, 70, 0, 64],
  },
  {
    ...BASE,
    name: 'more keys than queries, and spare key rows',
    headDim: 64,
    queries: [3, 20],
    keys: [130, 21],
    spare: 5,
  },
  {
    ...BASE,
    name: 'decoding: one query per sequence',
    headDim: 64,
    heads: 4,
    kvHeads: 1,
    queries: [1, 1, 1],
    keys: [200, 37, 1],
  },
  {
    ...BASE,
    name: 'decoding in groups of 3, over several chunks of keys',
    headDim: 64,
    heads: 6,
    kvHeads: 2,
    queries: [1, 2, 1],
    keys: [300, 600, 128],
    spare: 3,
  },
  {
    ...BASE,
    name: 'decoding in a group of 5 heads of an odd width, one sequence without keys',
    headDim: 41,
    heads: 5,
    kvHeads: 1,
    queries: [2, 1, 1],
    keys: [301, 0, 129],
  },
  {
    ...BASE,
    name: 'decoding with a softcap and a window that starts inside a later chunk',
    headDim: 80,
    window: 277,
    softcap: 3,
    queries: [1, 2],
    keys: [611, 333],
  },
  {
    ...BASE,
    name: 'two queries without a mask, in a group of 2',
    headDim: 15,
    kvHeads: 1,
    causal: false,
    queries: [2],
    keys: [259],
  },
  {
    ...BASE,
    name: 'sequences of few and of many queries in one call',
    heads: 7,
    kvHeads: 1,
    headDim: 24,
    queries: [1, 70, 2, 66],
    keys: [300, 70, 141, 66],
  },
  { ...BASE, name: 'more queries than keys: the first see nothing', headDim: 16, queries: [100, 4], keys: [67, 0] },
  { ...BASE, name: 'a sliding window', headDim: 40, window: 17, queries: [130, 20], keys: [130, 20] },
  { ...BASE, name: 'a window of one', headDim: 16, window: 1, queries: [70], keys: [75] },
  { ...BASE, name: 'a softcap', headDim: 31, softcap: 2.5, queries: [66], keys: [66] },
  { ...BASE, name: 'no mask at all', causal: false, queries: [65, 20], keys: [130, 3] },
  {
    ...BASE,
    name: 'a window and a softcap without causality',
    causal: false,
    window: 20,
    softcap: 3,
    queries: [90],
    keys: [90],
  },
  {
    ...BASE,
    name: 'aligned rows in groups of 2, and some without keys',
    gapStep: 8,
    heads: 4,
    queries: [3, 134, 5],
    keys: [9, 134, 0],
    spare: 2,
  },
  { ...BASE, name: 'aligned rows of 72, padded', gapStep: 8, headDim: 72, window: 50, queries: [97], keys: [110] },
  {
    ...BASE,
    name: 'aligned heads of 128 in a group of 2',
    gapStep: 8,
    headDim: 128,
    kvHeads: 1,
    queries: [133, 5],
    keys: [140, 30],
  },
  // More tiles of the other side than kernels have room for at a time.
  {
    ...BASE,
    name: 'aligned heads of 64 with many keys, a window and a softcap',
    gapStep: 8,
    headDim: 64,
    heads: 1,
    kvHeads: 1,
    window: 400,
    softcap: 4,
    queries: [5, 6],
    keys: [70, 520],
  },
  {
    ...BASE,
    name: 'aligned heads of 64 with many queries, without a mask',
    gapStep: 8,
    headDim: 64,
    kvHeads: 1,
    causal: false,
    queries: [270],
    keys: [20],
    spare: 3,
  },
  { ...BASE, name: 'heads of 136', headDim: 136, kvHeads: 1, queries: [37], keys: [70], spare: 1 },
  { ...BASE, name: 'aligned heads of 256', gapStep: 8, headDim: 256, heads: 1, kvHeads: 1, queries: [65], keys: [66] },
  { ...BASE, name: 'decoding with heads of 130', headDim: 130, kvHeads: 1, queries: [1, 1], keys: [70, 131] },
]
const CASES = SHAPES.flatMap((shape) => COMPUTE_DTYPES.map((dtype) => ({ shape, dtype, name: shape.name })))

/**
 * Scores of magnitude 4 are exponents: their float32 error of 4e-7 is a relative error of p. In bfloat16 backward reads
 * y rounded: D = dy.y is off by up to 2^-9 of its size, in float16 by 2^-12, and so is every ds. Where a query sees one
 * key, ds is a difference of equal numbers of size 3.
 */
const FORWARD: Record<Compute, Tolerance> = {
  float32: { relative: 2e-6, ofLargest: 2e-6 },
  bfloat16: { relative: ONE_ROUNDING.bfloat16.relative, ofLargest: 2e-6 },
  float16: ONE_ROUNDING.float16,
}
const BACKWARD: Record<Compute, Tolerance> = {
  float32: { relative: 2e-6, ofLargest: 4e-6, absolute: 1e-6 },
  bfloat16: { relative: ONE_ROUNDING.bfloat16.relative, ofLargest: 2 ** -8, absolute: 1e-6 },
  float16: { relative: ONE_ROUNDING.float16.relative, ofLargest: 2 ** -11, absolute: 1e-6 },
}
/**
 * Where there are bfloat16 dot products, p and ds are rounded to bfloat16, up to 2^-9 each, before they enter a
 * product.
 */
const FORWARD_DOT: Tolerance = { relative: ONE_ROUNDING.bfloat16.relative, ofLargest: 2 ** -8 }
const BACKWARD_DOT: Tolerance = { ...BACKWARD.bfloat16, ofLargest: 2 ** -7 }

/** On tensor cores p and ds are rounded to the compute dtype, float16's up to 2^-12 each. */
const FORWARD_TENSOR: Record<Compute, Tolerance> = {
  float32: FORWARD.float32,
  bfloat16: FORWARD_DOT,
  float16: { ...FORWARD.float16, ofLargest: 2 ** -11 },
}
const BACKWARD_TENSOR: Record<Compute, Tolerance> = {
  float32: BACKWARD.float32,
  bfloat16: BACKWARD_DOT,
  float16: { ...BACKWARD.float16, ofLargest: 2 ** -10 },
}

interface Setup {
  options: AttentionCase
  q: Operand
  k: Operand
  v: Operand
  dy: Operand
  args: {
    cuSeqlensQ: Tensor
    cuSeqlensK?: Tensor | undefined
    seqUsedK?: Tensor
    blockTable?: Tensor
    blockSize?: number
    options: Record<string, number | boolean>
  }
  keys: number
  gapStep: number
}

function boundaries(lengths: readonly number[]): number[] {
  const edges = [0]
  for (const length of lengths) edges.push((edges.at(-1) as number) + length)
  return edges
}

function setUp(device: Device, shape: Shape, dtype: Compute): Setup {
  const { headDim, heads, kvHeads, causal, window, softcap, spare, gapStep } = shape
  const make = operandMaker(device, dtype, 71)
  const [cuQ, cuK] = [boundaries(shape.queries), boundaries(shape.keys)]
  const queries = cuQ.at(-1) as number
  const keys = (cuK.at(-1) as number) + spare
  const scale = Math.fround(1 / Math.sqrt(headDim))
  const q = make(queries, heads * headDim, { scale: 2, gap: 3 * gapStep })
  const k = make(keys, kvHeads * headDim, { scale: 2, gap: gapStep })
  const v = make(keys, kvHeads * headDim)
  const dy = make(queries, heads * headDim, { gap: 5 * gapStep })
  const edges = (values: number[]) => Tensor.from(device, values, [values.length], 'int32')
  const args = { cuSeqlensQ: edges(cuQ), cuSeqlensK: edges(cuK), options: { headDim, causal, window, scale, softcap } }
  return { options: { ...shape, scale }, q, k, v, dy, args, keys, gapStep }
}

function forward(device: Device, setup: Setup, dtype: Compute): { y: Tensor; lse: Tensor } {
  const { q, k, v, args, options, gapStep } = setup
  const y = output(device, q.rows, q.cols, dtype, 2 * gapStep)
  const lse = Tensor.empty(device, [q.cols / options.headDim, q.rows], 'float32')
  device.enqueue('attention', { q: q.tensor, k: k.tensor, v: v.tensor, blockSize: 0, ...args, y, lse })
  return { y, lse }
}

/** The keys of a setup in shuffled blocks, between blocks whose values would show. */
function inBlocks(device: Device, setup: Setup, shape: Shape, dtype: Compute, blockSize: number): Setup {
  const most = Math.max(...shape.keys.map((keys) => Math.ceil(keys / blockSize)), 1)
  const count = shape.keys.length * most + 3
  // 11 has no divisor in common with any of the counts here.
  const blockOf = (i: number) => (i * 11 + 2) % count
  const table = shape.keys.flatMap((_, s) => Array.from({ length: most }, (_, b) => blockOf(s * most + b)))
  const begins = boundaries(shape.keys)
  const place = (m: Operand, gap: number): Operand => {
    const all = matrix(count * blockSize, m.cols, () => 1e4)
    shape.keys.forEach((keys, s) => {
      for (let key = 0; key < keys; key++) {
        const row = (table[s * most + Math.floor(key / blockSize)] as number) * blockSize + (key % blockSize)
        for (let col = 0; col < m.cols; col++) set(all, row, col, at(m, (begins[s] as number) + key, col))
      }
    })
    return { ...all, tensor: upload(device, all, dtype, gap) }
  }
  const blockTable = Tensor.from(device, table, [shape.keys.length, most], 'int32')
  return {
    ...setup,
    k: place(setup.k, setup.gapStep),
    v: place(setup.v, 0),
    args: { ...setup.args, cuSeqlensK: undefined, blockTable, blockSize },
  }
}

function backward(device: Device, setup: Setup, results: { y: Tensor; lse: Tensor }, dtype: Compute): Tensor[] {
  const { q, k, v, dy, args, gapStep } = setup
  const like = (m: Matrix, gap: number) => output(device, m.rows, m.cols, dtype, gap * gapStep)
  const [dq, dk, dv] = [like(q, 1), like(k, 2), like(v, 3)] as [Tensor, Tensor, Tensor]
  const inputs = { dy: dy.tensor, q: q.tensor, k: k.tensor, v: v.tensor }
  device.enqueue('attentionBackward', { ...inputs, ...args, ...results, dq, dk, dv })
  return [dq, dk, dv]
}

interface Reference {
  expected: { y: Matrix; lse: Matrix }
  gradients: Matrix[]
}

/** The operands of a case are the same on every device: one reference serves them all. */
const references = new Map<string, Reference>()
function referenceOf(name: string, { q, k, v, dy, options }: Setup): Reference {
  let reference = references.get(name)
  if (!reference) {
    const { dq, dk, dv } = attentionBackward(dy, q, k, v, options)
    reference = { expected: attention(q, k, v, options), gradients: [dq, dk, dv] }
    references.set(name, reference)
  }
  return reference
}

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  it.each(CASES)('attention holds for $name in $dtype', async ({ shape, dtype }) => {
    const setup = setUp(device, shape, dtype)
    const results = forward(device, setup, dtype)
    const { expected, gradients: wanted } = referenceOf(`${shape.name} ${dtype}`, setup)
    const dot = dtype === 'bfloat16' && testDevice.name.endsWith('avx512bf16')
    const [forwardTolerance, backwardTolerance] = isGpu(device)
      ? [FORWARD_TENSOR[dtype], BACKWARD_TENSOR[dtype]]
      : [dot ? FORWARD_DOT : FORWARD[dtype], dot ? BACKWARD_DOT : BACKWARD[dtype]]
    expectClose(await readMatrix(results.y), expected.y, forwardTolerance)
    // lse is float32 in both dtypes.
    expectClose(await readMatrix(results.lse), expected.lse, FORWARD.float32)
    await expectGapsUntouched(results.y)

    const gradients = backward(device, setup, results, dtype)
    for (const [i, want] of wanted.entries()) {
      const got = gradients[i] as Tensor
      expectClose(await readMatrix(got), want, backwardTolerance)
      await expectGapsUntouched(got)
    }
  })

  it.each(COMPUTE_DTYPES.flatMap((dtype) => [1, 8].map((gapStep) => ({ dtype, gapStep }))))(
    'attention with room after the keys of each sequence gives what it gives without, in $dtype, gaps of $gapStep',
    async ({ dtype, gapStep }) => {
      const sequences = { queries: [1, 70, 2, 1], keys: [150, 70, 5, 0] }
      const shape = { ...BASE, heads: 4, headDim: 40, window: 90, gapStep, ...sequences }
      const setup = setUp(device, shape, dtype)
      const seqUsedK = Tensor.from(device, shape.keys, [shape.keys.length], 'int32')
      const { y, lse } = forward(device, { ...setup, args: { ...setup.args, seqUsedK } }, dtype)
      // The same keys at the beginning of 160 rows each; the rest would show.
      const room = 160
      const begins = boundaries(shape.keys)
      const spread = (m: Operand): Operand => {
        const all = matrix(shape.keys.length * room, m.cols, (row, col) => {
          const [sequence, key] = [Math.floor(row / room), row % room]
          return key < (shape.keys[sequence] as number) ? at(m, (begins[sequence] as number) + key, col) : 1e4
        })
        return { ...all, tensor: upload(device, all, dtype) }
      }
      const edges = boundaries(shape.keys.map(() => room))
      const cuSeqlensK = Tensor.from(device, edges, [edges.length], 'int32')
      const roomy = { ...setup, k: spread(setup.k), v: spread(setup.v), args: { ...setup.args, cuSeqlensK, seqUsedK } }
      const again = forward(device, roomy, dtype)
      expect((await readMatrix(again.y)).values).toEqual((await readMatrix(y)).values)
      expect((await readMatrix(again.lse)).values).toEqual((await readMatrix(lse)).values)
    },
  )

  it.each(
    COMPUTE_DTYPES.flatMap((dtype) => [
      { dtype, headDim: 40, gapStep: 1, blockSize: 64, window: 90 },
      { dtype, headDim: 48, gapStep: 8, blockSize: 128, window: 0 },
      { dtype, headDim: 104, gapStep: 8, blockSize: 64, window: 150 },
      { dtype, headDim: 97, gapStep: 1, blockSize: 256, window: 0 },
      { dtype, headDim: 136, gapStep: 8, blockSize: 64, window: 0 },
    ]),
  )(
    'keys in blocks give the bits of keys in a row: $dtype, $headDim columns, blocks of $blockSize, a window of $window',
    async ({ blockSize, dtype, ...rest }) => {
      const sequences = { queries: [1, 70, 2, 1, 131, 65], keys: [330, 70, 5, 0, 200, 193] }
      const shape = { ...BASE, ...rest, heads: 4, ...sequences }
      const setup = setUp(device, shape, dtype)
      const seqUsedK = Tensor.from(device, shape.keys, [shape.keys.length], 'int32')
      const inRow = forward(device, { ...setup, args: { ...setup.args, seqUsedK } }, dtype)
      const paged = inBlocks(device, setup, shape, dtype, blockSize)
      const again = forward(device, { ...paged, args: { ...paged.args, seqUsedK } }, dtype)
      expect((await readMatrix(again.y)).values).toEqual((await readMatrix(inRow.y)).values)
      expect((await readMatrix(again.lse)).values).toEqual((await readMatrix(inRow.lse)).values)
      const reference = attention(setup.q, setup.k, setup.v, setup.options)
      expectClose(await readMatrix(again.lse), reference.lse, FORWARD.float32)
    },
  )

  it.each(COMPUTE_DTYPES)(
    'the bits of a query depend neither on its neighbours nor on where a prompt is cut, in %s',
    async (dtype) => {
      const shape = { ...BASE, heads: 4, kvHeads: 2, headDim: 48, gapStep: 8, window: 210 }
      const lengths = [1, 194, 65, 300, 2]
      const setup = setUp(device, { ...shape, queries: lengths, keys: lengths }, dtype)
      const seqUsedK = (values: number[]) => Tensor.from(device, values, [values.length], 'int32')
      const edges = boundaries(lengths)
      const whole = forward(device, { ...setup, args: { ...setup.args, seqUsedK: seqUsedK(lengths) } }, dtype)
      const wanted = await readMatrix(whole.y)
      const paged = inBlocks(device, setup, { ...shape, queries: lengths, keys: lengths }, dtype, 64)
      for (const [s, from, to] of [
        [1, 0, 194],
        [1, 0, 64],
        [1, 128, 194],
        [3, 64, 300],
        [3, 192, 256],
        [2, 64, 65],
        [0, 0, 1],
        [4, 0, 2],
      ] as const) {
        const begin = (edges[s] as number) + from
        const args = {
          ...paged.args,
          cuSeqlensQ: Tensor.from(device, [0, to - from], [2], 'int32'),
          seqUsedK: seqUsedK([to]),
          blockTable: (paged.args.blockTable as Tensor).slice(s, s + 1),
        }
        const rows = { rows: to - from, tensor: setup.q.tensor.slice(begin, begin + to - from) }
        const part = forward(device, { ...paged, q: { ...setup.q, ...rows }, args }, dtype)
        const cols = wanted.cols
        expect([s, from, to, (await readMatrix(part.y)).values]).toEqual([
          s,
          from,
          to,
          wanted.values.slice(begin * cols, (begin + to - from) * cols),
        ])
      }
    },
  )

  it.each([
    [[0, 7], [65, 64], 'expected blocks in [0, 4), those of k, got 7 for sequence 0'],
    [[0, -1], [65, 64], 'expected blocks in [0, 4), those of k, got -1 for sequence 0'],
    [[0, 1], [1, 129], 'expected seqUsedK in [0, 128], the keys of sequence 1, got 129'],
    [[0, 1], [-3, 1], 'expected seqUsedK in [0, 128], the keys of sequence 0, got -3'],
  ])('a table of blocks %j that does not fit %j keys is a fault', async (first, used, message) => {
    const setup = setUp(device, { ...BASE, queries: [3, 1], keys: [200, 56] }, 'float32')
    const args = {
      ...setup.args,
      cuSeqlensK: undefined,
      seqUsedK: Tensor.from(device, used, [2], 'int32'),
      blockTable: Tensor.from(device, [...first, 3, 2], [2, 2], 'int32'),
      blockSize: 64,
    }
    forward(device, { ...setup, args }, 'float32')
    await expect(device.sync()).rejects.toThrow(`[attention] ${message}`)
  })

  it('entries of a table after the blocks that are used are not read', async () => {
    const setup = setUp(device, { ...BASE, queries: [1], keys: [128] }, 'float32')
    const args = (...table: number[]) => ({
      ...setup.args,
      cuSeqlensK: undefined,
      seqUsedK: Tensor.from(device, [64], [1], 'int32'),
      blockTable: Tensor.from(device, table, [1, 2], 'int32'),
      blockSize: 64,
    })
    const one = forward(device, { ...setup, args: args(1, 0) }, 'float32')
    const other = forward(device, { ...setup, args: args(1, -7) }, 'float32')
    expect((await readMatrix(one.y)).values).toEqual((await readMatrix(other.y)).values)
  })

  it.each([-1, 5])('seqUsedK of %i where a sequence has four keys is a fault', async (used) => {
    const setup = setUp(device, { ...BASE, queries: [1], keys: [4] }, 'float32')
    const seqUsedK = Tensor.from(device, [used], [1], 'int32')
    forward(device, { ...setup, args: { ...setup.args, seqUsedK } }, 'float32')
    await expect(device.sync()).rejects.toThrow(
      `[attention] expected seqUsedK in [0, 4], the keys of sequence 0, got ${used}`,
    )
  })

  it.each([
    [5, 2],
    [2, 1],
  ])('queries that see no key give zeros and pass no gradient: %i queries on %i keys', async (queries, keys) => {
    const shape = { ...BASE, queries: [queries], keys: [keys] }
    const setup = setUp(device, shape, 'float32')
    const results = forward(device, setup, 'float32')
    const y = await readMatrix(results.y)
    const lse = await readMatrix(results.lse)
    const [dq] = backward(device, setup, results, 'float32')
    const gradient = await readMatrix(dq as Tensor)
    const blind = queries - keys
    for (let query = 0; query < blind; query++) {
      expect(at(lse, 0, query)).toBe(Number.NEGATIVE_INFINITY)
      expect(at(lse, 1, query)).toBe(Number.NEGATIVE_INFINITY)
      for (let col = 0; col < 64; col++) {
        expect(at(y, query, col)).toBe(0)
        expect(at(gradient, query, col) + 0).toBe(0)
      }
    }
    expect(Number.isFinite(at(lse, 0, blind))).toBe(true)
  })

  it('key rows after the last sequence get a gradient of zero', async () => {
    const setup = setUp(device, { ...BASE, queries: [3], keys: [4], spare: 3 }, 'bfloat16')
    const [, dk, dv] = backward(device, setup, forward(device, setup, 'bfloat16'), 'bfloat16')
    for (const gradient of [dk, dv]) {
      const values = await readMatrix(gradient as Tensor)
      expect([...values.values.subarray(4 * 64)].every((value) => value === 0)).toBe(true)
      expect([...values.values.subarray(0, 4 * 64)].some((value) => value !== 0)).toBe(true)
    }
  })

  it('gradients of many sequences, whose sums do not fit at once, are those of each', async () => {
    // Sums of 4 heads, at least 2 x 65 floats per key: more than the 32 MiB that are held at a time.
    const [sequences, length, headDim, heads] = [290, 57, 65, 4]
    const one = setUp(device, { ...BASE, headDim, heads, kvHeads: 1, queries: [length], keys: [length] }, 'float32')
    const repeated = (m: Operand): Operand => {
      const all = matrix(sequences * m.rows, m.cols, (row, col) => at(m, row % m.rows, col))
      return { ...all, tensor: upload(device, all, 'float32') }
    }
    const edges = boundaries(Array.from({ length: sequences }, () => length))
    const cuSeqlens = Tensor.from(device, edges, [edges.length], 'int32')
    const all: Setup = {
      ...one,
      q: repeated(one.q),
      k: repeated(one.k),
      v: repeated(one.v),
      dy: repeated(one.dy),
      args: { ...one.args, cuSeqlensQ: cuSeqlens, cuSeqlensK: cuSeqlens },
    }
    const gradients = backward(device, all, forward(device, all, 'float32'), 'float32')
    const { dq, dk, dv } = attentionBackward(one.dy, one.q, one.k, one.v, one.options)
    for (const [i, want] of [dq, dk, dv].entries()) {
      const { values } = await readMatrix(gradients[i] as Tensor)
      const size = want.rows * want.cols
      expectClose({ ...want, values: values.slice(0, size) }, want, BACKWARD.float32)
      for (let s = 1; s < sequences; s++) {
        const same = values.subarray(s * size, (s + 1) * size).every((value, at) => value === values[at])
        expect(same, `gradient ${i} of sequence ${s}`).toBe(true)
      }
    }
  })

  it('scores far beyond the range of exp stay finite', async () => {
    const q = upload(
      device,
      matrix(3, 16, () => 100),
      'float32',
    )
    const k = upload(
      device,
      matrix(3, 16, (row) => (row === 1 ? 100 : -100)),
      'float32',
    )
    const v = upload(
      device,
      matrix(3, 16, (row) => row + 1),
      'float32',
    )
    const cu = Tensor.from(device, [0, 3], [2], 'int32')
    const y = Tensor.empty(device, [3, 16], 'float32')
    const lse = Tensor.empty(device, [1, 3], 'float32')
    const options = { headDim: 16, causal: true, window: 0, scale: 1, softcap: 0 }
    device.enqueue('attention', { q, k, v, cuSeqlensQ: cu, cuSeqlensK: cu, y, lse, blockSize: 0, options })
    const values = await readMatrix(y)
    expect([at(values, 0, 0), at(values, 1, 5), at(values, 2, 15)]).toEqual([1, 2, 2])
    expect([...(await lse.read())]).toEqual([-160_000, 160_000, 160_000])
  })

  it('q, k and v may be slices of one projection, and the gradients too', async () => {
    const [tokens, width] = [37, 64]
    const whole = operandMaker(device, 'float32', 72)(tokens, 3 * width)
    const part = (index: number) => matrix(tokens, width, (row, col) => at(whole, row, index * width + col))
    const [q, k, v] = [part(0), part(1), part(2)]
    const slice = (tensor: Tensor, index: number) => tensor.columns(index * width, (index + 1) * width)
    const options: AttentionCase = { ...BASE, scale: 0.25, queries: [tokens], keys: [tokens] }
    const cu = Tensor.from(device, [0, tokens], [2], 'int32')
    const native = { headDim: 32, causal: true, window: 0, scale: 0.25, softcap: 0 }
    const y = Tensor.empty(device, [tokens, width], 'float32')
    const lse = Tensor.empty(device, [2, tokens], 'float32')
    const inputs = {
      q: slice(whole.tensor, 0),
      k: slice(whole.tensor, 1),
      v: slice(whole.tensor, 2),
      cuSeqlensQ: cu,
      cuSeqlensK: cu,
    }
    device.enqueue('attention', { ...inputs, y, lse, blockSize: 0, options: native })
    expectClose(await readMatrix(y), attention(q, k, v, options).y, FORWARD.float32)
    const gradient = Tensor.empty(device, [tokens, 3 * width], 'float32')
    const dy = operandMaker(device, 'float32', 73)(tokens, width)
    const outputs = { dq: slice(gradient, 0), dk: slice(gradient, 1), dv: slice(gradient, 2) }
    device.enqueue('attentionBackward', { ...inputs, dy: dy.tensor, y, lse, ...outputs, options: native })
    const expected = attentionBackward(dy, q, k, v, options)
    expectClose(await readMatrix(outputs.dq), expected.dq, BACKWARD.float32)
    expectClose(await readMatrix(outputs.dk), expected.dk, BACKWARD.float32)
    expectClose(await readMatrix(outputs.dv), expected.dv, BACKWARD.float32)
  })

  it.each(COMPUTE_DTYPES)('no bit depends on the threads in %s', async (dtype) => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const setup = setUp(stream, { ...BASE, heads: 4, headDim: 33, queries: [130, 65], keys: [130, 65] }, dtype)
      const results = forward(stream, setup, dtype)
      return [results.y, results.lse, ...backward(stream, setup, results, dtype)]
    })
  })

  it.each(COMPUTE_DTYPES)('no bit of few queries depends on the threads in %s', async (dtype) => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const shape = { ...BASE, heads: 10, kvHeads: 2, headDim: 33, queries: [1, 67, 2], keys: [300, 67, 601] }
      const { y, lse } = forward(stream, setUp(stream, shape, dtype), dtype)
      return [y, lse]
    })
  })

  it.each([
    [[0, 3, 2, 5], [0, 1, 2, 5], /expected cuSeqlensQ to ascend from 0 to 5, got 2 at position 2/],
    [[0, 2, 3, 4], [0, 1, 2, 5], /expected cuSeqlensQ to ascend from 0 to 5, got 4 at position 3/],
    [[1, 2, 3, 5], [0, 1, 2, 5], /expected cuSeqlensQ to ascend from 0 to 5, got 1 at position 0/],
    [[0, 2, 3, 5], [0, 1, 2, 6], /expected cuSeqlensK to ascend from 0 to at most 5, got 6 at position 3/],
    [[0, 2, 3, 5], [0, -1, 2, 5], /expected cuSeqlensK to ascend from 0 to at most 5, got -1 at position 1/],
  ])('boundaries that do not fit are refused: %j, %j', async (cuQ, cuK, message) => {
    const stream = testDevice.open()
    const x = () => Tensor.full(stream, [5, 16], 'float32', 1)
    const edges = (values: number[]) => Tensor.from(stream, values, [values.length], 'int32')
    const options = { headDim: 16, causal: true, window: 0, scale: 1, softcap: 0 }
    const sides = { cuSeqlensQ: edges(cuQ), cuSeqlensK: edges(cuK) }
    const results = { y: x(), lse: Tensor.full(stream, [1, 5], 'float32', 0) }
    stream.enqueue('attention', { q: x(), k: x(), v: x(), ...sides, ...results, blockSize: 0, options })
    await expect(stream.sync()).rejects.toThrow(message)
    stream.close()
  })

  it('heads above 256 columns are computed on the CPU, and refused on a GPU with the remedy', async () => {
    const stream = testDevice.open()
    const setup = setUp(stream, { ...BASE, headDim: 257, queries: [5, 2], keys: [5, 2] }, 'float32')
    const { q, k, v, dy, options } = setup
    const results = forward(stream, setup, 'float32')
    if (!isGpu(stream)) {
      expectClose(await readMatrix(results.y), attention(q, k, v, options).y, FORWARD.float32)
      const { dq } = attentionBackward(dy, q, k, v, options)
      expectClose(await readMatrix(backward(stream, setup, results, 'float32')[0] as Tensor), dq, BACKWARD.float32)
    } else {
      const remedy = "expected heads of at most 256 columns on a GPU, got 257; use device 'cpu', which takes any width"
      await expect(stream.sync()).rejects.toThrow(`[attention] ${remedy}`)
      const filled = {
        y: Tensor.full(stream, [7, 514], 'float32', 1),
        lse: Tensor.full(stream, [2, 7], 'float32', 1),
      }
      backward(stream, setup, filled, 'float32')
      await expect(stream.sync()).rejects.toThrow(`[attentionBackward] ${remedy}`)
    }
    stream.close()
  })
})
