// @ts-check
/**
 * @file The matrix products of training: forward (y = x W^T) and dX (dx = dy W) of each projection of a real model. On the CPU beside each stands
 * what the same threads do in the same second when they only multiply and add; on a GPU `--peer` puts PyTorch's, which are those of cuBLAS, beside it.
 */

import { Tensor } from '../dist/index.js'
import { MODEL_SHAPES } from './model-shapes.mjs'
import { CLOCK_OPTIONS, openClock, runsDotProducts } from './support/clock.mjs'
import { DEVICE_OPTION, openDevice, SHAPE_NAMES, SMALL_SHAPE_NAMES } from './support/engine.mjs'
import { values } from './support/random.mjs'
import { summary } from './support/report.mjs'

const FMA_CEILING = /** @type {const} */ (['fma'])
const DOT_CEILINGS = /** @type {const} */ (['fma', 'vdpbf16ps'])
const PRODUCTS = ['qkv', 'o', 'gate_up', 'down', 'head']

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'Matrix products at training shapes: GFLOP/s, and shares of the measured multiply-add rates.',
  options: {
    ...DEVICE_OPTION,
    'model-shape': {
      choices: SHAPE_NAMES,
      list: true,
      default: SMALL_SHAPE_NAMES,
      help: 'whose sizes',
      peer: true,
    },
    product: { choices: PRODUCTS, list: true, default: PRODUCTS, help: 'which projections', peer: true },
    direction: {
      choices: ['forward', 'dx'],
      list: true,
      default: ['forward', 'dx'],
      help: 'dx: the gradient of x',
      peer: true,
    },
    m: { type: 'count', list: true, default: [128, 512, 2048], help: 'tokens', peer: true },
    dtype: {
      choices: ['float32', 'bfloat16', 'nf4'],
      list: true,
      default: ['float32', 'bfloat16', 'nf4'],
      help: 'of the weight; nf4 computes in bfloat16',
      peer: true,
    },
    ...CLOCK_OPTIONS,
    rounds: { ...CLOCK_OPTIONS.rounds, help: 'how often each figure is taken, all in turn', peer: true },
    seconds: { ...CLOCK_OPTIONS.seconds, help: 'length of one figure', peer: true },
  },
  peer: { keys: ['model_shape', 'product', 'direction', 'm', 'dtype'], figures: ['gflops'], options: {} },
  run: gemm,
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function gemm(options, report) {
  const { device, about } = openDevice(options)
  const clock = openClock(device, options)
  for (const shape of options.modelShape) {
    for (const product of options.product) {
      const { inner, outs } = sizesOf(MODEL_SHAPES[shape] ?? {}, product)
      const weights = await makeWeights(device, options.dtype, inner, outs)
      for (const direction of options.direction) {
        for (const m of options.m) {
          report.progress(`${shape} ${product} ${direction} M ${m}`)
          const about_ = { model_shape: shape, product, direction, m, k: inner, n: sum(outs), clock: options.clock }
          for (const figures of await measure(device, clock, weights, { direction, m, inner, outs }, options.rounds))
            report.add({ ...about_, ...about, ...figures })
        }
      }
      for (const { dispose } of weights) dispose()
    }
  }
  report.finish({
    product: (m) => `${m.model_shape} ${m.product} ${m.direction}`,
    M: (m) => m.m,
    dtype: (m) => m.dtype,
    'GFLOP/s': (m) => m.gflops,
    'of fma': (m) => m.of_fma,
    'of vdpbf16ps': (m) => m.of_vdpbf16ps,
    'of bfloat16': (m) => m.of_bfloat16,
  })
  device.close()
}

/** Input features and the output features of each part. @param {Record<string, any>} config @param {string} product */
function sizesOf(config, product) {
  const {
    hidden_size: width,
    intermediate_size: inner,
    num_attention_heads: heads,
    num_key_value_heads: keyHeads,
  } = config
  const headDim = config.head_dim ?? width / heads
  switch (product) {
    case 'qkv':
      return { inner: width, outs: [heads * headDim, keyHeads * headDim, keyHeads * headDim] }
    case 'o':
      return { inner: heads * headDim, outs: [width] }
    case 'gate_up':
      return { inner: width, outs: [inner, inner] }
    case 'down':
      return { inner, outs: [width] }
    default:
      return { inner: width, outs: [config.vocab_size] }
  }
}

/**
 * The parts of a linear op, per dtype.
 * @typedef {{ dtype: string, compute: 'float32' | 'bfloat16', parts: any[], dispose: () => void }} Weights
 * @param {import('../dist/index.js').Device} device @param {readonly string[]} dtypes @param {number} inner @param {readonly number[]} outs
 */
async function makeWeights(device, dtypes, inner, outs) {
  /** @type {Weights[]} */
  const made = []
  for (const dtype of dtypes) {
    const compute = dtype === 'float32' ? 'float32' : 'bfloat16'
    /** @type {Tensor[]} */
    const held = []
    const parts = []
    for (const out of outs) {
      const dense = Tensor.from(device, values(out * inner, 0.05), [out, inner], compute)
      if (dtype === 'nf4') {
        const { nf4Arguments, quantizeNf4 } = await import('../dist/ops/nf4.js')
        const weight = quantizeNf4(dense)
        dense.dispose()
        held.push(...Object.values(weight).filter((value) => value instanceof Tensor))
        parts.push({ nf4: [nf4Arguments(weight)], inOut: 0, slabs: [] })
      } else {
        held.push(dense)
        parts.push({ weight: dense, nf4: [], inOut: 0, slabs: [] })
      }
    }
    made.push({ dtype, compute, parts, dispose: () => held.forEach((tensor) => void tensor.dispose()) })
  }
  return made
}

/**
 * @param {import('../dist/index.js').Device} device @param {import('./support/clock.mjs').Clock} clock @param {readonly Weights[]} weights
 * @param {{ direction: string, m: number, inner: number, outs: readonly number[] }} sizes @param {number} rounds
 */
async function measure(device, clock, weights, { direction, m, inner, outs }, rounds) {
  const outer = sum(outs)
  const runs = weights.map(({ dtype, compute, parts }) => {
    const [from, to] = direction === 'forward' ? [inner, outer] : [outer, inner]
    const input = Tensor.from(device, values(m * from), [m, from], compute)
    const output = Tensor.empty(device, [m, to], compute)
    const enqueue =
      direction === 'forward'
        ? () => device.enqueue('linear', { x: input, y: output, parts })
        : () => device.enqueue('linearBackward', { dy: input, dx: output, parts })
    /** @type {Record<'gflops' | 'of_fma' | 'of_vdpbf16ps' | 'of_bfloat16', number[]>} */
    const figures = { gflops: [], of_fma: [], of_vdpbf16ps: [], of_bfloat16: [] }
    return { dtype, enqueue, figures, dispose: () => [input, output].forEach((tensor) => void tensor.dispose()) }
  })
  const ceilings = { fma: /** @type {number[]} */ ([]), vdpbf16ps: /** @type {number[]} */ ([]) }
  for (const { enqueue } of runs) await clock.seconds(enqueue) // memory is touched for the first time
  for (let round = 0; round < rounds; round++) {
    let bfloat16 = Number.NaN
    for (const { dtype, enqueue, figures } of runs) {
      const kinds = device.isGpu ? [] : dtype !== 'float32' && runsDotProducts() ? DOT_CEILINGS : FMA_CEILING
      const before = kinds.map((kind) => clock.ceiling(kind))
      const gflops = (2 * m * inner * outer) / (await clock.seconds(enqueue)) / 1e9
      figures.gflops.push(gflops)
      kinds.forEach((kind, i) => {
        const ceiling = ((before[i] ?? 0) + clock.ceiling(kind)) / 2e9
        ceilings[kind].push(ceiling)
        figures[`of_${kind}`].push(gflops / ceiling)
      })
      if (dtype === 'bfloat16') bfloat16 = gflops
      if (dtype === 'nf4' && bfloat16 > 0) figures.of_bfloat16.push(gflops / bfloat16)
    }
  }
  for (const { dispose } of runs) dispose()
  return runs.map(({ dtype, figures }) => ({
    dtype,
    ...summaries(figures),
    ...summaries({ fma_gflops: ceilings.fma, vdpbf16ps_gflops: dtype === 'float32' ? [] : ceilings.vdpbf16ps }),
  }))
}

/** Without those that were not measured. @param {Record<string, number[]>} figures */
function summaries(figures) {
  return Object.fromEntries(
    Object.entries(figures)
      .filter(([, list]) => list.length > 0)
      .map(([name, list]) => [name, summary(list)]),
  )
}

/** @param {readonly number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0)
}
