/** @file planTraining: the memory of a run before it starts, whether it fits, and which switch would make it fit. */

import type { RawConfig } from '../architecture/config.js'
import type { GradientCheckpointing } from '../autograd/gradient-checkpointing.js'
import { formatBytes } from '../bytes.js'
import { CausalLM } from '../causal-lm/causal-lm.js'
import { withoutQuantizationConfig } from '../checkpoint/bnb-4bit.js'
import { defaultDType, readModelConfig } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import type { Item } from '../data/items.js'
import { expectObject } from '../errors.js'
import { OutOfMemoryError } from '../lowrank-error.js'
import { findArchitecture } from '../models/registry.js'
import type { Quantization } from '../nn/module.js'
import { check } from '../options/rules.js'
import { PLAN_LIMITS, PLANNED_MODEL, type PlanLimits } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { plannedBudget, processBytes, remainingBudget } from '../tensor/process-memory.js'
import { type MemoryEstimateInput, type MemoryNeed, measureOnDryDevice, runsWithin } from './memory-estimate.js'
import type { Objective } from './objective.js'
import { SFT } from './objectives/sft.js'
import { type MoreOptions, type ResolvedTrainOptions, TRAIN_LORA_OPTIONS, type TrainRunOptions } from './options.js'
import { type AnswerSizes, SAMPLE_TOKENS, TASK_TOKENS } from './probes.js'
import { resolveTrainOptions } from './resolve-options.js'

/** Options of `trainLora`, those about data and output left out or ignored. */
export interface PlanRunOptions extends Omit<TrainRunOptions, 'model' | 'dataset'> {
  /**
   * What config.json holds, or a directory or Hub id whose config.json is read, or a GGUF file; weights are not needed.
   */
  model: string | RawConfig
  /**
   * Ignored: a plan is of rows of `maxLength` tokens.
   * @default none
   */
  dataset?: TrainRunOptions['dataset']
}

/** The options of `planTraining`. */
export const PLAN_TRAINING_OPTIONS = {
  ...TRAIN_LORA_OPTIONS,
  model: PLANNED_MODEL,
  dataset: {
    rule: TRAIN_LORA_OPTIONS.dataset.rule,
    otherwise: 'none',
    help: 'ignored: a plan is of rows of maxLength tokens',
  },
} as const satisfies OptionTable<PlanRunOptions>

/** The settings that memory depends on most. */
export interface PlanSettings {
  readonly method: 'lora' | 'full'
  readonly dtype: ComputeDType
  /** How the frozen projections are held; undefined: in `dtype`. */
  readonly quantization: Quantization | undefined
  readonly offloadEmbedding: boolean
  readonly perDeviceTrainBatchSize: number
  /** Undefined: `perDeviceTrainBatchSize` counts. */
  readonly maxTokensPerBatch?: number | undefined
  readonly gradientAccumulationSteps: number
  readonly maxLength: number
  readonly gradientCheckpointing: GradientCheckpointing
}

/** What a run with certain settings takes, in bytes. */
export interface PlannedMemory extends MemoryNeed {
  /** The process without tensors: Node, code, heap. 0 on a GPU, where it is elsewhere. */
  readonly process: number
  /**
   * What is taken of the device's memory at its highest: of the CPU's the process with its tensors, of a GPU's the
   * tensors.
   */
  readonly peakResident: number
  /** The same while the model is loaded. */
  readonly peakLoading: number
  readonly fits: boolean
}

/** Other settings, and what they would take. */
export interface PlanAlternative extends PlannedMemory {
  /** What differs, as options of trainLora. */
  readonly change: Partial<PlanSettings>
}

export interface TrainingPlan extends PlannedMemory {
  readonly settings: PlanSettings
  /** Whose memory it is about: 'cpu', 'cuda:0'. */
  readonly device: string
  /** What the run may take of it. */
  readonly memory: number
  readonly alternatives: readonly PlanAlternative[]
  /**
   * The least change that fits; several settings where one alone does not do. Undefined when the run fits as it is, or
   * nothing helps.
   */
  readonly remedy: PlanAlternative | undefined
}

/**
 * Finds the memory of a training run without weights and without training: the run's own commands go to a device that
 * computes nothing. Every row is taken as `maxLength` tokens long. A plan for device 'cuda' needs the engine with CUDA,
 * and no GPU: without one, the budget is what the host's memory makes.
 * @param options those of `trainLora`.
 * @param limits `memory`: bytes that the run may take; default: the memory budget, on the CPU and the process itself.
 * @throws on options and configs that `trainLora` and `loadModel` refuse.
 */
export async function planTraining(
  options: PlanRunOptions,
  limits: PlanLimits = {},
  more?: MoreOptions,
): Promise<TrainingPlan> {
  expectObject('plan', 'options', options)
  const { model, ...rest } = options
  check('plan', 'model', model, PLAN_TRAINING_OPTIONS.model.rule)
  const { memory } = readOptions('plan', limits, PLAN_LIMITS)
  const given = typeof model === 'string' ? undefined : model
  const name = typeof model === 'string' ? model : 'config'
  return await planResolved(resolveTrainOptions({ dataset: [], ...rest, model: name }, more), memory, given)
}

/**
 * `planTraining` with options that are checked and completed, as the command line has them.
 * @param given what config.json holds, where `model` only names it
 */
export async function planResolved(
  options: ResolvedTrainOptions,
  memory: number | undefined,
  given?: RawConfig,
): Promise<TrainingPlan> {
  return await planObjective(SFT, options, memory, given)
}

/** The same for any objective. */
export async function planObjective<I extends Item>(
  objective: Objective<I>,
  options: ResolvedTrainOptions,
  memory: number | undefined,
  given?: RawConfig,
): Promise<TrainingPlan> {
  const { model: name, training } = options
  const raw = given ?? (await readModelConfig((await resolveModel(name, { ...options, part: 'config' })).path))
  const config = withoutQuantizationConfig(raw, name)
  const resolved: ResolvedTrainOptions = config === raw ? options : { ...options, quantization: 'nf4' }
  const { target, budget, positions } = readLimits(config, name, resolved)
  const longest = Math.min(training.maxLength, positions)
  const evalItems = training.evalStrategy === 'no' ? 0 : training.perDeviceEvalBatchSize
  const planner = new Planner(objective, config, resolved, target, memory ?? budget + processBytes(target), {
    longest,
    sequenceLengths: fullBatch({ ...training, maxLength: longest }, objective.sequencesPerItem),
    evalSequenceLengths: new Array<number>(evalItems * objective.sequencesPerItem).fill(longest),
    answers: plannedAnswers(options, positions),
  })
  const { settings, planned } = await planner.settle()
  return {
    settings,
    device: target.type,
    memory: planner.memory,
    ...planned,
    ...(await planner.alternatives(settings, planned.fits)),
  }
}

/** Lengths of the rows that a run has. */
export interface RowLengths {
  /** Tokens of the longest sequence or pack. */
  readonly longest: number
  /** Lengths of the sequences of the largest micro-batch. */
  readonly sequenceLengths: readonly number[]
  /** Lengths of the sequences of the largest evaluation batch. */
  readonly evalSequenceLengths: readonly number[]
  /** Batches of the run have weights of their tokens; default: not. */
  readonly weighted?: boolean
  /** Those of its evaluation have; default: not. */
  readonly evalWeighted?: boolean
  /** What is answered at evaluations; default: nothing. */
  readonly answers?: AnswerSizes | undefined
}

/**
 * The same for a run whose rows and device are there: what it will take, with 'auto' settled.
 * @throws when its tensors need more than the memory budget, saying what would fit.
 */
export async function estimateMemory<I extends Item>(
  objective: Objective<I>,
  model: CausalLM,
  options: ResolvedTrainOptions,
  rows: RowLengths,
): Promise<MemoryEstimate> {
  const budget = remainingBudget(model.device, options.memoryBudget)
  const planner = new Planner(
    objective,
    model.rawConfig,
    { ...options, dtype: model.dtype, quantization: model.quantization, offloadEmbedding: model.offloadEmbedding },
    targetOf(model),
    budget + processBytes(model.device),
    rows,
  )
  const { settings, planned } = await planner.settle()
  if (!(await planner.runsWithin(settings, planned, budget))) {
    const { remedy } = await planner.alternatives(settings, false)
    throw new OutOfMemoryError(
      `[train] expected a run that fits the memory budget of ${formatBytes(budget)}, but its tensors take ${formatBytes(planned.peakTensors)}${planned.peakTensors <= budget ? ' and gaps between them' : ''}; ` +
        `${describeRemedy(remedy, model.device)}. \`lowrank plan\` shows what takes how much${options.training.streaming ? '. With streaming it is planned for rows of maxLength tokens: lower that, where rows are shorter' : ''}`,
      { needed: planned.peakTensors, budget },
    )
  }
  return { gradientCheckpointing: settings.gradientCheckpointing, peakResident: planned.peakResident }
}

/** What a run is told of its plan. */
export interface MemoryEstimate {
  readonly gradientCheckpointing: GradientCheckpointing
  /** As a plan has it. */
  readonly peakResident: number
}

/** What a plan needs of a model and its device, which may be closed by then. */
type MemoryTarget = Pick<Device, 'type' | 'isGpu'> & Pick<CausalLM, 'hasOwnHead'>

function targetOf({ device, hasOwnHead }: CausalLM): MemoryTarget {
  return { type: device.type, isGpu: device.isGpu, hasOwnHead }
}

class Planner<I extends Item> {
  readonly memory: number
  readonly #objective: Objective<I>
  readonly #config: RawConfig
  readonly #options: ResolvedTrainOptions
  readonly #target: MemoryTarget
  readonly #rows: RowLengths
  /** What the allocator reserved for planned settings. */
  readonly #reserved = new WeakMap<PlanSettings, number>()

  constructor(
    objective: Objective<I>,
    config: RawConfig,
    options: ResolvedTrainOptions,
    target: MemoryTarget,
    memory: number,
    rows: RowLengths,
  ) {
    this.memory = memory
    this.#objective = objective
    this.#config = config
    this.#options = options
    this.#target = target
    this.#rows = rows
  }

  /** The settings without 'auto': as much checkpointing as makes the run fit. */
  async settle(): Promise<{ settings: PlanSettings; planned: PlannedMemory }> {
    const { method, dtype, quantization, offloadEmbedding, training } = this.#options
    const settings: PlanSettings = {
      method,
      dtype: dtype === 'auto' ? defaultDType(this.#target, quantization) : dtype,
      quantization,
      offloadEmbedding: this.#target.isGpu && offloadEmbedding === true,
      perDeviceTrainBatchSize: training.perDeviceTrainBatchSize,
      ...(training.maxTokensPerBatch !== undefined && { maxTokensPerBatch: training.maxTokensPerBatch }),
      gradientAccumulationSteps: training.gradientAccumulationSteps,
      maxLength: this.#rows.longest,
      gradientCheckpointing: training.gradientCheckpointing === 'auto' ? false : training.gradientCheckpointing,
    }
    let settled = { settings, planned: await this.#planned(settings) }
    if (training.gradientCheckpointing !== 'auto') return settled
    for (const gradientCheckpointing of [true, 'full'] as const) {
      if (settled.planned.fits) break
      const more = { ...settings, gradientCheckpointing }
      settled = { settings: more, planned: await this.#planned(more) }
    }
    return settled
  }

  /**
   * Other settings; and of these, where the present ones do not fit, one that is enough, or as many as it takes, the
   * cheapest first.
   */
  async alternatives(settings: PlanSettings, fits: boolean): Promise<Pick<TrainingPlan, 'alternatives' | 'remedy'>> {
    const attempt = async (change: Partial<PlanSettings>): Promise<PlanAlternative> => ({
      change,
      ...(await this.#planned({ ...settings, ...change })),
    })
    const alternatives: PlanAlternative[] = []
    for (const change of changesOf(settings, this.#target)) alternatives.push(await attempt(change))
    let remedy = fits ? undefined : alternatives.find((alternative) => alternative.fits)
    let change: Partial<PlanSettings> = {}
    for (const next of fits || remedy ? [] : alternatives) {
      change = { ...change, ...next.change }
      const together = await attempt(change)
      if (together.fits) {
        remedy = together
        break
      }
    }
    return { alternatives, remedy }
  }

  /**
   * Whether a run whose memory was planned ends within a budget of tensors: where blocks lie may make it need more than
   * its peak.
   */
  async runsWithin(settings: PlanSettings, { peakTensors }: PlannedMemory, budget: number): Promise<boolean> {
    const reserved = this.#reserved.get(settings) ?? Number.POSITIVE_INFINITY
    if (reserved <= budget) return true
    return peakTensors <= budget && (await runsWithin(this.#runOf(settings), budget))
  }

  async #planned(settings: PlanSettings): Promise<PlannedMemory> {
    const { need, reserved } = await measureOnDryDevice(this.#runOf(settings))
    this.#reserved.set(settings, reserved)
    const own = processBytes(this.#target)
    const peakResident = need.residentTensors + own
    const planned = {
      ...need,
      process: own,
      peakResident,
      peakLoading: need.residentByLoading + own,
      fits: peakResident <= this.memory,
    }
    if (!planned.fits) return planned
    return { ...planned, fits: await this.runsWithin(settings, planned, this.memory - own) }
  }

  #runOf(settings: PlanSettings): MemoryEstimateInput<I> {
    const { lora, training, threads } = this.#options
    const {
      longest,
      sequenceLengths,
      evalSequenceLengths,
      weighted = false,
      evalWeighted = false,
      answers,
    } = this.#rows
    const { perDeviceTrainBatchSize, maxTokensPerBatch, maxLength } = settings
    const asGiven =
      perDeviceTrainBatchSize === training.perDeviceTrainBatchSize &&
      maxTokensPerBatch === training.maxTokensPerBatch &&
      maxLength === longest
    return {
      objective: this.#objective,
      device: this.#target.type,
      config: this.#config,
      dtype: settings.dtype,
      quantization: settings.quantization,
      offloadEmbedding: settings.offloadEmbedding,
      lora,
      gradientCheckpointing: settings.gradientCheckpointing,
      gradientAccumulationSteps: settings.gradientAccumulationSteps,
      sequenceLengths: asGiven ? sequenceLengths : fullBatch(settings, this.#objective.sequencesPerItem),
      evalSequenceLengths: evalSequenceLengths.map((length) => Math.min(length, maxLength)),
      weighted,
      evalWeighted,
      answers,
      threads,
    }
  }
}

/** What tasks and sample prompts take where none of their rows is known: prompts of `maxLength` tokens. */
function plannedAnswers(
  { evalTasks = [], samplePrompts, sampleGeneration, training }: ResolvedTrainOptions,
  positions: number,
): AnswerSizes | undefined {
  const most = [
    ...evalTasks.map((task) => (task.type === 'generation' ? (task.generation?.maxNewTokens ?? TASK_TOKENS) : 1)),
    ...(samplePrompts === undefined ? [] : [sampleGeneration?.maxNewTokens ?? SAMPLE_TOKENS]),
  ]
  if (most.length === 0) return undefined
  const maxNewTokens = Math.min(positions - 1, Math.max(...most))
  const promptTokens = Math.min(training.maxLength, positions - maxNewTokens)
  return { batchSize: training.perDeviceEvalBatchSize, promptTokens, maxNewTokens }
}

/** Lengths of the sequences of a micro-batch whose items are as long as they may be. */
export function fullBatch(
  {
    perDeviceTrainBatchSize,
    maxTokensPerBatch,
    maxLength,
  }: Pick<PlanSettings, 'perDeviceTrainBatchSize' | 'maxTokensPerBatch' | 'maxLength'>,
  sequencesPerItem: number,
): number[] {
  const sequences = (items: number): number[] => new Array<number>(items * sequencesPerItem).fill(maxLength)
  if (maxTokensPerBatch === undefined) return sequences(perDeviceTrainBatchSize)
  const whole = Math.floor(maxTokensPerBatch / (maxLength * sequencesPerItem))
  const rest = maxTokensPerBatch - whole * maxLength * sequencesPerItem
  return sequencesPerItem > 1 || rest < 2 ? sequences(whole) : [...sequences(whole), rest]
}

/** Changes that save memory, those that cost least first: nothing, time, precision, data. */
function changesOf(settings: PlanSettings, { isGpu, hasOwnHead }: MemoryTarget): Partial<PlanSettings>[] {
  const {
    perDeviceTrainBatchSize: rows,
    gradientAccumulationSteps,
    gradientCheckpointing,
    dtype,
    maxTokensPerBatch,
    maxLength,
    quantization,
    offloadEmbedding,
    method,
  } = settings
  const changes: Partial<PlanSettings>[] = []
  if (maxTokensPerBatch !== undefined) {
    if (maxTokensPerBatch > maxLength)
      changes.push({
        maxTokensPerBatch: maxLength,
        gradientAccumulationSteps: gradientAccumulationSteps * Math.ceil(maxTokensPerBatch / maxLength),
      })
  } else if (rows > 1)
    changes.push({ perDeviceTrainBatchSize: 1, gradientAccumulationSteps: gradientAccumulationSteps * rows })
  if (isGpu && hasOwnHead && method === 'lora' && !offloadEmbedding) changes.push({ offloadEmbedding: true })
  if (!gradientCheckpointing) changes.push({ gradientCheckpointing: true })
  if (gradientCheckpointing !== 'full') changes.push({ gradientCheckpointing: 'full' })
  if (dtype === 'float32') changes.push({ dtype: 'bfloat16' })
  if (method === 'lora' && !quantization) changes.push({ quantization: 'nf4' })
  if (maxLength >= 256) changes.push({ maxLength: maxLength >> 1 })
  return changes
}

/** A change as one writes it: `perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 16`. */
export function describeChange(change: Partial<PlanSettings>): string {
  return Object.entries(change)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ')
}

/** What to do about a plan that does not fit, in words. */
export function describeRemedy(remedy: PlanAlternative | undefined, { isGpu }: Pick<Device, 'isGpu'>): string {
  if (!remedy) return `no setting makes it fit: use a smaller model or a ${isGpu ? 'GPU' : 'machine'} with more memory`
  const whose = isGpu ? 'on the GPU' : 'for the whole process'
  return `it would fit with ${describeChange(remedy.change)} (${formatBytes(remedy.peakResident)} ${whose})`
}

/** Device and model, bytes that tensors may take of it, and positions that the model has. */
function readLimits(
  config: RawConfig,
  where: string,
  { device: name, memoryBudget }: ResolvedTrainOptions,
): { target: MemoryTarget; budget: number; positions: number } {
  const device = Device.open(name, { dryRun: true, memoryBudget })
  try {
    const model = new CausalLM(findArchitecture(config, where), config, device, 'float32', where)
    return {
      target: targetOf(model),
      budget: plannedBudget(device, memoryBudget),
      positions: model.config.maxPositionEmbeddings,
    }
  } finally {
    device.close()
  }
}
