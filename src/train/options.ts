/** @file The options of `trainLora`: types, every default, and what each may be. How they go together is in parse-options.ts. */

import type { LoraConfig } from '../adapters/lora-config.js'
import type { GradientCheckpointing } from '../autograd/checkpoint.js'
import type { DataOptions, ResolvedDataOptions } from '../data/options.js'
import type { DataSource } from '../data/rows.js'
import type { HubOptions } from '../hub/settings.js'
import type { Quantization } from '../nn/module.js'
import { DEVICE_NAMES, type DeviceName, isDeviceName } from '../tensor/device.js'
import { COMPUTE_DTYPES, type ComputeDType } from '../tensor/dtype.js'
import type { ForeignTokenizer } from '../tokenizer/adapt.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { TrainEvent } from './events.js'
import { boolean, either, exactly, integer, number, oneOf, type Rule, text } from './option-rules.js'
import type { PresetName } from './presets.js'
import { LR_SCHEDULER_TYPES, type LrSchedulerType } from './schedule.js'

/** When something happens during a run. */
export type IntervalStrategy = 'no' | 'steps' | 'epoch'

/** What transformers' TrainingArguments and TRL's SFTConfig hold, in camelCase. Defaults are in {@link TRAINING_DEFAULTS}. */
export interface TrainingOptions extends DataOptions {
  numTrainEpochs?: number
  /** Optimizer steps; when above 0 it replaces `numTrainEpochs`. */
  maxSteps?: number
  /** Rows (with packing: packs) per micro-batch. */
  perDeviceTrainBatchSize?: number
  perDeviceEvalBatchSize?: number
  /** Micro-batches per optimizer step; 'auto' makes 16 rows per step of whatever `perDeviceTrainBatchSize` is. */
  gradientAccumulationSteps?: number | 'auto'
  /**
   * Recompute layers in backward instead of keeping their activations: true keeps the results of attention, 'full' recomputes those too, so that about
   * half as much is kept per layer. 'auto' does what memory demands. No bit of any result changes.
   */
  gradientCheckpointing?: GradientCheckpointing | 'auto'
  learningRate?: number
  lrSchedulerType?: LrSchedulerType
  /** Share of all steps that the rate rises from 0. Not together with `warmupSteps`. */
  warmupRatio?: number
  warmupSteps?: number
  weightDecay?: number
  adamBeta1?: number
  adamBeta2?: number
  adamEpsilon?: number
  /** Gradients longer than this are scaled down to it; 0 never clips. */
  maxGradNorm?: number
  /** 'auto': when there is something to evaluate on, every `evalSteps` where those are given, else each epoch. */
  evalStrategy?: IntervalStrategy | 'auto'
  evalSteps?: number
  saveStrategy?: IntervalStrategy
  saveSteps?: number
  /** Checkpoints kept; null keeps all. */
  saveTotalLimit?: number | null
  /** Steps that one log event averages over. */
  loggingSteps?: number
}

/** Options of `trainLora`. Those of `HubOptions` count where the model is one of the Hub. */
export interface TrainLoraOptions extends HubOptions {
  /** A recipe for what the other options leave open; see `PRESETS`. */
  preset?: PresetName
  /** Directory of a model, a GGUF file, or a Hub id, `org/name` or `org/name@revision`, which is fetched into the Hub cache where it is not there yet. */
  model: string
  /** Used instead of the model's own tokenizer; those of transformers.js fit. */
  tokenizer?: Tokenizer | ForeignTokenizer
  /** Path or glob of JSON Lines, or rows. */
  dataset: DataSource
  /** Rows to evaluate on; or hold some of `dataset` out with `training.evalSplit`. */
  evalDataset?: DataSource
  /** 'full' trains every weight of the model instead of an adapter. Default 'lora'. */
  method?: 'lora' | 'full'
  lora?: Partial<LoraConfig>
  /**
   * What the adapter names as its base model: the Hub id of a `model` that is given as a path or a GGUF file. Default: the Hub id, else the absolute path.
   * Not with method 'full'.
   */
  baseModelName?: string
  /** 'nf4' (QLoRA): the frozen projections are held in 4 bits; see `loadModel`. Not with method 'full'. */
  quantization?: Quantization
  /** On a GPU: the embeddings stay in the machine's memory; see `loadModel`. Not with method 'full'. Default false. */
  offloadEmbedding?: boolean
  training?: TrainingOptions
  /** Where checkpoints go; without it none are written. */
  outputDir?: string
  /** Where it trains; default 'cpu'. GPUs need the engine with CUDA, see `lowrank doctor`. */
  device?: DeviceName
  /**
   * Of weights and activations. 'auto' (default): bfloat16 on a GPU, where the processor computes in it, and with `quantization`, else float32. With
   * 'float16' the loss is scaled as torch.amp.GradScaler does it.
   */
  dtype?: ComputeDType | 'auto'
  /** Of the CPU. Default: the physical cores that the process may use. */
  threads?: number
  /** Bytes that tensors may take. Default: 90 % of the device's memory that is available. */
  memoryBudget?: number
  /** true: go on from the last checkpoint in `outputDir`; a path: from that checkpoint. */
  resumeFromCheckpoint?: boolean | string
  /** Ends the run after the step in progress, with a checkpoint; before the first step it throws the signal's reason. */
  signal?: AbortSignal
  onEvent?: (event: TrainEvent) => void
}

/** Every default of `training`, those of the data among them in src/data/options.ts. */
export const TRAINING_DEFAULTS = {
  numTrainEpochs: 3,
  maxSteps: -1,
  perDeviceTrainBatchSize: 4,
  perDeviceEvalBatchSize: 8,
  gradientAccumulationSteps: 'auto',
  gradientCheckpointing: 'auto',
  learningRate: 2e-4,
  lrSchedulerType: 'cosine',
  warmupRatio: 0.05,
  warmupSteps: undefined,
  weightDecay: 0,
  adamBeta1: 0.9,
  adamBeta2: 0.999,
  adamEpsilon: 1e-8,
  maxGradNorm: 1,
  evalStrategy: 'auto',
  evalSteps: 100,
  saveStrategy: 'steps',
  saveSteps: 500,
  saveTotalLimit: null,
  loggingSteps: 10,
} as const satisfies Record<Exclude<keyof TrainingOptions, keyof DataOptions>, unknown>

/** Rows per optimizer step that `gradientAccumulationSteps: 'auto'` makes. */
export const EFFECTIVE_BATCH_SIZE = 16

/** `training` with everything filled in and no 'auto' that could be settled without the model. */
export interface ResolvedTrainingOptions
  extends ResolvedDataOptions,
    Required<Omit<TrainingOptions, keyof DataOptions | 'gradientAccumulationSteps' | 'evalStrategy' | 'warmupSteps'>> {
  gradientAccumulationSteps: number
  evalStrategy: IntervalStrategy
  /** Undefined: `warmupRatio` counts. */
  warmupSteps: number | undefined
}

/** What `trainLora` works with. */
export interface ResolvedTrainOptions
  extends Omit<TrainLoraOptions, 'method' | 'lora' | 'training' | 'device' | 'dtype' | 'resumeFromCheckpoint'> {
  method: 'lora' | 'full'
  /** Undefined when `method` is 'full'. */
  lora: LoraConfig | undefined
  training: ResolvedTrainingOptions
  device: DeviceName
  dtype: ComputeDType | 'auto'
  resumeFromCheckpoint: boolean | string
}

/** What each option of `training` may be, those of the data left out. */
export const TRAINING_RULES: Record<keyof typeof TRAINING_DEFAULTS, Rule> = {
  numTrainEpochs: number({ above: 0 }),
  maxSteps: either(integer({ min: 1 }), exactly(-1, 'no limit')),
  perDeviceTrainBatchSize: integer({ min: 1 }),
  perDeviceEvalBatchSize: integer({ min: 1 }),
  gradientAccumulationSteps: either(integer({ min: 1 }), exactly('auto', `${EFFECTIVE_BATCH_SIZE} rows per step`)),
  gradientCheckpointing: either(boolean, oneOf(['full', 'auto'])),
  learningRate: number({ above: 0 }),
  lrSchedulerType: oneOf(LR_SCHEDULER_TYPES),
  warmupRatio: number({ min: 0, max: 1 }),
  warmupSteps: integer({ min: 0 }),
  weightDecay: number({ min: 0 }),
  adamBeta1: number({ min: 0, below: 1 }),
  adamBeta2: number({ min: 0, below: 1 }),
  adamEpsilon: number({ above: 0 }),
  maxGradNorm: number({ min: 0 }),
  evalStrategy: oneOf(['no', 'steps', 'epoch', 'auto']),
  evalSteps: integer({ min: 1 }),
  saveStrategy: oneOf(['no', 'steps', 'epoch']),
  saveSteps: integer({ min: 1 }),
  saveTotalLimit: either(integer({ min: 1 }), exactly(null, 'keep all')),
  loggingSteps: integer({ min: 1 }),
}

/** Whether a value holds options. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isRows = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value)

const source: Rule = {
  expected: 'the path or glob of JSON Lines, or an iterable of rows',
  accepts: (value) => text.accepts(value) || isRows(value),
}

/** What each option beside `training` may be. */
export const TOP_LEVEL_RULES: Record<keyof TrainLoraOptions, Rule> = {
  preset: { ...text, expected: 'the name of a preset' },
  model: { ...text, expected: 'the directory, .gguf file or Hub id of a model' },
  revision: { ...text, expected: 'a branch, tag or commit' },
  token: { ...text, expected: 'an access token as text', isSecret: true },
  cacheDir: { ...text, expected: 'the path of a directory' },
  localFilesOnly: boolean,
  tokenizer: { expected: 'a tokenizer', accepts: (value) => isObject(value) || typeof value === 'function' },
  dataset: source,
  evalDataset: source,
  method: oneOf(['lora', 'full']),
  lora: { expected: 'an object of LoRA options', accepts: isObject },
  baseModelName: { ...text, expected: 'the Hub id or path of a model' },
  quantization: oneOf(['nf4']),
  offloadEmbedding: boolean,
  training: { expected: 'an object of training options', accepts: isObject },
  outputDir: { ...text, expected: 'the path of a directory' },
  device: { expected: DEVICE_NAMES, accepts: isDeviceName },
  dtype: oneOf(['auto', ...COMPUTE_DTYPES]),
  threads: integer({ min: 1 }),
  memoryBudget: integer({ min: 1 }),
  resumeFromCheckpoint: either(boolean, { ...text, expected: 'the path of a checkpoint' }),
  signal: { expected: 'an AbortSignal', accepts: (value) => value instanceof AbortSignal },
  onEvent: { expected: 'a function', accepts: (value) => typeof value === 'function' },
}
