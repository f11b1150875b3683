/**
 * @file What a training run takes, found by running it on a device that reserves memory and computes nothing. No
 * formula: model, adapter, ops and allocator are those of the real run.
 */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import type { LoraConfig } from '../adapters/lora-config.js'
import type { RawConfig } from '../architecture/config.js'
import type { GradientCheckpointing } from '../autograd/gradient-checkpointing.js'
import type { Parameter } from '../autograd/parameter.js'
import { noGrad } from '../autograd/tape.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { createModel } from '../causal-lm/create-model.js'
import { collateItems, type MicroBatch } from '../data/batches.js'
import type { Item } from '../data/items.js'
import { growAnswers } from '../generation/plan-generation.js'
import { OutOfMemoryError } from '../lowrank-error.js'
import type { Quantization } from '../nn/module.js'
import { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { AdamW } from './adamw.js'
import type { Objective } from './objective.js'
import type { AnswerSizes } from './probes.js'

/** What the memory of a run depends on. */
export interface MemoryEstimateInput<I extends Item = Item> {
  readonly objective: Objective<I>
  /** The device that it would run on, which need not be there. */
  readonly device: string
  readonly config: RawConfig
  readonly dtype: ComputeDType
  readonly quantization: Quantization | undefined
  readonly offloadEmbedding?: boolean | undefined
  /** Undefined: every weight is trained. */
  readonly lora: LoraConfig | undefined
  readonly gradientCheckpointing: GradientCheckpointing
  /** Above one, a forward pass runs beside the gradients of those before it. */
  readonly gradientAccumulationSteps: number
  /** Tokens of each sequence of the largest micro-batch, those of an item side by side; all count as labelled. */
  readonly sequenceLengths: readonly number[]
  /**
   * Batches have weights of their tokens.
   * @default false
   */
  readonly weighted?: boolean
  /** The same of an evaluation batch; empty: nothing is evaluated. */
  readonly evalSequenceLengths: readonly number[]
  readonly evalWeighted?: boolean
  /** What is answered at evaluations; default: nothing. */
  readonly answers?: AnswerSizes | undefined
  /** Default: as `Device.open` has it. */
  readonly threads?: number | undefined
}

/** Bytes of tensors by what they are for; together the most that is in use at one time. */
export interface TensorBytes {
  /** Bytes of the base model's weights. */
  readonly weights: number
  /** What is trained beside them: float32 masters, and copies in the compute dtype. */
  readonly trained: number
  /** None where the most is in use in a forward pass that has none yet. */
  readonly gradients: number
  readonly optimizer: number
  /** What forward keeps for backward, what is in flight, and the workspace of kernels. */
  readonly activations: number
}

/** What a run takes, in bytes. */
export interface MemoryNeed {
  readonly tensors: TensorBytes
  /** The sum of `tensors`. */
  readonly peakTensors: number
  /** Those that are resident: the peak, and gaps between blocks. */
  readonly residentTensors: number
  /** The same when the model is loaded and nothing else is there yet. */
  readonly residentByLoading: number
  /** Beside those of a GPU, in the machine's memory. */
  readonly hostTensors: number
  readonly trainableParameters: number
  readonly totalParameters: number
}

/**
 * What a run takes, and what the allocator reserves for it where nothing holds it back: with so much the run cannot
 * fail.
 */
export interface MeasuredRun {
  readonly need: MemoryNeed
  readonly reserved: number
}

/** @throws what the real run would throw on the model's config or the adapter's targets. */
export async function measureOnDryDevice<I extends Item>(run: MemoryEstimateInput<I>): Promise<MeasuredRun> {
  const device = Device.open(run.device, { dryRun: true, threads: run.threads })
  try {
    const need = await measure(run, device)
    return { need, reserved: device.memory().reserved }
  } finally {
    device.close()
  }
}

/**
 * Whether a run ends within a budget. Between the tensors' peak and what is reserved without a limit that depends on
 * where blocks lie: the same commands go to a device that is held to the budget.
 */
export async function runsWithin<I extends Item>(run: MemoryEstimateInput<I>, budget: number): Promise<boolean> {
  const device = Device.open(run.device, {
    dryRun: true,
    holdBudget: true,
    memoryBudget: Math.max(1, budget),
    threads: run.threads,
  })
  try {
    await measure(run, device)
    return true
  } catch (error) {
    if (error instanceof OutOfMemoryError) return false
    throw error
  } finally {
    device.close()
  }
}

async function measure<I extends Item>(run: MemoryEstimateInput<I>, device: Device): Promise<MemoryNeed> {
  const model = createModel(run.config, {
    device,
    dtype: run.dtype,
    quantization: run.quantization,
    offloadEmbedding: run.offloadEmbedding,
  })
  await device.sync()
  const loaded = device.memory()
  const adapter = run.lora && LoraAdapter.create(model, run.lora)
  const parameters = adapter ? adapter.parameters() : unfrozen(model)
  const optimizer = new AdamW(parameters)
  model.gradientCheckpointing = run.gradientCheckpointing
  await device.sync()
  const trained = device.memory().live - loaded.live
  // In the second step the moments that the first one made are there from the beginning.
  let forwardPeak = 0
  for (let step = 0; step < 2; step++) {
    for (let micro = Math.min(2, run.gradientAccumulationSteps); micro > 0; micro--) {
      const batch = batchOf(run, run.sequenceLengths, run.weighted)
      model.train()
      const loss = run.objective.begin(model, batch, 1)(1)
      await device.sync()
      forwardPeak = device.memory().peak
      await loss.backward()
      loss.dispose()
    }
    optimizer.step({ maxGradNorm: 1 })
    optimizer.zeroGrad()
    await device.sync()
  }
  const stepPeak = device.memory().peak
  if (run.evalSequenceLengths.length > 0) {
    model.eval()
    const scored = noGrad(() =>
      run.objective.begin(model, batchOf(run, run.evalSequenceLengths, run.evalWeighted), 1)(1),
    )
    await scored.read()
    scored.dispose()
    await device.sync()
  }
  if (run.answers) {
    model.eval()
    await growAnswers(model, run.answers)
  }
  const { peak, touched, hostLive } = device.memory()
  const trainableParameters = count(parameters.values())
  // Evaluation has no gradients, nor has the first forward pass of a step.
  const gradientsAtPeak = peak === stepPeak && (peak > forwardPeak || run.gradientAccumulationSteps > 1)
  const lasting = { weights: loaded.live, trained, optimizer: 8 * trainableParameters }
  const rest = peak - Object.values(lasting).reduce((sum, bytes) => sum + bytes, 0)
  const gradients = gradientsAtPeak ? Math.min(4 * trainableParameters, rest) : 0
  return {
    tensors: { ...lasting, gradients, activations: rest - gradients },
    peakTensors: peak,
    residentTensors: touched,
    residentByLoading: loaded.touched,
    hostTensors: hostLive,
    trainableParameters,
    totalParameters: count(model.parameters().values()) + (adapter?.numAddedParameters ?? 0),
  }
}

function batchOf<I extends Item>(
  { objective }: MemoryEstimateInput<I>,
  lengths: readonly number[],
  weighted = false,
): MicroBatch<I> {
  const items: I[] = []
  for (let at = 0; at < lengths.length; at += objective.sequencesPerItem)
    items.push(objective.placeholder(lengths.slice(at, at + objective.sequencesPerItem).map(exampleOf)))
  return collateItems(items, weighted)
}

function exampleOf(length: number) {
  return {
    inputIds: new Int32Array(length),
    labels: new Int32Array(length),
    numSupervised: length,
    promptLength: 0,
  }
}

function unfrozen(model: CausalLM): ReadonlyMap<string, Parameter> {
  for (const parameter of model.parameters().values()) parameter.unfreeze()
  return model.parameters()
}

function count(parameters: Iterable<Parameter>): number {
  let sum = 0
  for (const { size } of parameters) sum += size
  return sum
}
