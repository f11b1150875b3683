// @ts-check
/**
 * @file Greedy generation, one sequence: tokens/s of the prompt and of what follows. Each new token reads all weights once, so the roof is the
 * rate at which these threads read as many bytes, measured before and after; of a GPU there is no such probe yet.
 */

import { join } from 'node:path'
import { loadModel, Tensor } from '../dist/index.js'
import { dtypeBytes } from '../dist/tensor/dtype.js'
import { openClock } from './support/clock.mjs'
import { buildModel, DEVICE_OPTION, ISA_OPTION, openDevice, SHAPE_NAMES } from './support/engine.mjs'
import { UsageError } from './support/options.mjs'
import { peakRssMib } from './support/process.mjs'
import { randomIds, uniform } from './support/random.mjs'
import { readWork, WORK_OPTION, withModelFiles } from './support/real-model.mjs'
import { summary } from './support/report.mjs'

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary:
    'Greedy generation at batch 1: tokens/s of prefill and decode, and the share of the memory roof that decode reaches.',
  options: {
    ...DEVICE_OPTION,
    ...ISA_OPTION,
    'model-shape': {
      choices: SHAPE_NAMES,
      default: 'smollm2-135m',
      help: 'whose sizes, with random weights',
      peer: 'peer',
    },
    model: {
      help: 'a directory or GGUF file in place of a shape; default with llama.cpp: the one of LOWRANK_TEST_MODELS',
    },
    ...WORK_OPTION,
    dtype: {
      choices: ['float32', 'bfloat16', 'nf4'],
      default: 'bfloat16',
      help: 'of the weights; nf4 computes in bfloat16',
      peer: true,
    },
    adapter: { type: 'flag', help: 'with LoRA r 16 on all linear layers, not merged', peer: 'peer' },
    prompt: { type: 'count', default: 512, help: 'tokens of the prompt', peer: 'peer' },
    tokens: { type: 'count', default: 64, help: 'tokens that follow the first new one', peer: true },
    rounds: { type: 'count', default: 5, help: 'how often, after one that does not count', peer: true },
  },
  peer: {
    names: ['peer', 'peer-llama-cpp'],
    keys: ['model_shape', 'dtype', 'adapter', 'prompt', 'tokens'],
    figures: ['prefill_tokens_per_s', 'decode_tokens_per_s', 'peak_rss_mib', 'peak_tensor_mib'],
    options: {
      'peer-dtype': {
        choices: ['float32', 'bfloat16'],
        help: 'the dtype that the peer computes in; default: float32 for float32, else bfloat16',
        peer: 'peer',
      },
      'peer-compile': { type: 'flag', help: 'let the peer use torch.compile and a static cache', peer: 'peer' },
    },
    around: withFiles,
  },
  run: (options, report) => withFiles(options, (complete) => generate(complete, report)),
}

/**
 * With a real model: its files are made first.
 * @param {import('./support/options.mjs').Values} options @param {(options: import('./support/options.mjs').Values) => Promise<void>} body
 */
async function withFiles(options, body) {
  const { model, work, adapter, device, peerLlamaCpp } = options
  if (model === undefined && work === undefined && peerLlamaCpp === undefined) return body(options)
  if (adapter) throw new UsageError('expected no --adapter with a real model')
  if (peerLlamaCpp !== undefined && device !== 'cpu')
    throw new UsageError('expected --device cpu with --peer-llama-cpp')
  await withModelFiles(options, 1, body)
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function generate(options, report) {
  const { dtype, adapter: wanted = false, prompt, tokens, rounds, work } = options
  const real = work === undefined ? undefined : readWork(work)
  const modelShape = real?.model ?? options.modelShape
  const { device, about } = openDevice(options)
  const clock = openClock(device, { clock: 'wall', threads: options.threads, seconds: 0.1 })
  report.progress(`making the model ${modelShape}`)
  const quantization = dtype === 'nf4' ? 'nf4' : undefined
  const compute = dtype === 'float32' ? 'float32' : 'bfloat16'
  /** @type {ReturnType<typeof buildModel>} */
  const { model, adapter } =
    work === undefined
      ? buildModel({ modelShape, dtype: compute, quantization, adapter: wanted, device })
      : { model: await loadModel(join(work, 'model'), { device, dtype: compute, quantization }) }
  await device.sync()
  const bytes = bytesPerToken(model, adapter, prompt + tokens / 2)

  const inputIds = real?.prompts[0] ?? randomIds(uniform(11), prompt, model.config.vocabSize)
  /** @type {Record<'prefill' | 'decode' | 'bandwidth' | 'share', number[]>} */
  const figures = { prefill: [], decode: [], bandwidth: [], share: [] }
  const generateOnce = async () => {
    const times = [performance.now()]
    const onToken = () => times.push(performance.now())
    await model.generate(inputIds, { maxNewTokens: tokens + 1, eosTokenId: [], onToken })
    const [start = 0, first = 0] = times
    return { prefill: (1000 * prompt) / (first - start), decode: (1000 * tokens) / ((times.at(-1) ?? 0) - first) }
  }
  await generateOnce()
  const peak = peakRssMib() // the probe below holds a buffer of its own
  for (let round = 1; round <= rounds; round++) {
    report.progress(`round ${round} of ${rounds}`)
    const before = device.isGpu ? Number.NaN : clock.ceiling('read', bytes)
    const { prefill, decode } = await generateOnce()
    figures.prefill.push(prefill)
    figures.decode.push(decode)
    if (device.isGpu) continue
    const bandwidth = (before + clock.ceiling('read', bytes)) / 2
    figures.bandwidth.push(bandwidth / 1e9)
    figures.share.push((decode * bytes) / bandwidth)
  }
  report.add({
    model_shape: modelShape,
    dtype,
    adapter: wanted,
    prompt,
    tokens,
    ...about,
    prefill_tokens_per_s: summary(figures.prefill),
    decode_tokens_per_s: summary(figures.decode),
    bytes_per_token: bytes,
    ...(device.isGpu
      ? { peak_tensor_mib: Math.round(device.memory().peak / 2 ** 20) }
      : { read_gb_per_s: summary(figures.bandwidth), of_bandwidth: summary(figures.share) }),
    peak_rss_mib: peak,
  })
  report.finish({
    model: (m) => `${m.model_shape} ${m.dtype}${m.adapter ? ' + adapter' : ''}`,
    'prefill tokens/s': (m) => m.prefill_tokens_per_s,
    'decode tokens/s': (m) => m.decode_tokens_per_s,
    'MiB/token': (m) => m.bytes_per_token / 2 ** 20,
    'read GB/s': (m) => m.read_gb_per_s,
    'of bandwidth': (m) => m.of_bandwidth,
    'peak MiB': (m) => (m.device === 'cpu' ? m.peak_rss_mib : m.peak_tensor_mib),
  })
  device.close()
}

/**
 * What one token has to read: every weight once (of an embedding that is not the head as well: one row), and the keys and values so far.
 * @param {import('../dist/index.js').CausalLM} model @param {import('../dist/index.js').LoraAdapter | undefined} adapter
 * @param {number} context tokens in the cache, on average
 */
function bytesPerToken(model, adapter, context) {
  const { config, head, modules } = model
  const tables = new Set([...modules.embeddings.values()].map(({ weight }) => weight))
  let bytes = 2 * context * config.numHiddenLayers * config.numKeyValueHeads * config.headDim * dtypeBytes(model.dtype)
  for (const parameter of [...model.parameters().values(), ...(adapter?.parameters().values() ?? [])]) {
    const rowOnly = tables.has(parameter) && parameter !== head.weight
    bytes += rowOnly ? (parameter.shape[1] ?? 0) * dtypeBytes(model.dtype) : bytesOf(parameter)
  }
  return bytes
}

/** @param {import('../dist/index.js').Parameter} parameter */
function bytesOf(parameter) {
  const tensors = parameter.nf4
    ? Object.values(parameter.nf4).filter((value) => value instanceof Tensor)
    : [parameter.value]
  return tensors.reduce((total, tensor) => total + tensor.size * dtypeBytes(tensor.dtype), 0)
}
