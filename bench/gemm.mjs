// @ts-check
/**
 * @file The matrix products of training: forward (y = x W^T) and dX (dx = dy W) of each projection of a real model. On the CPU beside each stands
 * what the same threads do in the same second when they only multiply and add, on a GPU cuBLASLt's product in the same round, where the library
 * loads. `--peer` puts PyTorch's beside it.
 */

import { Tensor } from '../dist/index.js'
import { MODEL_SHAPES } from './model-shapes.mjs'
import { CLOCK_OPTIONS, openClock, runsDotProducts } from './support/clock.mjs'
import { CUBLASLT_OPTION, cublasLtOn } from './support/cublaslt.mjs'
import { DEVICE_OPTION, openDevice, SHAPE_NAMES, SMALL_SHAPE_NAMES } from './support/engine.mjs'
import { values } from './support/random.mjs'
import { summary } from './support/report.mjs'

const FMA_CEILING = /** @type {const} */ (['fma'])
const DOT_CEILINGS = /** @type {const} */ (['fma', 'vdpbf16ps'])
const PRODUCTS = ['qkv', 'o', 'gate_up', 'down', 'head']

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary:
    'Matrix products at training shapes: GFLOP/s, and shares of the measured multiply-add rates, on a GPU of cuBLASLt.',
  options: {
    ...DEVICE_OPTION,
    ...CUBLASLT_OPTION,
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
  const openCublasLt = cublasLtOn(device, options, (reason) => report.note(reason))
  /** @type {Machine} */
  const machine = { device, clock, openCublasLt, seconds: options.seconds, rounds: options.rounds }
  let comparesCublasLt = false
  for (const shape of options.modelShape) {
    for (const product of options.product) {
      const { inner, outs } = sizesOf(MODEL_SHAPES[shape] ?? {}, product)
      const weights = await makeWeights(device, options.dtype, inner, outs)
      for (const direction of options.direction) {
        for (const m of options.m) {
          report.progress(`${shape} ${product} ${direction} M ${m}`)
          const about_ = { model_shape: shape, product, direction, m, k: inner, n: sum(outs), clock: options.clock }
          for (const figures of await measure(machine, weights, { direction, m, inner, outs })) {
            report.add({ ...about_, ...about, ...figures })
            comparesCublasLt ||= 'of_cublaslt' in figures
          }
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
    ...(comparesCublasLt && {
      'of cuBLASLt': (/** @type {import('./support/report.mjs').Measurement} */ m) => m.of_cublaslt,
    }),
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
        parts.push({ nf4: [nf4Arguments(weight)], inOut: 0, pairs: [] })
      } else {
        held.push(dense)
        parts.push({ weight: dense, nf4: [], inOut: 0, pairs: [] })
      }
    }
    made.push({ dtype, compute, parts, dispose: () => held.forEach((tensor) => void tensor.dispose()) })
  }
  return made
}

/**
 * A group of parts is to cuBLASLt one product with their weights stacked, the most that it could make of it; NF4 is compared with its bfloat16.
 * @typedef {object} Machine
 * @property {import('../dist/index.js').Device} device
 * @property {import('./support/clock.mjs').Clock} clock
 * @property {import('./support/cublaslt.mjs').OpenCublasLt} openCublasLt
 * @property {number} seconds length of one figure.
 * @property {number} rounds
 * @param {Machine} machine @param {readonly Weights[]} weights
 * @param {{ direction: 'forward' | 'dx', m: number, inner: number, outs: readonly number[] }} sizes
 */
async function measure({ device, clock, openCublasLt, seconds, rounds }, weights, { direction, m, inner, outs }) {
  const outer = sum(outs)
  const computes = new Set(weights.map(({ compute }) => compute))
  const theirs = new Map(
    [...computes].map((dtype) => [dtype, openCublasLt({ dtype, direction, m, k: inner, n: outer })]),
  )
  const runs = weights.map(({ dtype, compute, parts }) => {
    const [from, to] = direction === 'forward' ? [inner, outer] : [outer, inner]
    const input = Tensor.from(device, values(m * from), [m, from], compute)
    const output = Tensor.empty(device, [m, to], compute)
    const enqueue =
      direction === 'forward'
        ? () => device.enqueue('linear', { x: input, y: output, parts, sumOrder: 0 })
        : () => device.enqueue('linearBackward', { dy: input, dx: output, parts })
    /** @type {Record<'gflops' | 'of_fma' | 'of_vdpbf16ps' | 'of_bfloat16' | 'cublaslt_gflops' | 'of_cublaslt', number[]>} */
    const figures = { gflops: [], of_fma: [], of_vdpbf16ps: [], of_bfloat16: [], cublaslt_gflops: [], of_cublaslt: [] }
    const cublasLt = theirs.get(compute)
    return {
      dtype,
      enqueue,
      cublasLt,
      figures,
      dispose: () => [input, output].forEach((tensor) => void tensor.dispose()),
    }
  })
  const ceilings = { fma: /** @type {number[]} */ ([]), vdpbf16ps: /** @type {number[]} */ ([]) }
  for (const { enqueue } of runs) await clock.seconds(enqueue) // memory is touched for the first time
  for (let round = 0; round < rounds; round++) {
    let bfloat16 = Number.NaN
    for (const { dtype, enqueue, cublasLt, figures } of runs) {
      const kinds = device.isGpu ? [] : dtype !== 'float32' && runsDotProducts() ? DOT_CEILINGS : FMA_CEILING
      const before = kinds.map((kind) => clock.ceiling(kind))
      const work = (2 * m * inner * outer) / 1e9
      const gflops = work / (await clock.seconds(enqueue))
      figures.gflops.push(gflops)
      if (cublasLt) {
        const rate = work / cublasLt.seconds(seconds)
        figures.cublaslt_gflops.push(rate)
        figures.of_cublaslt.push(gflops / rate)
      }
      kinds.forEach((kind, i) => {
        const ceiling = ((before[i] ?? 0) + clock.ceiling(kind)) / 2e9
        ceilings[kind].push(ceiling)
        figures[`of_${kind}`].push(gflops / ceiling)
      })
      if (dtype === 'bfloat16') bfloat16 = gflops
      if (dtype === 'nf4' && bfloat16 > 0) figures.of_bfloat16.push(gflops / bfloat16)
    }
  }
  const versions = runs.map(({ cublasLt }) => cublasLt && { cublaslt_version: cublasLt.version })
  for (const { dispose } of runs) dispose()
  for (const cublasLt of theirs.values()) cublasLt?.close()
  return runs.map(({ dtype, figures }, i) => ({
    dtype,
    ...versions[i],
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
