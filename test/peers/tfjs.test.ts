/**
 * @file `lowrank/tfjs` in TensorFlow.js itself, on its CPU and WebAssembly backends, against float64. The packages are
 * those of test/peers/runtimes-without-scripts.txt, in the folder that LOWRANK_TEST_RUNTIMES names.
 */

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../src/random.js'
import { Tensor } from '../../src/tensor/tensor.js'
import type { Tf, TfTensor } from '../../src/tfjs/tf.js'
import { createTfjsOps, type TfjsOps } from '../../src/tfjs/tfjs-ops.js'
import { linear, linearBackward } from '../reference/linear.js'
import { type Matrix, matrix } from '../reference/matrix.js'

const runtimes = process.env.LOWRANK_TEST_RUNTIMES || undefined
if (runtimes === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_RUNTIMES to name a node_modules folder with test/peers/runtimes-without-scripts.txt, got nothing',
  )
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

/** What the tests use of TensorFlow.js beyond what the ops do. */
interface TestedTf extends Tf<TfTensor> {
  setBackend(name: string): Promise<boolean>
  ready(): Promise<void>
  memory(): { numTensors: number; numBytes: number }
  grads(fn: (...inputs: TfTensor[]) => TfTensor): (inputs: TfTensor[], dy?: TfTensor) => TfTensor[]
  grad(fn: (x: TfTensor) => TfTensor): (x: TfTensor, dy?: TfTensor) => TfTensor
  square(x: TfTensor): TfTensor
  cast(x: TfTensor, dtype: string): TfTensor
}

/** Forward and gradient bounds that the ops promise, for results of about 1. */
const FORWARD = 1e-5
const GRADIENT = 1e-4

/** Odd on purpose: rows of the weight end within a byte and within a block. */
const N = 7
const O = 13
const K = 37
const R = 3

const random = new Random(5)
const uniform = (scale = 1) => (random.next() * 2 - 1) * scale
const random32 = (rows: number, cols: number, scale = 1): Matrix =>
  matrix(rows, cols, () => Math.fround(uniform(scale)))

function expectNear(actual: TfTensor | Float32Array, expected: Matrix, bound: number): void {
  const values = actual instanceof Float32Array ? actual : (actual.dataSync() as Float32Array)
  expect(values).toHaveLength(expected.values.length)
  const largest = expected.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
  const furthest = expected.values.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - (values[i] as number))),
    0,
  )
  expect(furthest / largest).toBeLessThan(bound)
}

describe.skipIf(runtimes === undefined)('lowrank/tfjs', () => {
  let tf: TestedTf
  let packages: NodeJS.Require

  beforeAll(() => {
    packages = createRequire(join(runtimes as string, 'packages.js'))
    tf = packages('@tensorflow/tfjs') as TestedTf
    packages('@tensorflow/tfjs-backend-wasm')
  })

  const cases = (['cpu', 'wasm'] as const).flatMap((backend) =>
    (['auto', 'tfjs'] as const).map((kernels) => ({ backend, kernels })),
  )
  describe.each(cases)('on the backend $backend with the kernels $kernels', ({ backend, kernels }) => {
    let ops: TfjsOps<TfTensor>
    const of = ({ rows, cols, values }: Matrix): TfTensor =>
      tf.tensor(Float32Array.from(values), [rows, cols], 'float32')
    const valuesOf = (x: TfTensor): Matrix => {
      const values = x.dataSync() as Float32Array
      return matrix(
        x.shape[0] as number,
        x.shape[1] as number,
        (row, col) => values[row * (x.shape[1] as number) + col] as number,
      )
    }

    beforeAll(async () => {
      await tf.setBackend(backend)
      await tf.ready()
      expect(tf.getBackend()).toBe(backend)
      ops = createTfjsOps(tf, { kernels })
    })
    afterAll(() => ops.dispose())

    it('says who computes', () => {
      expect(ops.kernels).toBe(kernels === 'auto' ? 'native' : 'tfjs')
    })

    it.each([true, false])(
      'multiplies by NF4 with double quantisation %s, and gives the gradient of x',
      (doubleQuantization) => {
        const weight = ops.quantizeNf4(of(random32(O, K, 0.3)), { doubleQuantization, blockSize: 32 })
        const dense = valuesOf(ops.dequantizeNf4(weight))
        const x = random32(N, K)
        const dy = random32(N, O)
        const parts = [{ weight: dense, pairs: [] }]
        expectNear(ops.matMulNf4(of(x), weight), linear(x, parts).y, FORWARD)
        const dx = tf.grad((input) => ops.matMulNf4(input, weight))(of(x), of(dy))
        expectNear(dx, linearBackward(dy, x, parts, [[]]).dx, GRADIENT)
      },
    )

    it('dequantises to what the scales and codes say, to the bit, and gives gradients of scales', () => {
      const weight = ops.quantizeNf4(of(random32(O, K, 0.3)), { doubleQuantization: false })
      const scales = ops.scalesNf4(weight)
      const ones = tf.tensor(new Float32Array(scales.shape[0] as number).fill(1), scales.shape, 'float32')
      const codes = ops.dequantizeNf4(weight, ones).dataSync() as Float32Array
      const stored = scales.dataSync() as Float32Array
      const expected = codes.map((code, i) => Math.fround(code * (stored[Math.floor(i / 64)] as number)))
      expect(ops.dequantizeNf4(weight).dataSync()).toEqual(expected)
      expect(ops.dequantizeNf4(weight, scales).dataSync()).toEqual(expected)
      const dy = random32(O, K)
      const sums = matrix(1, stored.length, (_, block) =>
        dy.values.reduce((sum, value, i) => sum + (Math.floor(i / 64) === block ? value * (codes[i] as number) : 0), 0),
      )
      expectNear(tf.grad((input) => ops.dequantizeNf4(weight, input))(scales, of(dy)), sums, GRADIENT)
    })

    it.each(['dense', 'NF4'])('adds LoRA to a %s weight, with gradients of everything', (kind) => {
      const x = random32(N, K)
      const a = random32(R, K, 0.5)
      const b = random32(O, R, 0.5)
      const bias = random32(1, O)
      const original = of(random32(O, K, 0.3))
      const weight = kind === 'dense' ? original : ops.quantizeNf4(original)
      const dense = kind === 'dense' ? valuesOf(original) : valuesOf(ops.dequantizeNf4(weight as never))
      const scale = 1.75
      const flatBias = tf.reshape(of(bias), [O])
      const parts = [{ weight: dense, bias, pairs: [{ a, b, scale }] }]
      const { y, s } = linear(x, parts)
      expectNear(ops.loraLinear(of(x), weight, of(a), of(b), { scale, bias: flatBias }), y, FORWARD)

      const dy = random32(N, O)
      const inputs = [of(x), of(a), of(b), flatBias, ...(kind === 'dense' ? [original] : [])]
      const gradients = tf.grads((input, factorA, factorB, shift, matrix) =>
        ops.loraLinear(input as TfTensor, matrix ?? weight, factorA as TfTensor, factorB as TfTensor, {
          scale,
          bias: shift,
        }),
      )(inputs, of(dy))
      const expected = linearBackward(dy, x, parts, s)
      const [part] = expected.parts
      const wanted = [expected.dx, part?.pairs[0]?.da, part?.pairs[0]?.db, part?.dBias, part?.dWeight] as Matrix[]
      expect(gradients).toHaveLength(inputs.length)
      for (const [i, gradient] of gradients.entries()) expectNear(gradient, wanted[i] as Matrix, GRADIENT)
    })

    it('gives no gradient to a frozen weight', () => {
      const [x, a, b] = [of(random32(N, K)), of(random32(R, K)), of(random32(O, R))]
      const gradient = tf.grad((weight) => ops.loraLinear(x, weight, a, b, { frozenWeight: true }))
      expect(() => gradient(of(random32(O, K)))).toThrow('Cannot compute gradient of y=f(x) with respect to x')
    })

    it('folds the leading dimensions of an input', () => {
      const weight = ops.quantizeNf4(of(random32(O, K)))
      const x = random32(6, K)
      const folded = tf.reshape(of(x), [2, 3, K])
      const y = ops.matMulNf4(folded, weight)
      expect(y.shape).toEqual([2, 3, O])
      expect(y.dataSync()).toEqual(ops.matMulNf4(of(x), weight).dataSync())
      const single = tf.reshape(of(random32(1, K)), [K])
      expect(ops.matMulNf4(single, weight).shape).toEqual([O])
      expect(tf.grad((input) => ops.matMulNf4(input, weight))(folded).shape).toEqual([2, 3, K])
    })

    it('keeps no tensor over 1,000 calls, forward and backward', () => {
      const [x, a, b, dy] = [of(random32(N, K)), of(random32(R, K)), of(random32(O, R)), of(random32(N, O))]
      const weight = ops.quantizeNf4(of(random32(O, K)))
      const scales = ops.scalesNf4(weight)
      const dense = of(random32(O, K))
      const call = (): void => {
        ops.matMulNf4(x, weight).dispose()
        ops.dequantizeNf4(weight).dispose()
        for (const matrix of [dense, weight]) {
          const gradients = tf.grads((...[x, a, b]) =>
            ops.loraLinear(x as TfTensor, matrix, a as TfTensor, b as TfTensor),
          )
          for (const gradient of gradients([x, a, b], dy)) gradient.dispose()
        }
        tf.grad((input) => ops.dequantizeNf4(weight, input))(scales).dispose()
        ops.fromTensor(ops.toTensor(x)).dispose()
      }
      call()
      const { numTensors, numBytes } = tf.memory()
      for (let i = 0; i < 1000; i++) call()
      expect(tf.memory()).toMatchObject({ numTensors, numBytes })
    })

    it('copies tensors across, both ways', () => {
      const x = of(random32(3, 5))
      const tensor = ops.toTensor(x)
      expect(tensor).toMatchObject({ shape: [3, 5], dtype: 'float32' })
      expect(tensor.readSync()).toEqual(x.dataSync())
      expect(ops.fromTensor(tensor).dataSync()).toEqual(x.dataSync())
      const half = ops.toTensor(tf.tensor(Float32Array.of(1 / 3, -2.5), [2], 'float32'), { dtype: 'bfloat16' })
      expect(half.dtype).toBe('bfloat16')
      expect([...(ops.fromTensor(half).dataSync() as Float32Array)]).toEqual([0.333984375, -2.5])
      const whole = ops.toTensor(tf.tensor(Int32Array.of(7, -(2 ** 31), 3), [3, 1], 'int32'))
      expect(whole.dtype).toBe('int32')
      expect(ops.fromTensor(whole)).toMatchObject({ shape: [3, 1], dtype: 'int32' })
      expect([...(ops.fromTensor(whole).dataSync() as Int32Array)]).toEqual([7, -2147483648, 3])
      for (const made of [tensor, half, whole]) made.dispose()
    })

    it('refuses a derivative of a derivative where it would be wrong, and has it in TensorFlow.js', () => {
      const weight = ops.quantizeNf4(of(random32(O, K)))
      const slope = tf.grad((x) => tf.square(ops.matMulNf4(x, weight)))
      const curvature = tf.grad((x) => slope(x))
      if (kernels === 'tfjs') expect(curvature(of(random32(N, K))).shape).toEqual([N, K])
      else
        expect(() => curvature(of(random32(N, K)))).toThrow(
          "[matMulNf4] expected a first derivative, got a gradient of a gradient; createTfjsOps(tf, { kernels: 'tfjs' }) has those",
        )
    })

    it('says what is wrong with an argument', () => {
      const weight = ops.quantizeNf4(of(random32(O, K)))
      const x = of(random32(N, K))
      const [a, b] = [of(random32(R, K)), of(random32(O, R))]
      expect(() => ops.matMulNf4(of(random32(N, 5)), weight)).toThrow(
        '[matMulNf4] expected shape [..., 37] ([..., K]) for x, got [7, 5]',
      )
      expect(() => ops.matMulNf4(tf.cast(x, 'int32'), weight)).toThrow(
        "[matMulNf4] expected float32 for x, got int32; convert it with tf.cast(x, 'float32')",
      )
      expect(() => ops.matMulNf4(x, x as never)).toThrow(
        '[matMulNf4] expected a weight in NF4, got another value; quantizeNf4 makes one of a matrix',
      )
      expect(() => ops.loraLinear(x, weight, b, a)).toThrow(
        '[loraLinear] expected shape [*, 37] ([r, K]) for a, got [13, 3]',
      )
      expect(() => ops.loraLinear(x, weight, a, a)).toThrow(
        '[loraLinear] expected shape [13, 3] ([O, r]) for b, got [3, 37]',
      )
      expect(() => ops.loraLinear(x, weight, a, b, { bias: b })).toThrow(
        '[loraLinear] expected shape [13] ([O]) for bias, got [13, 3]',
      )
      expect(() => ops.loraLinear(x, weight, a, b, { alpha: 1 } as never)).toThrow(
        '[loraLinear] unknown option "alpha"; valid options: scale, bias, frozenWeight',
      )
      expect(() => ops.quantizeNf4(x, { blockSize: 48 })).toThrow(
        'expected a power of two from 32 to 4096 for blockSize, got 48',
      )
      const gone = of(random32(N, K))
      gone.dispose()
      expect(() => ops.matMulNf4(gone, weight)).toThrow(
        '[matMulNf4] expected a live tensor for x, got one that was disposed',
      )
      expect(() => ops.fromTensor(x as never)).toThrow('[fromTensor] expected a tensor of lowrank, got another value')
      expect(() => createTfjsOps({} as never)).toThrow('[createTfjsOps] expected the module of TensorFlow.js for tf')
    })
  })

  it('frees its device and refuses to go on once disposed', () => {
    const ops = createTfjsOps(tf)
    const x = tf.tensor(Float32Array.of(1, 2), [1, 2], 'float32')
    const weight = ops.quantizeNf4(x)
    ops.dispose()
    ops.dispose()
    expect(() => ops.quantizeNf4(x)).toThrow('[tfjs] expected ops that are in use, got disposed ones')
    expect(() => ops.matMulNf4(x, weight)).toThrow(
      '[tfjs] expected ops that are in use, got disposed ones; make others with createTfjsOps',
    )
    expect(weight.packed).toBeInstanceOf(Tensor)
  })

  it('compiles and runs what the page says', async () => {
    const page = await readFile(join(ROOT, 'docs/tfjs.md'), 'utf8')
    const [, program = ''] = /```text\n(import [\s\S]*?)```/.exec(page) ?? []
    expect(program).toContain('createTfjsOps(tf)')
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-tfjs-'))
    try {
      await mkdir(join(folder, 'node_modules'))
      await symlink(ROOT, join(folder, 'node_modules/lowrank'))
      await symlink(join(runtimes as string, '@tensorflow'), join(folder, 'node_modules/@tensorflow'))
      await symlink(join(ROOT, 'node_modules/@types'), join(folder, 'node_modules/@types'))
      await symlink(join(ROOT, 'models/lowrank-base-5m'), join(folder, 'model'))
      await writeFile(join(folder, 'program.mts'), program)
      const options =
        '--strict --skipLibCheck --target es2022 --module nodenext --types node --lib es2024,esnext.disposable,dom'
      const run = promisify(execFile)
      await run(process.execPath, [TSC, ...options.split(' '), 'program.mts'], { cwd: folder })
      const { stdout } = await run(process.execPath, ['program.mjs'], { cwd: folder })
      const [loss, shape] = stdout.trim().split('\n')
      expect(Number(loss)).toBeLessThan(0.5)
      expect(shape).toBe('[ 2, 256 ]')
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('trains a head of TensorFlow.js on a frozen layer of lowrank, as the example does', async () => {
    const program = join(ROOT, 'examples/tfjs/train-head.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, [program, join(runtimes as string, 'packages.js')])
    const [, before, after] = /accuracy on 100 unseen words: (\d+) % before, (\d+) % after/.exec(stdout) ?? []
    expect(Number(after)).toBeGreaterThan(Number(before) + 15)
  })
})
