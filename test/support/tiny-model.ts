/** @file A small random Llama with its tokenizer on disk, rows for it, and what training tests share. */

import { mkdtempSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { LoraOptions } from '../../src/adapters/lora-config.js'
import type { RawConfig } from '../../src/architecture/config.js'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import type { Example } from '../../src/data/examples.js'
import type { Device } from '../../src/tensor/device.js'
import type { TrainEvent } from '../../src/train/events.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { trainLora } from '../../src/train/train-lora.js'
import type { TrainResult } from '../../src/train/train-run.js'
import type { TrainingOptions } from '../../src/train/training-options.js'
import { testDevices } from './devices.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from './tiny-tokenizer.js'
import { seededRandom } from './values.js'

/** Grouped queries, an untied head and odd widths: nothing that a kernel could confuse. */
export const TINY_CONFIG: RawConfig = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  vocab_size: 512,
  hidden_size: 48,
  intermediate_size: 88,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
}

/** Normalised heads, wider than the width has room for. */
export const TINY_QWEN3_CONFIG: RawConfig = { ...TINY_CONFIG, model_type: 'qwen3', head_dim: 14, attention_bias: true }

export const TINY_GPT2_CONFIG: RawConfig = {
  model_type: 'gpt2',
  vocab_size: 512,
  n_embd: 48,
  n_layer: 2,
  n_head: 4,
  n_positions: 512,
  activation_function: 'gelu_new',
  layer_norm_epsilon: 1e-5,
}

/** A directory that is removed after the tests of the file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'lowrank-train-'))
  afterAll(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export interface TinyModelOptions {
  config?: RawConfig
  seed?: number
  device?: Device
}

/**
 * A random model, livelier than a fresh one, so that no gradient is lost in rounding. The same for the same arguments.
 */
export async function tinyModel({ config = TINY_CONFIG, seed = 5, device }: TinyModelOptions = {}): Promise<CausalLM> {
  const model = createModel(config, { seed, device: device ?? testDevices({ everyLevel: false })[0]?.open() })
  for (const parameter of model.parameters().values()) {
    if (parameter.shape.length === 2) parameter.set((await parameter.read()).map((value) => 6 * value))
  }
  return model
}

/** An adapter on every linear layer whose B is not zero, so that A has a gradient. */
export function tinyAdapter(model: CausalLM, options: LoraOptions = {}): LoraAdapter {
  const adapter = LoraAdapter.create(model, { r: 4, loraAlpha: 8, ...options })
  const random = seededRandom(21)
  for (const [name, parameter] of adapter.parameters()) {
    if (name.includes('lora_B')) parameter.set(Float32Array.from({ length: parameter.size }, () => 0.2 * random()))
  }
  return adapter
}

/** The gradients that backward() left, by parameter. */
export async function readGradients(adapter: LoraAdapter): Promise<Map<string, Float32Array>> {
  const gradients = new Map<string, Float32Array>()
  for (const [name, parameter] of adapter.parameters()) gradients.set(name, await parameter.grad.read())
  return gradients
}

/** Writes config, weights and tokenizer; the same bytes for the same arguments. */
export async function writeTinyModel(directory: string, options: TinyModelOptions = {}): Promise<string> {
  const model = await tinyModel(options)
  await saveModel(model, directory)
  model.dispose()
  model.device.close()
  await writeTinyTokenizer(directory, tinyByteLevelTokenizer())
  return directory
}

const WORDS = 'one two three four five six seven eight nine the assistant says hello capital France question'.split(' ')

/** prompt/completion rows of uneven lengths that a small model can learn: the answer repeats the prompt backwards. */
export function tinyRows(count: number, seed = 3): { prompt: string; completion: string }[] {
  const random = seededRandom(seed)
  const below = (limit: number) => Math.floor(((random() + 1) / 2) * limit)
  return Array.from({ length: count }, () => {
    const words = Array.from({ length: 1 + below(7) }, () => WORDS[below(WORDS.length)] as string)
    return { prompt: words.join(' '), completion: ` ${[...words].reverse().join(' ')}` }
  })
}

/** Encoded rows of random ids, the first half of each unsupervised. */
export function randomExamples(lengths: readonly number[], vocabSize: number, seed = 9): Example[] {
  const random = seededRandom(seed)
  return lengths.map((length) => {
    const inputIds = Int32Array.from({ length }, () => Math.floor(((random() + 1) / 2) * vocabSize))
    const promptLength = Math.max(1, length >> 1)
    return {
      inputIds,
      labels: inputIds.slice().fill(IGNORE_INDEX, 0, promptLength),
      numSupervised: length - promptLength,
      promptLength,
    }
  })
}

/** What distinguishes one training test from another. */
export interface TinyRunOptions extends Omit<TrainRunOptions, 'model' | 'dataset'> {
  model: string
  dataset?: TrainRunOptions['dataset']
  training?: TrainingOptions
}

/** Dropout, packing and accumulation on, eleven steps, the last window of each epoch smaller than the others. */
export const TINY_TRAINING: TrainingOptions = {
  numTrainEpochs: 2,
  perDeviceTrainBatchSize: 1,
  gradientAccumulationSteps: 3,
  packing: true,
  maxLength: 48,
  learningRate: 5e-3,
  loggingSteps: 2,
  saveSteps: 2,
}

/** A finished run: its events, and the bytes of what it trained. */
export interface TinyRun {
  run: TrainResult
  events: TrainEvent[]
  /** adapter_model.safetensors or model.safetensors, as hexadecimal. */
  bytes: string
}

/** Trains, saves what was trained beside the run's checkpoints, and frees everything. */
export async function trainTiny(options: TinyRunOptions, saveTo: string): Promise<TinyRun> {
  const events: TrainEvent[] = []
  const { training, onEvent, ...rest } = options
  const run = await trainLora({
    dataset: tinyRows(40),
    dtype: 'float32',
    ...(options.method === 'full' ? {} : { lora: { r: 4, loraAlpha: 8, loraDropout: 0.05 } }),
    ...rest,
    training: { ...TINY_TRAINING, ...training },
    onEvent: (event) => {
      events.push(event)
      onEvent?.(event)
    },
  })
  await run.save(saveTo)
  run.dispose()
  return { run, events, bytes: await trainedBytes(saveTo, options.method) }
}

/** The weights in a directory that `TrainResult.save` or a checkpoint wrote. */
export async function trainedBytes(directory: string, method: 'lora' | 'full' = 'lora'): Promise<string> {
  const name = method === 'full' ? 'model.safetensors' : 'adapter_model.safetensors'
  return (await readFile(join(directory, name))).toString('hex')
}

/** What lies in an output directory beside the documents of the run, sorted. */
export async function withoutDocuments(outputDir: string): Promise<string[]> {
  const documents = ['README.md', 'log.jsonl', 'run.json', 'train.yaml', 'trainer_state.json']
  return (await readdir(outputDir)).filter((name) => !documents.includes(name)).sort()
}

/** The message of the error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'nothing was thrown',
    (error: Error) => error.message,
  )
}

/** The events of one type. */
export function ofType<Type extends TrainEvent['type']>(
  events: readonly TrainEvent[],
  type: Type,
): Extract<TrainEvent, { type: Type }>[] {
  return events.filter((event): event is Extract<TrainEvent, { type: Type }> => event.type === type)
}
