/** @file planGeneration: the memory that answers take, found as `planTraining` finds that of training: on a device that computes nothing. */

import type { RawConfig } from '../architecture/config.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { createModel } from '../causal-lm/create-model.js'
import { withoutQuantizationConfig } from '../checkpoint/bnb-4bit.js'
import { defaultDType, readModelConfig } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import { PLANNED_TOKENS } from '../decoding/sampling-defaults.js'
import { describeValue, expectKnownOptions, expectPositive } from '../errors.js'
import type { HubOptions } from '../hub/settings.js'
import { checkQuantization, type Quantization } from '../nn/module.js'
import { sample_ } from '../ops/sample.js'
import { Device, type DeviceName } from '../tensor/device.js'
import { type ComputeDType, isComputeDType } from '../tensor/dtype.js'
import { plannedBudget, processBytes } from '../tensor/process-memory.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'

export interface GenerationPlanOptions extends HubOptions {
  /** What config.json holds, or a directory, GGUF file or Hub id that says it; weights are not needed. */
  model: string | RawConfig
  /**
   * Whose memory counts; see `planTraining`.
   * @default 'cpu'
   */
  device?: DeviceName | undefined
  /**
   * What the model computes in.
   * @default as `loadModel` has it
   */
  dtype?: ComputeDType | undefined
  /**
   * 'nf4': the projections of the decoder are held in 4 bits; see `loadModel`.
   * @default what the checkpoint has
   */
  quantization?: Quantization | undefined
  /**
   * On a GPU: the embeddings stay in the machine's memory; see `loadModel`.
   * @default false
   */
  offloadEmbedding?: boolean | undefined
  /**
   * Sequences that are generated together.
   * @default 1
   */
  batchSize?: number | undefined
  /**
   * Tokens of each prompt.
   * @default 512
   */
  promptTokens?: number | undefined
  /**
   * Tokens of the longest answer.
   * @default 128
   */
  maxNewTokens?: number | undefined
}

/** What answering takes, in bytes. */
export interface GenerationPlan {
  /** Whose memory it is about: 'cpu', 'cuda:0'. */
  readonly device: string
  readonly dtype: ComputeDType
  readonly quantization: Quantization | undefined
  readonly batchSize: number
  readonly promptTokens: number
  readonly maxNewTokens: number
  readonly tensors: {
    readonly weights: number
    /** Keys and values of all sequences when they are longest. */
    readonly kvCache: number
    /** What is in flight besides: of the prompt's pass, of a step, and while the cache grows. */
    readonly activations: number
  }
  /** The sum of `tensors`. */
  readonly peakTensors: number
  /** The process without tensors: Node, code, heap. 0 on a GPU, where it is elsewhere. */
  readonly process: number
  /** What is taken of the device's memory at its highest. */
  readonly peakResident: number
  /** What may be taken. */
  readonly memory: number
  readonly fits: boolean
}

const OPTIONS: readonly (keyof GenerationPlanOptions)[] = [
  'model',
  'revision',
  'token',
  'cacheDir',
  'localFilesOnly',
  'device',
  'dtype',
  'quantization',
  'offloadEmbedding',
  'batchSize',
  'promptTokens',
  'maxNewTokens',
]

/**
 * Finds the memory of `generate()` without weights and without computing.
 * @param limits `memory`: bytes that may be taken; default: the memory budget, on the CPU and the process itself.
 * @throws on unknown options, values out of range, configs that `loadModel` refuses, and more positions than the model has.
 */
export async function planGeneration(
  options: GenerationPlanOptions,
  limits: { memory?: number } = {},
): Promise<GenerationPlan> {
  if (typeof options !== 'object' || options === null)
    throw new Error(`[planGeneration] expected an object of options, got ${describeValue(options)}`)
  expectKnownOptions('planGeneration', options, OPTIONS)
  const { model: given, dtype: givenDType, batchSize = 1, ...others } = options
  const { promptTokens = PLANNED_TOKENS.promptTokens, maxNewTokens = PLANNED_TOKENS.maxNewTokens, ...rest } = others
  const { device: where, quantization: wanted, offloadEmbedding, ...hub } = rest
  if (givenDType !== undefined && !isComputeDType(givenDType))
    throw new Error(
      `[planGeneration] expected 'float32', 'bfloat16' or 'float16' for dtype, got ${describeValue(givenDType)}`,
    )
  if (typeof given !== 'string' && (typeof given !== 'object' || given === null))
    throw new Error(
      `[planGeneration] expected a directory, a Hub id or what config.json holds for model, got ${describeValue(given)}`,
    )
  checkQuantization('planGeneration', wanted)
  for (const [name, value] of Object.entries({ batchSize, promptTokens, maxNewTokens })) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new Error(`[planGeneration] expected a whole number > 0 for ${name}, got ${describeValue(value)}`)
  }
  if (limits.memory !== undefined) expectPositive('planGeneration', 'memory', limits.memory)
  const raw =
    typeof given === 'string'
      ? await readModelConfig((await resolveModel(given, { ...hub, part: 'config' })).path)
      : given
  const config = withoutQuantizationConfig(raw, typeof given === 'string' ? given : 'config')
  const quantization = config === raw ? wanted : 'nf4'
  const device = Device.open(where, { dryRun: true })
  try {
    const dtype = givenDType ?? defaultDType(device, quantization)
    const budget = plannedBudget(device)
    const model = createModel(config, { device, dtype, quantization, offloadEmbedding: offloadEmbedding ?? false })
    await device.sync()
    const weights = device.memory().live
    const tokens = promptTokens + maxNewTokens
    await run(model, batchSize, promptTokens, maxNewTokens)
    const { peak, touched } = device.memory()
    const { numHiddenLayers, numKeyValueHeads, headDim } = model.config
    const elements = 2 * numHiddenLayers * numKeyValueHeads * headDim * tokens * batchSize
    const kvCache = elements * (dtype === 'float32' ? 4 : 2)
    const process = processBytes(device)
    const peakResident = touched + process
    const memory = limits.memory ?? budget + process
    return {
      ...{ device: device.type, dtype, quantization, batchSize, promptTokens, maxNewTokens },
      tensors: { weights, kvCache, activations: peak - weights - kvCache },
      peakTensors: peak,
      process,
      peakResident,
      memory,
      fits: peakResident <= memory,
    }
  } finally {
    device.close()
  }
}

/** Every step, as generate() has them. What is drawn goes elsewhere: here it is undefined, and no id to go on with. */
async function run(model: CausalLM, batchSize: number, promptTokens: number, maxNewTokens: number): Promise<void> {
  const { device } = model
  const drawn = unregisterFromScope(Tensor.empty(device, [batchSize], 'int32'))
  const sampling = { temperature: 1, topK: 50, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 }
  const prompts = Array.from({ length: batchSize }, () => new Int32Array(promptTokens))
  const decoding = model.decoding(prompts, promptTokens + maxNewTokens, (logits, _, steps) =>
    sample_({ logits, steps, seen: undefined, ids: drawn }, sampling),
  )
  try {
    for (let step = 0; step < maxNewTokens; step++) await decoding.next()
  } finally {
    decoding.dispose()
    drawn.dispose()
  }
  await device.sync()
}
