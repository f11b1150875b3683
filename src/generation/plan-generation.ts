/**
 * @file planGeneration: the memory that answers take, found as `planTraining` finds that of training: on a device that
 * computes nothing.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { createModel } from '../causal-lm/create-model.js'
import { withoutQuantizationConfig } from '../checkpoint/bnb-4bit.js'
import { defaultDType, readModelConfig } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import { SAMPLING_OPTIONS } from '../decoding/sampling-options.js'
import type { Quantization } from '../nn/module.js'
import { sample_ } from '../ops/sample.js'
import { PLAN_LIMITS, type PlanLimits } from '../options/shared.js'
import { defaultsOf, readOptions } from '../options/table.js'
import { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { plannedBudget, processBytes } from '../tensor/process-memory.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { type GenerationPlanOptions, PLAN_GENERATION_OPTIONS } from './plan-options.js'

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

/**
 * Finds the memory of `generate()` without weights and without computing.
 * @param limits `memory`: bytes that may be taken; default: the memory budget, on the CPU and the process itself.
 * @throws on unknown options, values out of range, configs that `loadModel` refuses, and more positions than the model
 * has.
 */
export async function planGeneration(options: GenerationPlanOptions, limits: PlanLimits = {}): Promise<GenerationPlan> {
  const resolved = readOptions('planGeneration', options, PLAN_GENERATION_OPTIONS)
  const { memory: limit } = readOptions('planGeneration', limits, PLAN_LIMITS)
  const { model: given, dtype: givenDType, batchSize, promptTokens, maxNewTokens, ...others } = resolved
  const { device: where, quantization: wanted, offloadEmbedding, ...hub } = others
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
    const model = createModel(config, { device, dtype, quantization, offloadEmbedding })
    await device.sync()
    const weights = device.memory().live
    const tokens = promptTokens + maxNewTokens
    await growAnswers(model, { batchSize, promptTokens, maxNewTokens })
    const { peak, touched } = device.memory()
    const { numHiddenLayers, numKeyValueHeads, headDim } = model.config
    const elements = 2 * numHiddenLayers * numKeyValueHeads * headDim * tokens * batchSize
    const kvCache = elements * (dtype === 'float32' ? 4 : 2)
    const process = processBytes(device)
    const peakResident = touched + process
    const memory = limit ?? budget + process
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

/**
 * On a device that computes nothing: every step, as generate() has them. What is drawn goes elsewhere: here it is
 * undefined, and no id to go on with.
 */
export async function growAnswers(
  model: CausalLM,
  { batchSize, promptTokens, maxNewTokens }: Readonly<Record<'batchSize' | 'promptTokens' | 'maxNewTokens', number>>,
): Promise<void> {
  const { device } = model
  const drawn = unregisterFromScope(Tensor.empty(device, [batchSize], 'int32'))
  const { doSample: _, ...sampling } = defaultsOf(SAMPLING_OPTIONS)
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
