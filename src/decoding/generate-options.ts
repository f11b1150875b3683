/** @file What generate() may be asked for: how tokens are chosen and when a sequence ends. The steps themselves are in decoding.ts. */

import { type ForwardBatch, prepareBatch } from '../architecture/batch.js'
import type { ModelConfig } from '../architecture/config.js'
import { describeValue, expectKnownOptions, expectSignal } from '../errors.js'
import { argmax } from '../ops/argmax.js'
import { type SamplingParameters, sample_ } from '../ops/sample.js'
import type { Device } from '../tensor/device.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { Choose } from './decoding.js'
import { SAMPLING_DEFAULTS } from './sampling-defaults.js'

/** As transformers' GenerationConfig has them. */
export interface SamplingOptions {
  /**
   * Draw tokens instead of taking the most likely one. The defaults of the others are those of the model's
   * generation_config.json where tokens are drawn, else as said here.
   * @default true when `temperature`, `topK`, `topP` or `minP` is given, else false
   */
  doSample?: boolean
  /**
   * Logits are divided by it before drawing: below 1 likely tokens become likelier. Above 0.
   * @default 1
   */
  temperature?: number
  /**
   * Draw from so many of the most likely tokens; 0: from all.
   * @default 50
   */
  topK?: number
  /**
   * Draw from the most likely tokens that make up this share of the probability, in (0, 1].
   * @default 1
   */
  topP?: number
  /**
   * Draw from tokens at least this share as probable as the most likely one, in [0, 1].
   * @default 0
   */
  minP?: number
  /**
   * Above 0; above 1 it discourages tokens of the prompt and of the answer so far.
   * @default 1
   */
  repetitionPenalty?: number
  /**
   * A whole number >= 0: the same seed, prompt and options give the same answer.
   * @default 0
   */
  seed?: number
}

export interface GenerateOptions extends SamplingOptions {
  /**
   * Tokens of the longest answer.
   * @default 128
   */
  maxNewTokens?: number
  /**
   * Ids that end an answer (the ending id is the last of the result); `[]` never stops.
   * @default the model's
   */
  eosTokenId?: number | readonly number[]
  /**
   * Called with each new id as soon as it is known, and with the sequence that it belongs to.
   * @default none
   */
  onToken?: (id: number, sequence: number) => void
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
}

/** What the makers of a model say of its generation: generation_config.json. */
export interface GenerationDefaults {
  /** Whether they would draw tokens; generate() does so only when asked, `lowrank chat` by itself. */
  readonly doSample: boolean
  /** Where tokens are drawn, these take the place of the defaults of SamplingOptions. */
  readonly sampling: SamplingOptions
  /** Ids that end an answer, beside those of the config. */
  readonly eosTokenIds: readonly number[]
  /** Texts that end an answer of `generateText` where the call names none. */
  readonly stopStrings?: readonly string[]
  /** What they ask for that generate() does not do, as 'no_repeat_ngram_size = 3'. */
  readonly ignored?: readonly string[]
}

/** One prompt, several of any lengths, or rows of one length with padding on either side. */
export type GenerateInput =
  | readonly number[]
  | readonly (readonly number[])[]
  | Pick<ForwardBatch, 'inputIds' | 'attentionMask'>

const SAMPLING: readonly (keyof SamplingOptions)[] = [
  'doSample',
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
  'seed',
]
const OPTIONS: readonly (keyof GenerateOptions)[] = ['maxNewTokens', 'eosTokenId', 'onToken', 'signal', ...SAMPLING]

/** Options with all their defaults. */
export interface GenerateSettings {
  readonly maxNewTokens: number
  readonly eosTokenIds: ReadonlySet<number>
  /** Nothing for the most likely token without a penalty. */
  readonly sampling: SamplingParameters | undefined
  readonly signal: AbortSignal | undefined
}

/** @throws on unknown options and values out of range. */
export function readGenerateOptions(
  options: GenerateOptions,
  config: ModelConfig,
  defaults?: GenerationDefaults,
): GenerateSettings {
  expectKnownOptions('generate', options, OPTIONS)
  const { maxNewTokens = SAMPLING_DEFAULTS.maxNewTokens, eosTokenId, signal } = options
  if (!Number.isSafeInteger(maxNewTokens) || maxNewTokens < 0)
    throw new Error(`[generate] expected a whole number >= 0 for maxNewTokens, got ${describeValue(maxNewTokens)}`)
  if (options.onToken !== undefined && typeof options.onToken !== 'function')
    throw new Error(`[generate] expected a function for onToken, got ${describeValue(options.onToken)}`)
  expectSignal('generate', signal)
  const eosTokenIds = new Set(eosTokenId === undefined ? endingIds(config, defaults) : readEnds(eosTokenId, config))
  return { maxNewTokens, eosTokenIds, sampling: readSamplingOptions(options, defaults?.sampling), signal }
}

/** @throws on what is no id of the model: it would never end anything. */
function readEnds(value: unknown, { vocabSize }: ModelConfig): readonly number[] {
  const ids: unknown = typeof value === 'number' ? [value] : value
  const isId = (id: unknown): boolean => typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize
  if (Array.isArray(ids) && ids.every(isId)) return ids
  throw new Error(
    `[generate] expected a token id, or several, in [0, ${vocabSize}) for eosTokenId, got ${describeValue(value)}`,
  )
}

/** The ids that end an answer of a model. */
export function endingIds(config: ModelConfig, defaults: GenerationDefaults | undefined): number[] {
  return [...new Set([...config.eosTokenId, ...(defaults?.eosTokenIds ?? [])])]
}

/** What is to be done on the device; nothing for the most likely token without a penalty. @throws on values out of range. */
export function readSamplingOptions(
  options: SamplingOptions,
  defaults: SamplingOptions = {},
): SamplingParameters | undefined {
  const drawing = (['temperature', 'topK', 'topP', 'minP'] as const).filter((name) => options[name] !== undefined)
  const { doSample = drawing.length > 0, seed = SAMPLING_DEFAULTS.seed } = options
  const all = { ...SAMPLING_DEFAULTS, ...(doSample ? defaults : {}) }
  const { temperature = all.temperature, topK = all.topK, topP = all.topP, minP = all.minP } = options
  const { repetitionPenalty = all.repetitionPenalty } = options
  if (!doSample && drawing.length > 0)
    throw new Error(`[generate] expected doSample: true with ${drawing.join(', ')}, got doSample: false`)
  if (typeof doSample !== 'boolean')
    throw new Error(`[generate] expected true or false for doSample, got ${describeValue(doSample)}`)
  // What is divided by it stays a float32.
  const finite = (value: number): boolean => value >= SMALLEST_DIVISOR && value <= 1 / SMALLEST_DIVISOR
  const zero = 'doSample: false takes the most likely token'
  expectNumber('temperature', temperature, `${DIVISOR} (${zero})`, finite)
  expectNumber('topK', topK, 'a whole number >= 0', (value) => value >= 0 && value < 2 ** 31 && Number.isInteger(value))
  expectNumber('topP', topP, 'a number above 0 and at most 1 (1 draws from all)', (value) => value > 0 && value <= 1)
  expectNumber('minP', minP, 'a number from 0 to 1', (value) => value >= 0 && value <= 1)
  expectNumber('repetitionPenalty', repetitionPenalty, `${DIVISOR} (1 is no penalty)`, finite)
  expectNumber('seed', seed, 'a whole number >= 0', (value) => value >= 0 && Number.isSafeInteger(value))
  if (!doSample && repetitionPenalty === 1) return undefined
  return { temperature: doSample ? temperature : 0, topK: doSample ? topK : 0, topP, minP, repetitionPenalty, seed }
}

/** Of logits. */
const SMALLEST_DIVISOR = 1e-20
const DIVISOR = 'a number from 1e-20 to 1e20'

function expectNumber(
  name: keyof SamplingOptions,
  value: unknown,
  expected: string,
  holds: (value: number) => boolean,
): void {
  if (typeof value === 'number' && holds(value)) return
  throw new Error(`[generate] expected ${expected} for ${name}, got ${describeValue(value)}`)
}

/** The prompts, checked; padding is gone. @throws on an empty prompt and on ids outside the vocabulary. */
export function readPrompts(input: GenerateInput, vocabSize: number): Int32Array[] {
  if (!Array.isArray(input)) {
    if (typeof input !== 'object' || input === null || ArrayBuffer.isView(input)) {
      throw new Error(
        `[generate] expected ids as number[], number[][] or { inputIds, attentionMask }, got ${describeValue(input)}; ` +
          'generateText() takes texts, and Array.from() makes a list of typed arrays',
      )
    }
    const batch = input as ForwardBatch
    expectKnownOptions('generate', batch, ['inputIds', 'attentionMask'])
    const { inputIds, cuSeqlens, outputShape } = prepareBatch(batch, vocabSize)
    if (cuSeqlens.length - 1 !== outputShape[0])
      throw new Error('[generate] expected at least one token in every row, got a row of padding alone')
    return Array.from(cuSeqlens.subarray(1), (end, s) => inputIds.slice(cuSeqlens[s], end))
  }
  const prompts = (isBatch(input) ? input : [input]) as readonly (readonly number[])[]
  return prompts.map((prompt) => prepareBatch({ inputIds: [prompt] }, vocabSize).inputIds)
}

/** Whether the answer is a list of lists. */
export function isBatch(input: GenerateInput): boolean {
  return !Array.isArray(input) || Array.isArray(input[0])
}

/** How ids are chosen on the device, with what that has to remember there. */
export interface Chooser {
  readonly choose: Choose
  dispose(): void
}

export function createChooser(
  sampling: SamplingParameters | undefined,
  prompts: readonly Int32Array[],
  vocabSize: number,
  device: Device,
): Chooser {
  if (!sampling) return { choose: (logits, ids) => void argmax(logits, ids), dispose: () => undefined }
  const seen = sampling.repetitionPenalty === 1 ? undefined : seenIds(prompts, vocabSize, device)
  return {
    choose: (logits, ids, steps) => sample_({ logits, ids, steps, seen }, sampling),
    dispose: () => seen?.dispose(),
  }
}

/** uint8 [S, V]: 1 for the ids of each prompt. */
function seenIds(prompts: readonly Int32Array[], vocabSize: number, device: Device): Tensor {
  const values = new Uint8Array(prompts.length * vocabSize)
  prompts.forEach((prompt, s) => {
    for (const id of prompt) values[s * vocabSize + id] = 1
  })
  const seen = unregisterFromScope(Tensor.empty(device, [prompts.length, vocabSize], 'uint8'))
  device.upload(seen, values, 'uint8')
  return seen
}
