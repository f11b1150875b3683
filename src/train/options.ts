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
import { isObject, isPlainObject } from '../values.js'
import type { TrainEvent } from './events.js'
import { boolean, either, exactly, float32, integer, number, oneOf, type Rule, text } from './option-rules.js'
import type { PresetName } from './presets.js'
import { LR_SCHEDULER_TYPES, type LrSchedulerType } from './schedule.js'

/** When something happens during a run. */
export type IntervalStrategy = 'no' | 'steps' | 'epoch'

/** What transformers' TrainingArguments and TRL's SFTConfig hold, in camelCase. Defaults are in {@link TRAINING_DEFAULTS}. */
export interface TrainingOptions extends DataOptions {
  /**
   * Passes over the training rows; may be a fraction.
   * @default 3
   */
  numTrainEpochs?: number
  /**
   * Optimizer steps; when above 0 it replaces `numTrainEpochs`. -1: no limit.
   * @default -1
   */
  maxSteps?: number
  /**
   * Rows (with packing: packs) per micro-batch.
   * @default 4
   */
  perDeviceTrainBatchSize?: number
  /**
   * Rows that are evaluated together; does not change the result beyond rounding.
   * @default 8
   */
  perDeviceEvalBatchSize?: number
  /**
   * Micro-batches per optimizer step; 'auto' makes 16 rows per step of whatever `perDeviceTrainBatchSize` is.
   * @default 'auto'
   */
  gradientAccumulationSteps?: number | 'auto'
  /**
   * Recompute layers in backward instead of keeping their activations: true keeps the results of attention, 'full'
   * recomputes those too, so that about half as much is kept per layer. 'auto' does what memory demands. No bit of any
   * result changes.
   * @default 'auto'
   */
  gradientCheckpointing?: GradientCheckpointing | 'auto'
  /**
   * Highest learning rate of the schedule, above 0.
   * @default 2e-4
   */
  learningRate?: number
  /**
   * How the learning rate falls after warm-up: 'cosine' or 'linear' to 0, 'constant' (without warm-up) or
   * 'constant_with_warmup' not.
   * @default 'cosine'
   */
  lrSchedulerType?: LrSchedulerType
  /**
   * Share of all steps, from 0 to 1, in which the rate rises from 0. Not together with `warmupSteps`.
   * @default 0.05
   */
  warmupRatio?: number
  /**
   * Steps in which the rate rises from 0, in place of `warmupRatio`.
   * @default none: `warmupRatio` counts
   */
  warmupSteps?: number
  /**
   * Decoupled weight decay of AdamW, of matrices only; at least 0.
   * @default 0
   */
  weightDecay?: number
  /**
   * How much of the running mean of gradients is kept in a step, from 0 to below 1.
   * @default 0.9
   */
  adamBeta1?: number
  /**
   * How much of the running mean of squared gradients is kept in a step, from 0 to below 1.
   * @default 0.999
   */
  adamBeta2?: number
  /**
   * Added to the root of the mean square, above 0.
   * @default 1e-8
   */
  adamEpsilon?: number
  /**
   * Gradients whose norm over all parameters is above this are scaled down to it; 0 never clips.
   * @default 1
   */
  maxGradNorm?: number
  /**
   * When to evaluate. 'auto': when there is something to evaluate on, every `evalSteps` where those are given, else
   * each epoch.
   * @default 'auto'
   */
  evalStrategy?: IntervalStrategy | 'auto'
  /**
   * Optimizer steps between two evaluations with evalStrategy 'steps'.
   * @default 100
   */
  evalSteps?: number
  /**
   * When to write a checkpoint into `outputDir`; a run that is stopped writes one in any case.
   * @default 'steps'
   */
  saveStrategy?: IntervalStrategy
  /**
   * Optimizer steps between two checkpoints with saveStrategy 'steps'.
   * @default 500
   */
  saveSteps?: number
  /**
   * Checkpoints kept; null keeps all.
   * @default null
   */
  saveTotalLimit?: number | null
  /**
   * Optimizer steps that one log event averages over.
   * @default 10
   */
  loggingSteps?: number
}

/** Options of `trainLora`. Those of `HubOptions` count where the model is one of the Hub. */
export interface TrainLoraOptions extends HubOptions {
  /**
   * A recipe for what the other options leave open; see `PRESETS`.
   * @default none
   */
  preset?: PresetName
  /** Directory of a model, a GGUF file, or a Hub id, `org/name` or `org/name@revision`, which is fetched into the Hub cache where it is not there yet. */
  model: string
  /**
   * Used instead of the model's own tokenizer; those of transformers.js fit.
   * @default the model's
   */
  tokenizer?: Tokenizer | ForeignTokenizer
  /** Path or glob of JSON Lines, or rows. */
  dataset: DataSource
  /**
   * Rows to evaluate on; or hold some of `dataset` out with `training.evalSplit`.
   * @default none
   */
  evalDataset?: DataSource
  /**
   * 'full' trains every weight of the model instead of an adapter.
   * @default 'lora'
   */
  method?: 'lora' | 'full'
  /**
   * Settings of the adapter; not with method 'full'.
   * @default every default of `LoraConfig`
   */
  lora?: Partial<LoraConfig>
  /**
   * What the adapter names as its base model: the Hub id of a `model` that is given as a path or a GGUF file. Not with method 'full'.
   * @default the Hub id of the model, else its absolute path
   */
  baseModelName?: string
  /**
   * 'nf4' (QLoRA): the frozen projections are held in 4 bits; see `loadModel`. Not with method 'full'.
   * @default what the checkpoint has
   */
  quantization?: Quantization
  /**
   * On a GPU: the embeddings stay in the machine's memory; see `loadModel`. Not with method 'full'.
   * @default false
   */
  offloadEmbedding?: boolean
  /**
   * How long, how fast and on what of the rows it trains.
   * @default every default of `TrainingOptions`
   */
  training?: TrainingOptions
  /**
   * Directory of checkpoints, log.jsonl, train.yaml, trainer_state.json and README.md; without it none are written.
   * It has a lock: a second run there is refused while one goes on.
   * @default none
   */
  outputDir?: string
  /**
   * Where it trains. GPUs need the engine with CUDA, see `lowrank doctor`.
   * @default 'cpu'
   */
  device?: DeviceName
  /**
   * Of weights and activations. 'auto': bfloat16 on a GPU, where the processor computes in it, and with
   * `quantization`, else float32. With 'float16' the loss is scaled as torch.amp.GradScaler does it.
   * @default 'auto'
   */
  dtype?: ComputeDType | 'auto'
  /**
   * Threads of the CPU that compute.
   * @default the physical cores that the process may use
   */
  threads?: number
  /**
   * Bytes that tensors may take.
   * @default 90 % of the device's memory that is available
   */
  memoryBudget?: number
  /**
   * True: go on from the last checkpoint in `outputDir`; a path: from that checkpoint. Its files are compared with their checksums first.
   * @default false
   */
  resumeFromCheckpoint?: boolean | string
  /**
   * Ends the run after the step in progress, with a checkpoint; before the first step it throws the signal's reason.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Is told what happens, in order; what it throws or rejects with ends the run after its step, with a checkpoint.
   * @default none
   */
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

/** Optimizer steps of a run: what the engine counts to. */
export const MOST_STEPS = 2 ** 31 - 1

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
  maxSteps: either(integer({ min: 1, max: MOST_STEPS }), exactly(-1, 'no limit')),
  perDeviceTrainBatchSize: integer({ min: 1 }),
  perDeviceEvalBatchSize: integer({ min: 1 }),
  gradientAccumulationSteps: either(integer({ min: 1 }), exactly('auto', `${EFFECTIVE_BATCH_SIZE} rows per step`)),
  gradientCheckpointing: either(boolean, oneOf(['full', 'auto'])),
  learningRate: float32({ above: 0 }),
  lrSchedulerType: oneOf(LR_SCHEDULER_TYPES),
  warmupRatio: number({ min: 0, max: 1 }),
  warmupSteps: integer({ min: 0 }),
  weightDecay: float32({ min: 0 }),
  adamBeta1: float32({ min: 0, below: 1 }),
  adamBeta2: float32({ min: 0, below: 1 }),
  adamEpsilon: float32({ above: 0 }),
  maxGradNorm: float32({ min: 0 }),
  evalStrategy: oneOf(['no', 'steps', 'epoch', 'auto']),
  evalSteps: integer({ min: 1 }),
  saveStrategy: oneOf(['no', 'steps', 'epoch']),
  saveSteps: integer({ min: 1 }),
  saveTotalLimit: either(integer({ min: 1 }), exactly(null, 'keep all')),
  loggingSteps: integer({ min: 1 }),
}

const isRows = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value)

/** A path that would be a directory called `~`. */
const isFromHome = (value: unknown): boolean => typeof value === 'string' && /^~(?:[/\\]|$)/.test(value)

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
  lora: { expected: 'an object of LoRA options', accepts: isPlainObject },
  baseModelName: { ...text, expected: 'the Hub id or path of a model' },
  quantization: oneOf(['nf4']),
  offloadEmbedding: boolean,
  training: { expected: 'an object of training options', accepts: isPlainObject },
  outputDir: {
    expected: 'the path of a directory',
    accepts: (value) => text.accepts(value) && !isFromHome(value),
    hint: (value) => (isFromHome(value) ? '; only a shell knows ~, and only without quotes: write the whole path' : ''),
  },
  device: { expected: DEVICE_NAMES, accepts: isDeviceName },
  dtype: oneOf(['auto', ...COMPUTE_DTYPES]),
  threads: integer({ min: 1 }),
  memoryBudget: integer({ min: 1 }),
  resumeFromCheckpoint: either(boolean, { ...text, expected: 'the path of a checkpoint' }),
  signal: { expected: 'an AbortSignal', accepts: (value) => value instanceof AbortSignal },
  onEvent: { expected: 'a function', accepts: (value) => typeof value === 'function' },
}
