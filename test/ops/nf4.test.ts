/**
 * @file quantizeNf4, dequantizeNf4, and linear on NF4 weights: exact against the reference, against bitsandbytes, and
 * against dense weights.
 */

import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import { runBackward } from '../../src/autograd/tape.js'
import { linear, type Projection } from '../../src/ops/linear.js'
import { dequantizeNf4, NF4_TABLES, nf4Arguments, quantizeNf4 } from '../../src/ops/nf4.js'
import { Device } from '../../src/tensor/device.js'
import type { Nf4Weight } from '../../src/tensor/nf4.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { type Matrix, matrix } from '../reference/matrix.js'
import * as reference from '../reference/nf4.js'
import { testDevices } from '../support/devices.js'
import { backwardArguments, forwardArguments, makeParts, type PartShape } from '../support/linear-case.js'
import { isThorough } from '../support/long.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import {
  COMPUTE_DTYPES,
  type Compute,
  expectExact,
  expectGapsUntouched,
  operandMaker,
  output,
  readMatrix,
  roundTo,
} from '../support/values.js'

const { code: CODE, nestedCode: NESTED_CODE } = NF4_TABLES
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** [O, K]: whole rows of blocks, blocks that straddle rows, an odd total, a single element. */
const SHAPES = [
  [16, 64],
  [35, 128],
  [37, 61],
  [9, 96],
  [1, 1],
] as const
const BLOCK_SIZES = [32, 64, 256, 4096]
/** Rows of x: one, what each kernel for few rows takes at a time and one beside it, and more. */
const TOKENS = isThorough ? [1, 2, 3, 4, 5, 12, 13, 37] : [1, 4, 13]

describe('the code tables', () => {
  it("are those of bitsandbytes' create_dynamic_map and get_4bit_type, bit for bit", () => {
    expect(sha256(new Uint8Array(NESTED_CODE.buffer))).toBe(
      'e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c',
    )
    expect([...new Uint32Array(CODE.buffer)].map((bits) => bits.toString(16)).join(' ')).toBe(
      'bf800000 bf3239b1 bf066b30 beca32a0 be91a24d be3d353f bdba7871 0 3da2faff 3e24cae3 3e7c04dd 3ead033a 3ee1a4b8 3f1007ab 3f3913b3 3f800000',
    )
  })
})

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  const bytesOf = async (tensor: Tensor): Promise<string> => Buffer.from(await device.readBytes(tensor)).toString('hex')
  const hex = (array: Uint8Array | Float32Array): string =>
    Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex')

  /** Weights whose rows differ in size, so that scales differ. */
  function weights(dtype: Compute, rows: number, cols: number, seed = 61, gap = 0) {
    const make = operandMaker(device, dtype, seed)
    return make(rows, cols, { scale: 0.3, gap })
  }

  it.each(COMPUTE_DTYPES)('quantises %s to the bytes of the reference', async (dtype) => {
    for (const [rows, cols] of SHAPES) {
      for (const blockSize of BLOCK_SIZES) {
        const x = weights(dtype, rows, cols, rows, 3)
        const plain = quantizeNf4(x.tensor, { blockSize, doubleQuantization: false })
        const want = reference.quantize(x.values, CODE, blockSize)
        expect(await bytesOf(plain.packed)).toBe(hex(want.packed))
        expect(await bytesOf(plain.absmax)).toBe(hex(want.absmax))
        const twice = quantizeNf4(x.tensor, { blockSize })
        const scales = reference.quantizeScales(want.absmax, NESTED_CODE, 256)
        expect(await bytesOf(twice.packed)).toBe(hex(want.packed))
        expect(await bytesOf(twice.absmax)).toBe(hex(scales.codes))
        expect(await bytesOf(twice.nestedAbsmax as Tensor)).toBe(hex(scales.absmax))
        expect(await (twice.offset as Tensor).read()).toEqual(Float32Array.of(scales.offset))
      }
    }
  })

  it('quantises many nested blocks, and runs that several tasks share', async () => {
    const x = weights('float32', 211, 331)
    const twice = quantizeNf4(x.tensor, { blockSize: 32 })
    const want = reference.quantize(x.values, CODE, 32)
    const scales = reference.quantizeScales(want.absmax, NESTED_CODE, 256)
    expect(scales.absmax.length).toBe(9)
    expect(await bytesOf(twice.packed)).toBe(hex(want.packed))
    expect(await bytesOf(twice.absmax)).toBe(hex(scales.codes))
    expect(await bytesOf(twice.nestedAbsmax as Tensor)).toBe(hex(scales.absmax))
  })

  it.each([
    {
      dtype: 'float32',
      packed: '79225895b2474e9f',
      absmax: '72fe5ad8b1410fe9',
      twice: 'f03a0737892fb2bd',
      nested: '351227561b3cdefa',
      offset: 2.6933443546295166,
      dense: 'a510806a0d68c699',
    },
    {
      dtype: 'bfloat16',
      packed: '9b83c341b4cabf85',
      absmax: '97c07b99833279ad',
      twice: '2a9337e121fdfdcb',
      nested: 'df7cf278053101aa',
      offset: 2.6929688453674316,
      dense: '9d9a085b8650e295',
    },
    {
      dtype: 'float16',
      packed: '4d5fe46fc98547e6',
      absmax: 'db637adebe9f9abd',
      twice: 'feba2f429fae3bd0',
      nested: '914c7b34ae427860',
      offset: 2.693359375,
      dense: '',
    },
  ] as const)('quantises $dtype as bitsandbytes 0.50 does on a CPU', async (golden) => {
    // F.quantize_4bit(x, blocksize=64, quant_type='nf4', compress_statistics=True) of the same numbers; digests of its
    // bytes.
    const values = Float32Array.from({ length: 67 * 66 }, (_, i) => {
      const uniform = ((i * 2654435761) % 2 ** 32) / 2 ** 31 - 1
      return uniform * uniform * uniform * (1 + Math.floor(i / 997))
    })
    const x = Tensor.from(device, values, [67, 66], golden.dtype)
    const digest = async (tensor: Tensor): Promise<string> => sha256(await device.readBytes(tensor)).slice(0, 16)
    const weight = quantizeNf4(x)
    expect(await digest(weight.packed)).toBe(golden.packed)
    expect(await digest(quantizeNf4(x, { doubleQuantization: false }).absmax)).toBe(golden.absmax)
    expect(await digest(weight.absmax)).toBe(golden.twice)
    expect(await digest(weight.nestedAbsmax as Tensor)).toBe(golden.nested)
    expect(await (weight.offset as Tensor).read()).toEqual(Float32Array.of(golden.offset))
    if (golden.dtype === 'float16') return
    const dense = dequantizeNf4(weight, golden.dtype)
    expect(sha256(new Uint8Array((await dense.read()).buffer)).slice(0, 16)).toBe(golden.dense)
  })

  it('a value on a threshold takes the lower code, a block of zeros the code of 0, and a NaN its whole block', async () => {
    const halfway = CODE.slice(1).map((value, i) => ((CODE[i] as number) + value) / 2)
    const values = new Float32Array(96)
    values.set(halfway)
    values[31] = 1
    values.fill(0.5, 64)
    values[70] = Number.NaN
    const x = Tensor.from(device, values, [3, 32])
    const weight = quantizeNf4(x, { blockSize: 32, doubleQuantization: false })
    expect(await bytesOf(weight.packed)).toMatch(/^0123456789abcde7(77){7}7f(77){16}/)
    const dense = await dequantizeNf4(weight, 'float32').read()
    expect([...dense.slice(0, 16)]).toEqual([...CODE.slice(0, 15), 0])
    expect([...dense.slice(32, 64)]).toEqual(new Array(32).fill(0))
    expect(dense.slice(64).every(Number.isNaN)).toBe(true)
  })

  it.each(COMPUTE_DTYPES)('dequantises to %s with one rounding, strides untouched', async (dtype) => {
    for (const [rows, cols] of SHAPES) {
      for (const blockSize of BLOCK_SIZES) {
        const x = weights(dtype, rows, cols, 7)
        const quantized = reference.quantize(x.values, CODE, blockSize)
        const sizes = { rows, cols, blockSize, round: (value: number) => roundTo(dtype, value) }
        const y = output(device, rows, cols, dtype, 2)
        const plain = quantizeNf4(x.tensor, { blockSize, doubleQuantization: false })
        device.enqueue('dequantizeNf4', { y, ...nf4Arguments(plain) })
        expectExact(await readMatrix(y), reference.dequantize(quantized, quantized.absmax, CODE, sizes))
        await expectGapsUntouched(y)
        const nested = reference.quantizeScales(quantized.absmax, NESTED_CODE, 256)
        const scales = reference.nestedScales(nested, NESTED_CODE, 256)
        expectExact(
          await readMatrix(dequantizeNf4(quantizeNf4(x.tensor, { blockSize }), dtype)),
          reference.dequantize(quantized, scales, CODE, sizes),
        )
      }
    }
  })

  it('reads the tables of the weight, not its own', async () => {
    const x = weights('float32', 5, 64)
    const weight = quantizeNf4(x.tensor)
    const halves = (table: Float32Array): Tensor =>
      Tensor.from(
        device,
        table.map((v) => v / 2),
        [table.length],
      )
    const other = { ...weight, code: halves(CODE) }
    const dense = await dequantizeNf4(weight, 'float32').read()
    expect(await dequantizeNf4(other, 'float32').read()).toEqual(dense.map((value) => value / 2))
    const part = (nf4: Nf4Weight) => linear(Tensor.full(device, [7, 64], 'float32', 1), [{ ...quantizedPart(nf4) }])
    expect(await part(other).read()).toEqual((await part(weight).read()).map((value) => value / 2))
  })

  function quantizedPart(nf4: Nf4Weight, dtype: Compute = 'float32'): Projection {
    const weight = new Parameter('weight', nf4.shape, device, dtype)
    weight.quantize(nf4)
    return { weight, inOut: false, pairs: [] }
  }

  /** Parts whose weights are NF4, and the same parts on the dequantised matrices. */
  function twins(
    dtype: Compute,
    tokens: number,
    inputs: number,
    shapes: PartShape[],
    blockSize: number,
    nested: boolean,
  ) {
    const dense = makeParts(operandMaker(device, dtype, 11), dtype, tokens, inputs, shapes)
    const quantized = makeParts(operandMaker(device, dtype, 11), dtype, tokens, inputs, shapes)
    const weights = dense.map(({ weight }) => quantizeNf4(weight.tensor, { blockSize, doubleQuantization: nested }))
    const swap = (args: ReturnType<typeof forwardArguments>, nf4: boolean) =>
      args.map((part, p) => ({
        ...part,
        ...('dWeight' in part ? { dWeight: undefined } : {}),
        weight: nf4 ? undefined : dequantizeNf4(weights[p] as Nf4Weight, dtype),
        nf4: nf4 ? [nf4Arguments(weights[p] as Nf4Weight)] : [],
      }))
    return { dense, quantized, swap }
  }

  const GROUP: PartShape[] = [
    { outputs: 35, bias: true, ranks: [3] },
    { outputs: 1 },
    { outputs: 130, ranks: [2, 5], dropout: { p: 0.3, seed: 77, microStep: 5 } },
  ]

  /** y, s, dx and every gradient of both twins have the same bits. */
  async function expectTwins(
    dtype: Compute,
    tokens: number,
    inputs: number,
    { blockSize = 64, nested = true, shapes = GROUP, gap = 1 } = {},
  ): Promise<void> {
    const { dense, quantized, swap } = twins(dtype, tokens, inputs, shapes, blockSize, nested)
    const width = shapes.reduce((sum, { outputs }) => sum + outputs, 0)
    const make = operandMaker(device, dtype, 12)
    const [x, dy] = [make(tokens, inputs, { gap }), make(tokens, width, { gap: 3 })]
    const run = (parts: typeof dense, nf4: boolean): Tensor[] => {
      const [y, dx] = [output(device, tokens, width, dtype, 2), output(device, tokens, inputs, dtype, 1)]
      device.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: swap(forwardArguments(parts), nf4) })
      device.enqueue('linearBackward', { dy: dy.tensor, x: x.tensor, dx, parts: swap(backwardArguments(parts), nf4) })
      return [y, dx, ...parts.flatMap((part) => [part.dBias, ...part.pairs.flatMap(({ s, da, db }) => [s, da, db])])]
    }
    const [want, got] = [run(dense, false), run(quantized, true)]
    const label = `${tokens} x ${inputs}, blocks of ${blockSize}`
    for (const [i, tensor] of got.entries()) {
      expect((await bytesOf(tensor)) === (await bytesOf(want[i] as Tensor)), `${label}, output ${i}`).toBe(true)
    }
    await expectGapsUntouched(got[0] as Tensor)
    for (const tensor of [...want, ...got]) tensor.dispose()
  }

  // Rows of whole blocks (the usual models), of half blocks, odd ones; beyond one chunk of depth, and more rows than a
  // task has.
  it.each(COMPUTE_DTYPES)('linear on NF4 has the bits of linear on the dequantised weight in %s', async (dtype) => {
    for (const tokens of TOKENS) {
      for (const inputs of [64, 61, 192, 96]) await expectTwins(dtype, tokens, inputs)
    }
    for (const tokens of [3, 15]) for (const inputs of [1088, 2051]) await expectTwins(dtype, tokens, inputs)
    // Rows that lie in pieces, of which a GPU multiplies up to 16 in tiles of their height.
    await expectTwins(dtype, 12, 192, { gap: 0 })
    await expectTwins(dtype, 541, 128, { shapes: [{ outputs: 97, ranks: [2] }] })
    // On a GPU a few large tiles, which decode the weights themselves.
    await expectTwins(dtype, 203, 208, { shapes: [{ outputs: 267, bias: true, ranks: [2] }] })
    // More columns than a GPU dequantises at a time, forward and backward.
    await expectTwins(dtype, 131, 1104, { shapes: [{ outputs: 603, bias: true, ranks: [2] }] })
  })

  it.each(COMPUTE_DTYPES)(
    'NF4 agrees with the reference with any block size, plain or double quantised, in %s',
    async (dtype) => {
      for (const blockSize of BLOCK_SIZES) {
        for (const nested of [true, false]) {
          for (const tokens of isThorough ? [1, 4, 14] : [4]) {
            await expectTwins(dtype, tokens, 320, { blockSize, nested })
            await expectTwins(dtype, tokens, 33, { blockSize, nested })
          }
        }
      }
    },
  )

  it.each([
    ['bfloat16', [0, 1e-44, 1.2e-38, 1e-25, 1, 1e25, 1e36]],
    ['float16', [0, 1e-44, 1e-9, 1e-7, 5e-5, 1, 65_000]],
  ] as const)(
    'NF4 agrees with the reference with scales from 0 and subnormal to near the largest in %s',
    async (dtype, scales) => {
      const make = operandMaker(device, dtype, 21)
      const [w, x] = [make(67, 320), make(4, 320)]
      const weight = quantizeNf4(w.tensor, { doubleQuantization: false })
      for (const scale of scales) {
        // One such scale per row of five blocks.
        const absmax = Float32Array.from({ length: weight.absmax.cols }, (_, i) => (i % 5 === 3 ? scale : 0.1))
        const nf4 = { ...weight, absmax: Tensor.from(device, absmax, [absmax.length]) }
        const outputs = [true, false].map((quantized) => {
          const part = quantized ? { nf4: [nf4Arguments(nf4)] } : { nf4: [], weight: dequantizeNf4(nf4, dtype) }
          const y = output(device, 4, 67, 'float32')
          device.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: [{ ...part, inOut: false, pairs: [] }] })
          return y
        })
        const [got, want] = await Promise.all(outputs.map(bytesOf))
        expect(got === want, `a scale of ${scale}`).toBe(true)
      }
    },
  )

  it('NF4 agrees with the reference with more nested blocks than one', async () => {
    for (const tokens of [2, 17]) {
      await expectTwins('bfloat16', tokens, 640, { blockSize: 32, shapes: [{ outputs: 67 }] })
      await expectTwins('bfloat16', tokens, 640, { shapes: [{ outputs: 67 }] })
    }
  })

  it.each(COMPUTE_DTYPES)('the result does not depend on the threads in %s', async (dtype) => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const make = operandMaker(stream, dtype, 38)
      const [w, x, few, dy] = [make(133, 192), make(601, 192), make(3, 192), make(601, 133)]
      const weight = quantizeNf4(w.tensor)
      const part = { nf4: [nf4Arguments(weight)], inOut: false, pairs: [] }
      const [y, yFew, dx] = [
        output(stream, 601, 133, dtype),
        output(stream, 3, 133, dtype),
        output(stream, 601, 192, dtype),
      ]
      stream.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: [part] })
      stream.enqueue('linear', { sumOrder: 0, x: few.tensor, y: yFew, parts: [part] })
      stream.enqueue('linearBackward', { dy: dy.tensor, dx, parts: [part] })
      const { packed, absmax, nestedAbsmax, offset } = weight
      return [packed, absmax, nestedAbsmax as Tensor, offset as Tensor, y, yFew, dx]
    })
  })

  it('gradients reach x and the LoRA pairs through the tape, none the weight', async () => {
    const make = operandMaker(device, 'float32', 5)
    const [w, a, b, x, dy] = [make(19, 64), make(3, 64), make(19, 3), make(7, 64), make(7, 19)]
    const nf4 = quantizeNf4(w.tensor)
    const dense = new Parameter('dense', [19, 64], device, 'float32')
    dense.set(await dequantizeNf4(nf4, 'float32').read())
    const trainable = (values: Matrix): Parameter => {
      const parameter = new Parameter('pair', [values.rows, values.cols], device, 'float32')
      parameter.unfreeze()
      parameter.set(Float32Array.from(values.values))
      return parameter
    }
    const run = async (part: Projection): Promise<Matrix[]> => {
      const pair = { a: trainable(a), b: trainable(b), scale: 0.5, dropout: 0, dropoutStream: 1 }
      const input = x.tensor.alias()
      input.requiresGrad = true
      const y = linear(input, [{ ...part, pairs: [pair] }])
      runBackward([{ tensor: y, grad: dy.tensor.alias() }])
      expect(part.weight.hasGrad).toBe(false)
      return Promise.all([y, input.grad as Tensor, pair.a.grad, pair.b.grad].map(readMatrix))
    }
    const want = await run({ weight: dense, inOut: false, pairs: [] })
    const got = await run(quantizedPart(nf4))
    expect(got.length).toBe(4)
    got.forEach((result, i) => {
      expectExact(result, want[i] ?? matrix(0, 0))
    })
  })
})

describe('a quantised parameter', () => {
  const device = Device.open()
  const ones = Tensor.full(device, [3, 64], 'float32', 1)
  afterAll(() => device.close())

  it('has no dense value, is never trainable, and frees its storage', async () => {
    const parameter = new Parameter('model.w', [3, 64], device, 'bfloat16')
    await device.sync()
    const before = device.memory().live
    parameter.quantize(quantizeNf4(ones))
    expect(() => parameter.value).toThrow('[parameter] expected a dense parameter, but model.w is NF4')
    expect(() => parameter.unfreeze()).toThrow(
      '[parameter] expected a dense parameter to train, but model.w is NF4; train an adapter on it',
    )
    await device.sync()
    expect(device.memory().live).toBeGreaterThan(before)
    parameter.dispose()
    await device.sync()
    expect(device.memory().live).toBe(before)
  })

  it('is refused storage of another shape, and while it trains', () => {
    expect(() => new Parameter('v', [64, 3], device, 'bfloat16').quantize(quantizeNf4(ones))).toThrow(
      '[parameter] expected shape [64,3] for v, got NF4 of [3,64]',
    )
    const trainable = new Parameter('t', [3, 64], device, 'bfloat16')
    trainable.unfreeze()
    expect(() => trainable.quantize(quantizeNf4(ones))).toThrow(
      'expected a frozen parameter to quantize, but t is trainable; freeze() it',
    )
  })

  it('a quantised parameter cannot be made with blocks that bitsandbytes does not have, nor from a vector', () => {
    expect(() => quantizeNf4(ones, { blockSize: 48 })).toThrow(
      '[quantizeNf4] expected a power of two from 32 to 4096 for blockSize, got 48',
    )
    expect(() => quantizeNf4(Tensor.full(device, [64], 'float32', 1))).toThrow(
      '[quantizeNf4] expected shape [*, *] ([O, K]) for x, got [64]',
    )
  })
})
