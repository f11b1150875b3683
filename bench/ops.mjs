// @ts-check
/**
 * @file Each op, forward and backward, at training shapes: GFLOP/s beside the multiply-add rate, or GB/s beside the rate at which the same threads
 * read as many bytes as the op reads and writes.
 */

import { loadAddon } from '../dist/tensor/addon.js'
import { dtypeBytes } from '../dist/tensor/dtype.js'
import { MODEL_SHAPES } from './model-shapes.mjs'
import { OP_CASES, tensorMaker } from './op-cases.mjs'
import { CLOCK_OPTIONS, openClock, runsDotProducts } from './support/clock.mjs'
import { DEVICE_OPTION, openDevice, SHAPE_NAMES } from './support/engine.mjs'
import { UsageError } from './support/options.mjs'
import { summary } from './support/report.mjs'

const OPS = Object.keys(OP_CASES)

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'Each op, forward and backward: GFLOP/s or GB/s, and on the CPU the share of the measured roof.',
  options: {
    ...DEVICE_OPTION,
    op: { choices: OPS, list: true, default: OPS, help: 'which ops' },
    at: {
      list: true,
      default: ['smollm2-135m:1x512', 'llama-3.2-1b:2x1024'],
      help: `SHAPE:BxT, a comma list; shapes are ${SHAPE_NAMES.join(', ')}`,
    },
    dtype: { choices: ['float32', 'bfloat16'], default: 'bfloat16', help: 'of activations and weights' },
    rank: { type: 'count', default: 16, help: 'of the adapters in linear and adamw' },
    ...CLOCK_OPTIONS,
  },
  run: ops,
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function ops(options, report) {
  const places = options.at.map((/** @type {string} */ text) => readPlace(text, options.rank))
  const { device, about } = openDevice(options)
  const clock = openClock(device, options)
  for (const { name, sizes } of places) {
    for (const op of options.op) {
      report.progress(`${op} at ${name}`)
      const figures = await measure(device, clock, op, sizes, options)
      const { B, T } = sizes
      report.add({
        op,
        model_shape: name,
        batch: B,
        seq: T,
        dtype: options.dtype,
        clock: options.clock,
        ...about,
        ...figures,
      })
    }
  }
  report.finish({
    op: (m) => m.op,
    at: (m) => `${m.model_shape} ${m.batch} x ${m.seq}`,
    microseconds: (m) => m.microseconds,
    'GFLOP/s': (m) => m.gflops,
    'GB/s': (m) => m.gb_per_s,
    roof: (m) => m.roof,
    'of roof': (m) => m.of_roof,
  })
  device.close()
}

/**
 * @param {import('../dist/index.js').Device} device @param {import('./support/clock.mjs').Clock} clock @param {string} op @param {import('./op-cases.mjs').Sizes} sizes
 * @param {import('./support/options.mjs').Values} options
 */
async function measure(device, clock, op, sizes, { dtype, rounds }) {
  const make = OP_CASES[op]
  if (!make) throw new Error(`expected a case for ${op}`)
  const { made, ...maker } = tensorMaker(device, dtype)
  const { args, flops, bytes = bytesOf(loadAddon().ops[op]?.fields ?? [], args) } = make(maker, sizes)
  const enqueue = () => device.enqueue(op, args)
  const work = flops ?? bytes
  const roof = device.isGpu ? undefined : flops ? fastestProducts(clock, dtype) : 'read'
  const ceiling = () => (roof ? clock.ceiling(roof, bytes) : Number.NaN)
  const rates = []
  const shares = []
  await clock.seconds(enqueue)
  for (let round = 0; round < rounds; round++) {
    const before = ceiling()
    const rate = work / (await clock.seconds(enqueue))
    rates.push(rate)
    shares.push((2 * rate) / (before + ceiling()))
  }
  for (const tensor of made) tensor.dispose()
  return {
    microseconds: summary(rates.map((rate) => (1e6 * work) / rate)),
    [flops ? 'gflops' : 'gb_per_s']: summary(rates.map((rate) => rate / 1e9)),
    bytes,
    ...(roof && { roof, of_roof: summary(shares) }),
  }
}

/** bfloat16 may be multiplied in either way: the roof is the faster one. @param {import('./support/clock.mjs').Clock} clock @param {string} dtype */
function fastestProducts(clock, dtype) {
  const dots = dtype === 'bfloat16' && runsDotProducts()
  return dots && clock.ceiling('vdpbf16ps') > clock.ceiling('fma') ? 'vdpbf16ps' : 'fma'
}

/**
 * Every tensor once; those that are read and written twice.
 * @param {readonly import('../dist/tensor/addon.js').Field[]} fields @param {any} args @returns {number}
 */
function bytesOf(fields, args) {
  let bytes = 0
  for (const { name, kind, fields: inner = [] } of fields) {
    const value = args[name]
    if (kind === 'number' || value === undefined) continue
    if (kind === 'group') bytes += bytesOf(inner, value)
    else if (kind === 'list') for (const item of value) bytes += bytesOf(inner, item)
    else bytes += value.rows * value.cols * dtypeBytes(value.dtype) * (/inout$/i.test(kind) ? 2 : 1)
  }
  return bytes
}

/** @param {string} text @param {number} rank @returns {{ name: string, sizes: import('./op-cases.mjs').Sizes }} */
function readPlace(text, rank) {
  const [, name = '', batch, seq] = /^(.+):(\d+)x(\d+)$/.exec(text) ?? []
  const config = MODEL_SHAPES[name]
  const [B, T] = [Number(batch), Number(seq)]
  if (!config || !(B > 0 && T > 0))
    throw new UsageError(
      `expected SHAPE:BxT such as smollm2-135m:1x512 for --at, got ${text}; shapes are ${SHAPE_NAMES.join(', ')}`,
    )
  const H = config.num_attention_heads
  const D = config.hidden_size
  return {
    name,
    sizes: {
      B,
      T,
      N: B * T,
      D,
      F: config.intermediate_size,
      V: config.vocab_size,
      H,
      Hkv: config.num_key_value_heads,
      hd: config.head_dim ?? D / H,
      r: rank,
      layers: config.num_hidden_layers,
    },
  }
}
