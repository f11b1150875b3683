/**
 * @file What generate() may be asked for: how tokens are chosen and when a sequence ends. The steps themselves are in
 * decoding.ts.
 */

import { FORWARD_BATCH, type ForwardBatch, prepareBatch } from '../architecture/batch.js'
import type { ModelConfig } from '../architecture/config.js'
import { describeValue } from '../errors.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { argmax } from '../ops/argmax.js'
import { type SamplingParameters, sample_ } from '../ops/sample.js'
import { completeOptions, expectOptions, type OptionTable } from '../options/table.js'
import type { Device } from '../tensor/device.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { Choose } from './decoding.js'
import { GENERATE_OPTIONS, type GenerateOptions, type SamplingOptions } from './sampling-options.js'

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
  expectOptions('generate', options, GENERATE_OPTIONS)
  const drawing = (['temperature', 'topK', 'topP', 'minP'] as const).filter((name) => options[name] !== undefined)
  const doSample = options.doSample ?? drawing.length > 0
  if (!doSample && drawing.length > 0)
    throw new OptionError(`[generate] expected doSample: true with ${drawing.join(', ')}, got doSample: false`)
  const preferred = doSample ? defaults?.sampling : {}
  const { maxNewTokens, eosTokenId, signal, ...sampling } = completeOptions(options, GENERATE_OPTIONS, preferred)
  return {
    maxNewTokens,
    eosTokenIds: new Set(eosTokenId === undefined ? endingIds(config, defaults) : readEnds(eosTokenId, config)),
    sampling: samplingParameters({ ...sampling, doSample }),
    signal,
  }
}

/** @throws on what is no id of the model: it would never end anything. */
function readEnds(value: number | readonly number[], { vocabSize }: ModelConfig): readonly number[] {
  const ids = typeof value === 'number' ? [value] : value
  if (ids.every((id) => id < vocabSize)) return ids
  throw new OptionError(
    `[generate] expected a token id, or several, in [0, ${vocabSize}) for eosTokenId, got ${describeValue(value)}`,
  )
}

/** The ids that end an answer of a model. */
export function endingIds(config: ModelConfig, defaults: GenerationDefaults | undefined): number[] {
  return [...new Set([...config.eosTokenId, ...(defaults?.eosTokenIds ?? [])])]
}

/** What is to be done on the device; nothing for the most likely token without a penalty. */
function samplingParameters(options: Required<SamplingOptions>): SamplingParameters | undefined {
  const { doSample, temperature, topK, topP, minP, repetitionPenalty, seed } = options
  if (!doSample && repetitionPenalty === 1) return undefined
  return { temperature: doSample ? temperature : 0, topK: doSample ? topK : 0, topP, minP, repetitionPenalty, seed }
}

/** What of a batch is prompts. */
const PADDED_BATCH = {
  inputIds: FORWARD_BATCH.inputIds,
  attentionMask: FORWARD_BATCH.attentionMask,
} as const satisfies OptionTable<Pick<ForwardBatch, 'inputIds' | 'attentionMask'>>

/** The prompts, checked; padding is gone. @throws on an empty prompt and on ids outside the vocabulary. */
export function readPrompts(input: GenerateInput, vocabSize: number): Int32Array[] {
  if (!Array.isArray(input)) {
    if (typeof input !== 'object' || input === null || ArrayBuffer.isView(input)) {
      throw new LowrankError(
        'INVALID_CALL',
        `[generate] expected ids as number[], number[][] or { inputIds, attentionMask }, got ${describeValue(input)}; ` +
          'generateText() takes texts, and Array.from() makes a list of typed arrays',
      )
    }
    const batch = input as Pick<ForwardBatch, 'inputIds' | 'attentionMask'>
    expectOptions('generate', batch, PADDED_BATCH)
    const { inputIds, cuSeqlens, outputShape } = prepareBatch(batch, vocabSize)
    if (cuSeqlens.length - 1 !== outputShape[0])
      throw new LowrankError(
        'INVALID_CALL',
        '[generate] expected at least one token in every row, got a row of padding alone',
      )
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
