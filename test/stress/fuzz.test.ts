/**
 * @file Damaged and hostile files: every one either loads or is refused by an error that names it. No crash, no hang,
 * no memory beyond a bound.
 *
 * LOWRANK_FUZZ_CASES: files per kind, by default 120. LOWRANK_FUZZ_SEED: another series; a failure says which case of
 * which it was.
 */

import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { openCheckpoint, writeCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import { openSource } from '../../src/data/sources/open-source.js'
import { unzip } from '../../src/kaggle/unzip.js'
import { Random } from '../../src/random.js'
import { Device } from '../../src/tensor/device.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { AdamW } from '../../src/train/adamw.js'
import { NO_FIGURES } from '../../src/train/run-state.js'
import { loadCheckpoint, saveCheckpoint, type TrainedWeights } from '../../src/train/training-state.js'
import { expectSafeZip } from '../../src/transform/zip-check.js'
import { Turns } from '../../src/turns.js'
import { readSafetensorsHeader, readTensorBytes } from '../../src/weights/safetensors.js'
import { CONFIG } from '../checkpoint/build.js'
import { batchPlan } from '../support/batch-plan.js'
import { convertModel, ggufBytes, tokenizerKeys } from '../support/gguf.js'
import { goldenData } from '../support/golden-rows.js'
import { cases } from '../support/long.js'
import { mutate } from '../support/mutate.js'
import { processorTime } from '../support/processor-time.js'
import { readContext } from '../support/read-rows.js'
import { sealCheckpoint } from '../support/run-checkpoint.js'
import { randomExamples, TINY_GPT2_CONFIG, temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'
import { makeZip } from '../support/zip.js'

const CASES = Number(process.env.LOWRANK_FUZZ_CASES ?? cases(120, 5_000))
const SEED = Number(process.env.LOWRANK_FUZZ_SEED ?? 1)
// Loading any of these files takes milliseconds; a busy machine may stretch that.
const TIME_LIMIT_MS = 5_000
const MOST_BYTES_PER_CASE = 64 * 2 ** 20
const MOST_RESIDENT_GROWTH = 512 * 2 ** 20
const IDENTITY = { method: 'lora', model: 'a', seed: 42, packing: false }

/** With the fields that a converter writes. */
const GGUF_CONFIG = { max_position_embeddings: 64, rms_norm_eps: 1e-5, ...CONFIG }

const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)

let device: Device
let base: CausalLM
let weights: TrainedWeights
let optimizer: AdamW

/** Opens a file, or the directory that it is in, as programs do. */
type Open = (directory: string, path: string) => Promise<unknown>

/** A new kind is a line here, and a sound file in `beforeAll`. */
const TARGETS: readonly (readonly [file: string, open: Open])[] = [
  ['llama/config.json', loadAndDispose],
  ['gpt2/config.json', loadAndDispose],
  ['nf4/config.json', loadAndDispose],
  ['llama/model.safetensors', readEverything],
  ['nf4/model.safetensors', loadAndDispose],
  ['sharded/model.safetensors.index.json', openCheckpoint],
  ['llama/tokenizer.json', loadTokenizer],
  ['llama/tokenizer_config.json', loadTokenizer],
  ['adapter/adapter_config.json', loadAdapter],
  ['adapter/adapter_model.safetensors', loadAdapter],
  ['run/lowrank_state.json', resumeSealed],
  ['run/trainer_state.json', resumeSealed],
  ['run/adapter_model.safetensors', resumeSealed],
  ['run/optimizer.safetensors', resumeSealed],
  ['run/SHA256SUMS', resume],
  ['gguf/tiny.gguf', loadGguf],
  ['data/rows.parquet', readRowsOf],
  ['data/pages.parquet', readRowsOf],
  ['data/deltas.parquet', readRowsOf],
  ['data/rows.arrow', readRowsOf],
  ['data/rows.arrows', readRowsOf],
  ['data/typed.arrow', readRowsOf],
  ['data/files.zip', readZip],
  ['data/wide.zip', readZip],
]

/** From a file, as archives of Kaggle are read, and from memory, as documents are. */
async function readZip(directory: string, path: string): Promise<void> {
  const unpacked = join(directory, 'unpacked')
  await rm(unpacked, { recursive: true, force: true })
  const bytes = await readFile(path)
  // Both end before the next case changes the file.
  const outcomes = await Promise.allSettled([unzip(path, unpacked, path, {}), expectSafeZip(bytes, path)])
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

async function loadAndDispose(directory: string): Promise<void> {
  const model = await loadModel(directory, { device, dtype: 'float32' })
  model.dispose()
}

async function loadGguf(_: string, path: string): Promise<void> {
  await loadAndDispose(path)
  await loadTokenizer(path)
}

async function readRowsOf(_: string, path: string): Promise<void> {
  for await (const row of openSource(path).rows(readContext())) expect(row.origin.file).toBe(path)
}

async function readEverything(directory: string, path: string): Promise<void> {
  const { tensors } = await readSafetensorsHeader(path)
  for (const entry of tensors.values()) await readTensorBytes(entry)
  await loadAndDispose(directory)
}

async function loadAdapter(directory: string): Promise<void> {
  const loaded = await LoraAdapter.load(base, directory)
  await device.sync()
  loaded.dispose()
}

async function resume(directory: string): Promise<void> {
  const plan = batchPlan(randomExamples([7, 5, 9, 3, 6], CONFIG.vocab_size))
  await loadCheckpoint(directory, { weights, optimizer, identity: IDENTITY, plan, totalSteps: 10, turns: new Turns() })
  await device.sync()
}

/** With checksums of the damaged files, which would else be refused before they are looked at. */
async function resumeSealed(directory: string): Promise<void> {
  await sealCheckpoint(directory)
  await resume(directory)
}

beforeAll(async () => {
  device = Device.open('cpu', { memoryBudget: MOST_BYTES_PER_CASE })
  base = createModel(CONFIG, { device })
  await saveModel(base, at('llama'))
  const { tokenizer, config } = tinyByteLevelTokenizer({
    chatTemplate: '{% for m in messages %}{{ m.content }}{% endfor %}',
  })
  await writeTinyTokenizer(at('llama'), { tokenizer, config: { ...config, pad_token: { content: '</s>' } } })
  for (const [name, model] of [
    ['gpt2', createModel({ ...TINY_GPT2_CONFIG, n_embd: 12, vocab_size: 53 }, { device })],
    ['nf4', createModel(CONFIG, { device, quantization: 'nf4' })],
  ] as const) {
    await saveModel(model, at(name))
    model.dispose()
  }
  const words = tokenizerKeys(tokenizer as Parameters<typeof tokenizerKeys>[0])
  const named = createModel({ ...GGUF_CONFIG, vocab_size: (words.tokens as string[]).length }, { device })
  await saveModel(named, at('gguf'))
  named.dispose()
  const { keys, tensors: weightsOfGguf } = await convertModel(at('gguf'))
  const ofTokenizer = Object.entries({ ...words, pre: 'gpt-2' }).map(([name, value]) => [
    `tokenizer.ggml.${name}`,
    value,
  ])
  const content = ggufBytes({ keys: { ...keys, ...Object.fromEntries(ofTokenizer) }, tensors: weightsOfGguf })
  await writeFile(at('gguf/tiny.gguf'), content)
  await mkdir(at('sharded'))
  const { tensors } = await openCheckpoint(at('llama'))
  const copies = [...tensors.values()].map((entry) => ({ ...entry, bytes: () => readTensorBytes(entry) }))
  await writeCheckpoint(at('sharded'), copies, { maxShardSize: '10KB' })

  await mkdir(at('data'))
  for (const [name, golden] of [
    ['rows.parquet', 'snappy.parquet'],
    ['pages.parquet', 'zstd-v2.parquet'],
    ['deltas.parquet', 'deltas.parquet'],
    ['rows.arrow', 'zstd.arrow'],
    ['rows.arrows', 'lz4.arrows'],
    ['typed.arrow', 'typed.arrow'],
  ] as const)
    await copyFile(goldenData(golden), at(`data/${name}`))

  const files = [
    { name: 'a/rows.csv', content: 'id,text\n1,one\n2,two\n'.repeat(40) },
    { name: 'b.txt', content: 'stored', isStored: true },
  ]
  await writeFile(at('data/files.zip'), makeZip(files))
  await writeFile(at('data/wide.zip'), makeZip(files, true))

  const trained = LoraAdapter.create(base, { r: 2, targetModules: ['q_proj', 'v_proj'], modulesToSave: ['lm_head'] })
  await trained.save(at('adapter'))
  // With its checksums all damage would end there.
  await rm(at('adapter/SHA256SUMS'))
  weights = {
    parameters: trained.parameters(),
    save: (directory) => trained.save(directory),
    tensors: async (directory) => (await readSafetensorsHeader(join(directory, 'adapter_model.safetensors'))).tensors,
  }
  optimizer = new AdamW(trained.parameters())
  optimizer.stepCount = 3
  const state = {
    runId: '01234567-89ab-cdef-0123-456789abcdef',
    step: 3,
    cursor: { epoch: 0, index: 3 },
    microStep: 3,
    numInputTokensSeen: 96,
    log: NO_FIGURES,
  }
  const trainerState = '{"global_step":3,"log_history":[{"epoch":0.4,"loss":1.5,"step":2}]}'
  await saveCheckpoint(at('run'), { weights, optimizer, state, identity: IDENTITY, trainerState })
  trained.detach()
})
afterAll(() => device.close())

describe('damaged files', () => {
  const watchdog = startWatchdog()
  afterAll(() => watchdog.stop())

  it.each(TARGETS)(
    '%s',
    async (file, open) => {
      const path = at(file)
      const directory = dirname(path)
      const sound = await readFile(path)
      await open(directory, path)
      const residentBefore = process.memoryUsage().rss
      const problems: string[] = []
      let refused = 0
      for (let n = 0; n < CASES; n++) {
        const { bytes, what } = mutate(sound, new Random(SEED, n))
        const name = `case ${n} of seed ${SEED}, ${file}: ${what}`
        await writeFile(path, bytes)
        watchdog.watch(name)
        const { arrayBuffers } = process.memoryUsage()
        const spent = processorTime()
        const problem = await open(directory, path).then(
          () => undefined,
          (error: unknown) => {
            refused++
            return describeRefusal(error, basename(path))
          },
        )
        if (problem) problems.push(`${name}: ${problem}`)
        const milliseconds = spent()
        if (milliseconds > TIME_LIMIT_MS) problems.push(`${name}: took ${milliseconds.toFixed(0)} ms of processor time`)
        const allocated = process.memoryUsage().arrayBuffers - arrayBuffers
        if (allocated > MOST_BYTES_PER_CASE) problems.push(`${name}: allocated ${allocated} bytes`)
      }
      watchdog.watch('')
      await writeFile(path, sound)
      await open(directory, path)
      expect(problems).toEqual([])
      expect(process.memoryUsage().rss - residentBefore).toBeLessThan(MOST_RESIDENT_GROWTH)
      // Otherwise nothing was damaged.
      expect(refused).toBeGreaterThan(CASES / 4)
    },
    1_800_000,
  )
})

/** What is wrong with an error that refuses a file: undefined when it is as it must be. */
function describeRefusal(error: unknown, file: string): string | undefined {
  if (!(error instanceof Error)) return `threw ${String(error)}`
  if (!/^\[[^\]]+\] /.test(error.message)) return `an error of no part of the library: ${error.stack?.slice(0, 600)}`
  if (error.message.length > 2000) return `an error of ${error.message.length} characters`
  return error.message.includes(file) ? undefined : `an error that does not name the file: ${error.message}`
}

/** A loader that never returns would hang the tests without a word: ends the process instead, saying in which case. */
function startWatchdog(): { watch(name: string): void; stop(): void } {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    let timer
    parentPort.on('message', (name) => {
      clearTimeout(timer)
      if (name === '') return
      timer = setTimeout(() => {
        require('node:fs').writeSync(2, 'does not end: ' + name + '\\n')
        process.kill(process.pid, 'SIGKILL')
      }, workerData)
    })`
  const worker = new Worker(source, { eval: true, workerData: 60 * TIME_LIMIT_MS })
  return { watch: (name) => worker.postMessage(name), stop: () => void worker.terminate() }
}
