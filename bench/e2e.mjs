// @ts-check
/**
 * @file A whole run from process start: `lowrank train` on a model directory and a data file, until the first step and until the last. The peer is
 * a TRL SFTTrainer script on the same files.
 */

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createModel, Device, saveModel } from '../dist/index.js'
import { loadAddon } from '../dist/tensor/addon.js'
import { MODEL_SHAPES } from './model-shapes.mjs'
import { SHAPE_NAMES } from './support/engine.mjs'
import { summary } from './support/report.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TOKENIZER = join(ROOT, 'models/lowrank-base-5m')
const TEXTS = join(ROOT, 'examples/quickstart/data/train.jsonl')
// The tokenizer is that of lowrank-base-5m. A larger vocabulary has rows that no id names, which costs the same.
const TOKEN_IDS = { bos_token_id: null, eos_token_id: 0, pad_token_id: 3 }
const TOKENIZER_SIZE = 4096
// Characters that hold a token, at the very most.
const CHARACTERS_PER_TOKEN = 8

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'A whole run: seconds from process start to the first and to the last step, and to the end.',
  options: {
    'model-shape': { choices: SHAPE_NAMES, default: 'smollm2-135m', help: 'whose sizes', peer: true },
    method: { choices: ['lora', 'qlora'], default: 'lora', help: 'qlora: the base in NF4', peer: true },
    dtype: { choices: ['float32', 'bfloat16'], default: 'bfloat16', help: 'of base and activations', peer: true },
    steps: { type: 'count', default: 20, help: 'optimizer steps', peer: true },
    batch: { type: 'count', default: 4, help: 'rows of a step', peer: true },
    seq: { type: 'count', default: 128, help: 'tokens of a row', peer: true },
    rounds: { type: 'count', default: 1, help: 'how many runs' },
    work: { help: 'folder for the model and the data, kept; default: a new one, removed at the end', peer: true },
  },
  peer: {
    keys: ['model_shape', 'method', 'dtype', 'steps', 'batch', 'seq'],
    figures: ['first_step_s', 'last_step_s', 'total_s', 'peak_rss_mib'],
    options: {
      'peer-dtype': {
        choices: ['float32', 'bfloat16'],
        help: 'the dtype that the peer computes in; default: --dtype',
        peer: true,
      },
    },
    around: withFiles,
  },
  run: (options, report) => withFiles(options, (complete) => e2e(complete, report)),
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function e2e(options, report) {
  const { modelShape, method, dtype, steps, batch, seq, rounds } = options
  /** @type {Record<'first' | 'last' | 'total' | 'memory', number[]>} */
  const figures = { first: [], last: [], total: [], memory: [] }
  for (let round = 1; round <= rounds; round++) {
    report.progress(`run ${round} of ${rounds}`)
    const { first, last, total, memory } = await train(options)
    figures.first.push(first)
    figures.last.push(last)
    figures.total.push(total)
    figures.memory.push(memory)
  }
  const { isa, threads } = loadAddon().info()
  report.add({
    model_shape: modelShape,
    method,
    dtype,
    steps,
    batch,
    seq,
    isa,
    threads: options.threads ?? threads,
    first_step_s: summary(figures.first),
    last_step_s: summary(figures.last),
    total_s: summary(figures.total),
    peak_rss_mib: Math.max(...figures.memory),
  })
  report.finish({
    run: (m) => `${m.model_shape} ${m.method} ${m.dtype} ${m.steps} x ${m.batch} x ${m.seq}`,
    'first step s': (m) => m.first_step_s,
    'last step s': (m) => m.last_step_s,
    'end s': (m) => m.total_s,
    'peak MiB': (m) => m.peak_rss_mib,
  })
}

/** One run of the command line: when its events came, in seconds since its process was started. @param {import('./support/options.mjs').Values} options */
async function train({ work, method, dtype, steps, batch, seq, threads }) {
  const out = mkdtempSync(join(work, 'out-'))
  const config = {
    model: join(work, 'model'),
    dataset: join(work, 'data.jsonl'),
    outputDir: out,
    dtype,
    ...(method === 'qlora' && { quantization: 'nf4' }),
    ...(threads && { threads }),
    lora: { r: 16, loraAlpha: 32, targetModules: 'all-linear' },
    training: {
      maxSteps: steps,
      perDeviceTrainBatchSize: batch,
      gradientAccumulationSteps: 1,
      maxLength: seq,
      saveStrategy: 'no',
    },
  }
  writeFileSync(join(out, 'train.yaml'), JSON.stringify(config))
  const start = performance.now()
  const since = () => (performance.now() - start) / 1000
  const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.js'), 'train', join(out, 'train.yaml'), '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  let first = Number.NaN
  let last = Number.NaN
  let memory = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line)
    if (event.type === 'step' && event.step === 1) first = since()
    if (event.type === 'step' && event.step === steps) last = since()
    memory = peakOf(child.pid) ?? memory
  }
  if ((await ended) !== 0) throw new Error('expected lowrank train to end well; its message is above')
  const total = since()
  rmSync(out, { recursive: true })
  return { first, last, total, memory }
}

/** The most memory that a process has had resident, unless it has ended. @param {number | undefined} pid */
function peakOf(pid) {
  try {
    const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return match ? Math.round(Number(match[1]) / 1024) : undefined
  } catch {
    return undefined
  }
}

/**
 * Runs `body` with `work` set to a folder that holds the model and the data.
 * @param {import('./support/options.mjs').Values} options @param {(options: import('./support/options.mjs').Values) => Promise<void>} body
 */
async function withFiles(options, body) {
  const work = options.work ?? mkdtempSync(join(tmpdir(), 'lowrank-e2e-'))
  try {
    mkdirSync(work, { recursive: true })
    if (!existsSync(join(work, 'model/config.json'))) await writeModel(options, join(work, 'model'))
    writeFileSync(join(work, 'data.jsonl'), makeRows(options.steps * options.batch, options.seq))
    await body({ ...options, work })
  } finally {
    if (options.work === undefined) rmSync(work, { recursive: true })
  }
}

/** @param {import('./support/options.mjs').Values} options @param {string} directory */
async function writeModel({ modelShape }, directory) {
  const config = MODEL_SHAPES[modelShape] ?? {}
  const device = Device.open('cpu')
  const model = createModel(
    { ...config, ...TOKEN_IDS, vocab_size: Math.max(config.vocab_size, TOKENIZER_SIZE) },
    { device, dtype: 'bfloat16' },
  )
  await saveModel(model, directory, { tokenizerFrom: TOKENIZER })
  device.close()
}

/** Rows of running text, each longer than what is kept of it. @param {number} count @param {number} seq */
function makeRows(count, seq) {
  const pieces = readFileSync(TEXTS, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ prompt, completion }) => `${prompt}${completion}\n\n`)
  let next = 0
  const row = () => {
    let text = ''
    while (text.length < seq * CHARACTERS_PER_TOKEN) text += pieces[next++ % pieces.length]
    return text
  }
  return Array.from({ length: count }, () => `${JSON.stringify({ text: row() })}\n`).join('')
}
