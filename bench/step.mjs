// @ts-check
/** @file The training step: forward, backward into every A and B, AdamW, on random weights of a real shape. Ids are new in each step. */

import { AdamW } from '../dist/index.js'
import { buildModel, DEVICE_OPTION, openDevice, SHAPE_NAMES } from './support/engine.mjs'
import { UsageError } from './support/options.mjs'
import { peakRssMib } from './support/process.mjs'
import { randomIds, uniform } from './support/random.mjs'
import { round, summary } from './support/report.mjs'

const IGNORE_INDEX = -100

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'One training step: tokens/s, its parts, and the most memory that the process held.',
  options: {
    ...DEVICE_OPTION,
    'model-shape': { choices: SHAPE_NAMES, default: 'smollm2-135m', help: 'whose sizes', peer: true },
    method: { choices: ['lora', 'qlora'], default: 'lora', help: 'qlora: the base in NF4', peer: true },
    dtype: { choices: ['float32', 'bfloat16'], default: 'bfloat16', help: 'of base and activations', peer: true },
    batch: { type: 'count', default: 1, help: 'sequences', peer: true },
    seq: { type: 'count', default: 512, help: 'tokens of each', peer: true },
    labelled: {
      type: 'number',
      default: 1,
      help: 'share of the tokens with a label: the end of each sequence',
      peer: true,
    },
    'gradient-checkpointing': { type: 'flag', help: 'keep layer inputs and results of attention only', peer: true },
    'full-checkpointing': { type: 'flag', help: 'with --gradient-checkpointing: layer inputs only, as a peer does' },
    'offload-embedding': { type: 'flag', help: "embeddings stay in the machine's memory" },
    warmup: { type: 'count', default: 2, help: 'steps before those that count', peer: true },
    steps: { type: 'count', default: 5, help: 'steps that count', peer: true },
    profile: { type: 'flag', help: 'also show the seconds per step of each op, on a GPU by its own clock' },
  },
  peer: {
    keys: ['model_shape', 'method', 'dtype', 'batch', 'seq', 'labelled'],
    figures: ['tokens_per_s', 'forward_s', 'backward_s', 'peak_rss_mib', 'peak_tensor_mib'],
    options: {
      'peer-dtype': {
        choices: ['float32', 'bfloat16'],
        help: 'the dtype that the peer computes in; default: --dtype',
        peer: true,
      },
      'peer-prepare': {
        choices: ['kbit', 'none'],
        default: 'kbit',
        help: 'qlora: whether prepare_model_for_kbit_training makes norms, embedding and head float32',
        peer: true,
      },
      'peer-compile': { type: 'flag', help: 'let the peer use torch.compile', peer: true },
    },
  },
  run: step,
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function step(options, report) {
  const { modelShape, method, dtype, batch, seq, labelled, gradientCheckpointing, warmup, steps, profile } = options
  if (options.fullCheckpointing && !gradientCheckpointing)
    throw new UsageError('expected --gradient-checkpointing with --full-checkpointing')
  if (!(labelled > 0 && labelled <= 1))
    throw new UsageError(`expected a share in (0, 1] for --labelled, got ${labelled}`)
  const { device, about } = openDevice(options)
  report.progress(`making a model of the shape ${modelShape}`)
  const { model, adapter } = buildModel({
    modelShape,
    dtype,
    quantization: method === 'qlora' ? 'nf4' : undefined,
    offloadEmbedding: options.offloadEmbedding,
    device,
  })
  if (!adapter) throw new Error('expected an adapter')
  const optimizer = new AdamW(adapter.parameters(), { lr: 1e-4 })
  model.gradientCheckpointing = options.fullCheckpointing ? 'full' : gradientCheckpointing === true
  await device.sync()
  device.resetPeak()

  const random = uniform(11)
  const prompt = Math.round(seq * (1 - labelled))
  /** @type {Record<'total' | 'forward' | 'backward' | 'optimizer', number[]>} */
  const parts = { total: [], forward: [], backward: [], optimizer: [] }
  const losses = []
  let before = device.times()
  for (let i = 0; i < warmup + steps; i++) {
    const inputIds = Array.from({ length: batch }, () => randomIds(random, seq, model.config.vocabSize))
    const labels = inputIds.map((row) => row.map((id, position) => (position < prompt ? IGNORE_INDEX : id)))
    const begin = performance.now()
    const { loss } = model.forward({ inputIds, labels })
    // Waiting for the loss parts forward from backward; the queue is empty for the time of one round trip, some 50 microseconds.
    const [value] = await loss.read()
    const forwardDone = performance.now()
    loss.backward()
    await device.sync()
    const backwardDone = performance.now()
    optimizer.step()
    optimizer.zeroGrad()
    await device.sync()
    const end = performance.now()
    losses.push(Number(value?.toFixed(6)))
    report.progress(`step ${i + 1} of ${warmup + steps}: ${((end - begin) / 1000).toFixed(2)} s`)
    if (i < warmup) {
      before = device.times()
      continue
    }
    parts.total.push((end - begin) / 1000)
    parts.forward.push((forwardDone - begin) / 1000)
    parts.backward.push((backwardDone - forwardDone) / 1000)
    parts.optimizer.push((end - backwardDone) / 1000)
  }
  const tokens = batch * seq
  const measurement = {
    model_shape: modelShape,
    method,
    dtype,
    batch,
    seq,
    labelled,
    gradient_checkpointing: model.gradientCheckpointing,
    offload_embedding: model.offloadEmbedding,
    ...about,
    tokens_per_s: summary(parts.total.map((seconds) => tokens / seconds)),
    forward_s: summary(parts.forward),
    backward_s: summary(parts.backward),
    optimizer_s: summary(parts.optimizer),
    peak_rss_mib: peakRssMib(),
    peak_tensor_mib: Math.round(device.memory().peak / 2 ** 20),
    losses,
    trainable_params: adapter.numParameters,
  }
  const opSeconds = profile ? { op_seconds: secondsPerStep(before, device.times(), steps) } : {}
  report.add({ ...measurement, ...opSeconds }, [measurement])
  report.finish({
    shape: (m) => `${m.model_shape} ${m.method} ${m.dtype} ${m.batch} x ${m.seq}`,
    'tokens/s': (m) => m.tokens_per_s,
    'forward s': (m) => m.forward_s,
    'backward s': (m) => m.backward_s,
    'optimizer s': (m) => m.optimizer_s,
    'peak MiB': (m) => (m.device === 'cpu' ? m.peak_rss_mib : m.peak_tensor_mib),
    ...(profile ? { 'seconds of ops': (m) => describeOps(m.op_seconds) } : {}),
  })
  device.close()
}

/**
 * What the ops took per step between two readings, longest first.
 * @param {import('../dist/tensor/addon.js').OpTimes} before @param {import('../dist/tensor/addon.js').OpTimes} after @param {number} steps
 */
function secondsPerStep(before, after, steps) {
  const entries = Object.entries(after).map(([op, { seconds }]) => {
    return /** @type {const} */ ([op, round((seconds - (before[op]?.seconds ?? 0)) / steps)])
  })
  return Object.fromEntries(entries.sort((a, b) => b[1] - a[1]))
}

/** @param {Record<string, number>} seconds */
function describeOps(seconds) {
  return Object.entries(seconds)
    .map(([op, value]) => `${op} ${value}`)
    .join(', ')
}
