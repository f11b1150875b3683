// @ts-check
/**
 * @file The training step: forward, backward into every A and B, AdamW, on random weights of a real shape. Ids are new in each step and every
 * position is labelled. Prints one JSON line.
 */

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { AdamW, createModel, Device, LoraAdapter } from '../dist/index.js'
import { MODEL_SHAPES } from './model-shapes.mjs'

/** @param {string[]} args */
export async function step(args) {
  const options = readOptions(args)
  const device = Device.open('cpu', { threads: options.threads })
  const model = createModel(/** @type {Record<string, unknown>} */ (MODEL_SHAPES[options.shape]), {
    device,
    dtype: options.dtype,
  })
  const adapter = LoraAdapter.create(model, { r: 16, loraAlpha: 32, targetModules: 'all-linear' })
  const random = uniform(7)
  for (const [name, parameter] of adapter.parameters()) {
    if (name.includes('lora_B'))
      parameter.set(Float32Array.from({ length: parameter.size }, () => 0.02 * (random() - 0.5)))
  }
  const optimizer = new AdamW(adapter.parameters(), { lr: 1e-4 })
  model.gradientCheckpointing = options.checkpointing
  await device.sync()
  device.resetPeak()

  const timings = {
    total: /** @type {number[]} */ ([]),
    forward: /** @type {number[]} */ ([]),
    backward: /** @type {number[]} */ ([]),
    optimizer: /** @type {number[]} */ ([]),
  }
  const losses = []
  for (let i = 0; i < options.warmup + options.steps; i++) {
    const inputIds = Array.from({ length: options.batch }, () =>
      Array.from({ length: options.seq }, () => Math.floor(random() * model.config.vocabSize)),
    )
    const begin = performance.now()
    const { loss } = model.forward({ inputIds, labels: inputIds })
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
    losses.push(value)
    if (i < options.warmup) continue
    timings.total.push((end - begin) / 1000)
    timings.forward.push((forwardDone - begin) / 1000)
    timings.backward.push((backwardDone - forwardDone) / 1000)
    timings.optimizer.push((end - backwardDone) / 1000)
  }
  const tokens = options.batch * options.seq
  const { isa, threads } = (await import('../dist/tensor/addon.js')).loadAddon().info()
  const memory = device.memory()
  return {
    bench: 'step',
    model_shape: options.shape,
    method: 'lora',
    dtype: options.dtype,
    batch: options.batch,
    seq: options.seq,
    gradient_checkpointing: options.checkpointing,
    isa,
    threads: options.threads ?? threads,
    tokens_per_s: summary(timings.total.map((seconds) => tokens / seconds)),
    forward_s: summary(timings.forward),
    backward_s: summary(timings.backward),
    optimizer_s: summary(timings.optimizer),
    peak_rss_mib: peakRssMib(),
    peak_tensor_mib: Math.round(memory.peak / 2 ** 20),
    losses: losses.map((loss) => Number(loss?.toFixed(6))),
    trainable_params: adapter.numParameters,
  }
}

/** @param {string[]} args */
function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      'model-shape': { type: 'string', default: 'smollm2-135m' },
      method: { type: 'string', default: 'lora' },
      dtype: { type: 'string', default: 'bfloat16' },
      batch: { type: 'string', default: '1' },
      seq: { type: 'string', default: '512' },
      warmup: { type: 'string', default: '2' },
      steps: { type: 'string', default: '5' },
      threads: { type: 'string' },
      'gradient-checkpointing': { type: 'boolean', default: false },
    },
  })
  const shape = values['model-shape']
  if (!(shape in MODEL_SHAPES))
    throw new Error(`expected one of ${Object.keys(MODEL_SHAPES).join(', ')} for --model-shape, got ${shape}`)
  if (values.method !== 'lora')
    throw new Error(`expected lora for --method, got ${values.method}; others are not built yet`)
  if (values.dtype !== 'float32' && values.dtype !== 'bfloat16')
    throw new Error(`expected float32 or bfloat16 for --dtype, got ${values.dtype}`)
  const count = (/** @type {string} */ name, /** @type {string} */ text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`expected a whole number >= 1 for --${name}, got ${text}`)
    return value
  }
  return {
    shape,
    dtype: /** @type {'float32' | 'bfloat16'} */ (values.dtype),
    batch: count('batch', values.batch),
    seq: count('seq', values.seq),
    warmup: count('warmup', values.warmup),
    steps: count('steps', values.steps),
    threads: values.threads === undefined ? undefined : count('threads', values.threads),
    checkpointing: values['gradient-checkpointing'],
  }
}

/** @param {number[]} values */
function summary(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const round = (/** @type {number | undefined} */ value) => Number(value?.toPrecision(5))
  return { min: round(sorted[0]), median: round(sorted[Math.floor(sorted.length / 2)]), max: round(sorted.at(-1)) }
}

/** The most memory that the process had resident (VmHWM), as the operating system counted it. */
function peakRssMib() {
  const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Math.round(Number(match?.[1]) / 1024)
}

/** Numbers in [0, 1) from a seed (mulberry32). @param {number} seed */
function uniform(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
