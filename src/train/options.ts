/**
 * @file The options of `trainLora`: types, every default, and what each may be. How they go together is in
 * resolve-options.ts.
 */

import { LORA_OPTIONS, type LoraConfig } from '../adapters/lora-config.js'
import type { GradientCheckpointing } from '../autograd/gradient-checkpointing.js'
import { DATA_OPTIONS, type DataOptions, type ResolvedDataOptions } from '../data/options.js'
import { FORMAT_NAMES } from '../data/sources/formats.js'
import { type DataSource, isDataSource } from '../data/sources/open-source.js'
import { HUB_OPTIONS, type HubOptions } from '../hub/settings.js'
import { MODEL_OPTIONS } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import {
  boolean,
  callback,
  either,
  exactly,
  float32,
  instance,
  integer,
  number,
  oneOf,
  type Rule,
  text,
  textOf,
} from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { aliasesOf, defaultsOf, type OptionTable } from '../options/table.js'
import { DEVICE, DEVICE_OPTIONS, type DeviceName } from '../tensor/device.js'
import { COMPUTE_DTYPES, type ComputeDType } from '../tensor/dtype.js'
import type { ForeignTokenizer } from '../tokenizer/adapt.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isObject, isPlainObject } from '../values.js'
import { isCallbacks, type TrainCallback } from './callbacks.js'
import type { TrainEvent } from './events.js'
import { PRESETS, type PresetName } from './presets.js'
import { LR_SCHEDULER_TYPES, type LrSchedulerType } from './schedule.js'

/** When something happens during a run. */
export type IntervalStrategy = 'no' | 'steps' | 'epoch'

/** What transformers' TrainingArguments and TRL's SFTConfig hold, in camelCase. Each field says its default. */
export interface TrainingOptions extends DataOptions {
  /**
   * Bytes of encoded rows (4 per token and a few per row) that stay in memory. Those beyond lie in a file without a
   * name in `outputDir`, or in the cache folder where there is none; its space is free when the run ends. Changes no
   * batch.
   * @default 134217728, as for 33 million tokens
   */
  dataMemory?: number
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
   * Tokens per micro-batch: as many rows as fit, in place of `perDeviceTrainBatchSize`. At least the length of the
   * longest row; not with `packing` or `dataloaderDropLast`.
   * @default none: `perDeviceTrainBatchSize` counts
   */
  maxTokensPerBatch?: number
  /**
   * Rows of similar length come together: of each 50 batches those of a step, sorted by length. The longest row comes
   * first, so that what does not fit fails at once. Not with `packing`.
   * @default false
   */
  groupByLength?: boolean
  /**
   * Leave out the last micro-batch of an epoch where it has fewer rows (with packing packs) than the others.
   * @default false
   */
  dataloaderDropLast?: boolean
  /**
   * Rows that are evaluated together; does not change the result beyond rounding.
   * @default 8
   */
  perDeviceEvalBatchSize?: number
  /**
   * Micro-batches per optimizer step; 'auto' makes 16 rows per step of whatever `perDeviceTrainBatchSize` is, and with
   * `maxTokensPerBatch` it is 1.
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
  /**
   * Directory of a model, a GGUF file, or a Hub id, `org/name` or `org/name@revision`, which is fetched into the Hub
   * cache where it is not there yet.
   */
  model: string
  /**
   * Used instead of the model's own tokenizer; those of transformers.js fit.
   * @default the model's
   */
  tokenizer?: Tokenizer | ForeignTokenizer
  /** Path or glob of JSON Lines, a JSON array, or Parquet, several of them, rows, or an object that reads rows. */
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
   * What the adapter names as its base model: the Hub id of a `model` that is given as a path or a GGUF file. Not with
   * method 'full'.
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
   * Dtype of weights and activations. 'auto': bfloat16 on a GPU, where the processor computes in it, and with
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
   * True: go on from the last checkpoint in `outputDir`; a path: from that checkpoint. Its files are compared with
   * their checksums first.
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
  /**
   * Are told what happens, in order, and waited for: trackers, progress bars, early stopping.
   * @default none
   */
  callbacks?: readonly TrainCallback[]
}

/** Optimizer steps of a run: what the engine counts to. */
export const MOST_STEPS = 2 ** 31 - 1

/** Rows per optimizer step that `gradientAccumulationSteps: 'auto'` makes. */
export const EFFECTIVE_BATCH_SIZE = 16

const INTERVALS = ['no', 'steps', 'epoch'] as const

/** The options of `training` but those of the data. */
export const OWN_TRAINING_OPTIONS = {
  numTrainEpochs: {
    heading: 'How long',
    rule: number({ above: 0 }),
    default: 3,
    help: 'passes over the rows; may be a fraction',
    flag: { name: '--epochs', argument: 'number', group: 'Training' },
  },
  maxSteps: {
    rule: either(integer({ min: 1, max: MOST_STEPS }), exactly(-1, 'no limit')),
    default: -1,
    help: 'optimizer steps, in place of numTrainEpochs; -1: no limit',
    flag: { name: '--max-steps', argument: 'count', help: 'optimizer steps, in place of --epochs; -1: no limit' },
  },
  perDeviceTrainBatchSize: {
    heading: 'Batches',
    rule: integer({ min: 1 }),
    default: 4,
    help: 'rows that are computed together; with packing packs of rows',
    changesRun: true,
    aliases: ['perGpuTrainBatchSize'],
    flag: { name: '--batch-size', argument: 'count' },
  },
  maxTokensPerBatch: {
    rule: integer({ min: 2 }),
    example: 8192,
    otherwise: 'none, perDeviceTrainBatchSize counts',
    help: 'tokens per micro-batch: as many rows as fit, in place of perDeviceTrainBatchSize',
    changesRun: 'fromDefault',
  },
  groupByLength: {
    rule: boolean,
    default: false,
    help: 'put rows of similar length together; the longest comes first',
    changesRun: 'fromDefault',
  },
  dataloaderDropLast: {
    rule: boolean,
    default: false,
    help: 'leave out the last micro-batch of an epoch where it is smaller than the others',
    changesRun: 'fromDefault',
  },
  perDeviceEvalBatchSize: {
    rule: integer({ min: 1 }),
    default: 8,
    help: 'rows that are evaluated together',
    aliases: ['perGpuEvalBatchSize'],
  },
  dataMemory: {
    rule: integer({ min: 0 }),
    default: 2 ** 27,
    help: 'bytes of encoded rows that stay in memory; the others lie in a file, which changes no batch',
  },
  gradientAccumulationSteps: {
    rule: either(integer({ min: 1 }), exactly('auto', `${EFFECTIVE_BATCH_SIZE} rows per step`)),
    default: 'auto',
    help: `micro-batches per optimizer step; auto makes ${EFFECTIVE_BATCH_SIZE} rows per step, with maxTokensPerBatch it is 1`,
    changesRun: true,
  },
  gradientCheckpointing: {
    rule: either(boolean, oneOf(['full', 'auto'])),
    default: 'auto',
    help: 'compute layers again in backward to save memory: true, or full for the least; auto as memory demands',
  },
  learningRate: {
    heading: 'Optimizer (AdamW)',
    rule: float32({ above: 0 }),
    default: 2e-4,
    help: 'highest learning rate of the schedule',
    flag: { name: '--lr', argument: 'number' },
  },
  lrSchedulerType: {
    rule: oneOf(LR_SCHEDULER_TYPES),
    default: 'cosine',
    help: 'how the learning rate falls after warm-up: cosine, linear, constant or constant_with_warmup',
    aliases: ['schedulerType'],
  },
  warmupRatio: {
    rule: number({ min: 0, max: 1 }),
    default: 0.05,
    help: 'share of all steps in which the learning rate rises from 0',
  },
  warmupSteps: {
    rule: integer({ min: 0 }),
    example: 100,
    otherwise: 'none, warmupRatio counts',
    help: 'steps in which the learning rate rises from 0, in place of warmupRatio',
  },
  weightDecay: { rule: float32({ min: 0 }), default: 0, help: 'decoupled weight decay of AdamW, of matrices only' },
  adamBeta1: { rule: float32({ min: 0, below: 1 }), default: 0.9, help: 'decay of the mean of gradients' },
  adamBeta2: { rule: float32({ min: 0, below: 1 }), default: 0.999, help: 'decay of the mean of squared gradients' },
  adamEpsilon: { rule: float32({ above: 0 }), default: 1e-8, help: 'added to the root of the mean square' },
  maxGradNorm: {
    rule: float32({ min: 0 }),
    default: 1,
    help: 'gradients whose norm is above this are scaled down to it; 0 never clips',
  },
  evalStrategy: {
    heading: 'What happens during the run',
    rule: oneOf([...INTERVALS, 'auto']),
    default: 'auto',
    help: 'when to evaluate; auto: where there are rows for it, every evalSteps where given, else each epoch',
    aliases: ['evaluationStrategy'],
  },
  evalSteps: { rule: integer({ min: 1 }), default: 100, help: 'optimizer steps between two evaluations' },
  saveStrategy: {
    rule: oneOf(INTERVALS),
    default: 'steps',
    help: 'when to write a checkpoint into outputDir: no, steps or epoch',
  },
  saveSteps: { rule: integer({ min: 1 }), default: 500, help: 'optimizer steps between two checkpoints' },
  saveTotalLimit: {
    rule: either(integer({ min: 1 }), exactly(null, 'keep all')),
    default: null,
    help: 'checkpoints that are kept; null keeps all',
  },
  loggingSteps: { rule: integer({ min: 1 }), default: 10, help: 'optimizer steps that one log line averages over' },
} as const satisfies OptionTable<Omit<TrainingOptions, keyof DataOptions>>

/** The options of `training`. */
export const TRAINING_OPTIONS = {
  ...OWN_TRAINING_OPTIONS,
  ...DATA_OPTIONS,
} as const satisfies OptionTable<TrainingOptions>

/** Every default of `training`, those of the data left out. */
export const TRAINING_DEFAULTS = defaultsOf(OWN_TRAINING_OPTIONS)

/** `training` with everything filled in and no 'auto' that could be settled without the model. */
export interface ResolvedTrainingOptions
  extends ResolvedDataOptions,
    Required<
      Omit<
        TrainingOptions,
        keyof DataOptions | 'gradientAccumulationSteps' | 'evalStrategy' | 'warmupSteps' | 'maxTokensPerBatch'
      >
    > {
  /** Undefined: `perDeviceTrainBatchSize` counts. */
  maxTokensPerBatch: number | undefined
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

/** A path that would be a directory called `~`. */
const isFromHome = (value: unknown): boolean => typeof value === 'string' && HOME.test(value)
const HOME = /^~(?:[/\\]|$)/

/** Rows; a file can hold them or their path. */
const source: Rule = {
  expected: `the path or glob of ${FORMAT_NAMES}, or an iterable of rows`,
  accepts: isDataSource,
  schema: {
    anyOf: [
      { type: 'string', minLength: 1 },
      { type: 'array', items: { type: ['string', 'object'] } },
    ],
  },
}

/** The options of `trainLora`. */
export const TRAIN_LORA_OPTIONS = {
  model: {
    rule: textOf('the directory, .gguf file or Hub id of a model'),
    example: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    help: 'directory, .gguf file or Hub id of the model',
    isRequired: true,
    aliases: ['modelNameOrPath'],
    flag: { name: '--model', argument: 'dir', group: 'Model, rows and result' },
  },
  ...HUB_OPTIONS,
  preset: {
    rule: { ...textOf('the name of a preset'), schema: { enum: Object.keys(PRESETS) } },
    example: 'qlora-all-linear',
    help: `a recipe that fills in what you leave open: ${Object.keys(PRESETS).join(', ')}`,
    flag: { name: '--preset', argument: 'name' },
  },
  tokenizer: {
    rule: instance('a tokenizer', (value) => isObject(value) || typeof value === 'function'),
    otherwise: "the model's",
    help: "used in place of the model's tokenizer",
    aliases: ['processingClass'],
  },
  dataset: {
    rule: source,
    example: 'rows.jsonl',
    help: `path or glob of the rows, ${FORMAT_NAMES}`,
    isRequired: true,
    aliases: ['trainDataset'],
    flag: { name: '--dataset', argument: 'path' },
  },
  evalDataset: {
    rule: source,
    example: 'held-out.jsonl',
    help: 'path or glob of rows to evaluate on',
    flag: { name: '--eval-dataset', argument: 'path' },
  },
  outputDir: {
    rule: {
      expected: 'the path of a directory',
      accepts: (value) => text.accepts(value) && !isFromHome(value),
      hint: (value) =>
        isFromHome(value) ? '; only a shell knows ~, and only without quotes: write the whole path' : '',
      schema: { type: 'string', minLength: 1, not: { pattern: HOME.source } },
    },
    example: 'out/run',
    help: 'where checkpoints go, and the result in adapter/ or model/; needed on the command line',
    flag: { name: '--output', argument: 'dir' },
  },
  method: {
    rule: oneOf(['lora', 'full']),
    default: 'lora',
    help: 'lora, or full: train every weight',
    flag: { name: '--method', argument: 'name', group: 'How it is held and computed' },
  },
  baseModelName: {
    rule: textOf('the Hub id or path of a model'),
    example: 'org/name',
    otherwise: 'the Hub id of the model, else its absolute path',
    help: 'Hub id that the adapter names as its base, where model is a path or a GGUF file',
  },
  quantization: MODEL_OPTIONS.quantization,
  offloadEmbedding: MODEL_OPTIONS.offloadEmbedding,
  device: DEVICE,
  dtype: {
    rule: oneOf(['auto', ...COMPUTE_DTYPES]),
    default: 'auto',
    help: 'auto, bfloat16, float16 or float32',
    aliases: ['torchDtype'],
    flag: MODEL_OPTIONS.dtype.flag,
  },
  threads: DEVICE_OPTIONS.threads,
  memoryBudget: DEVICE_OPTIONS.memoryBudget,
  resumeFromCheckpoint: {
    rule: either(boolean, textOf('the path of a checkpoint')),
    default: false,
    help: 'true: go on from the last checkpoint in outputDir; or the path of one',
    flag: { name: '--resume', help: 'go on from the last checkpoint in --output' },
  },
  signal: {
    ...SIGNAL,
    help: 'ends the run after the step in progress, with a checkpoint',
  },
  onEvent: {
    rule: callback,
    help: 'is called with each event of the run, in order',
  },
  callbacks: {
    rule: instance('a list of objects with a name and a function onEvent', isCallbacks),
    help: 'their onEvent is called with each event, in order, and waited for',
  },
  lora: {
    rule: { expected: 'an object of LoRA options', accepts: isPlainObject },
    help: 'settings of the adapter',
    aliases: ['peftConfig'],
    table: LORA_OPTIONS,
  },
  training: {
    rule: { expected: 'an object of training options', accepts: isPlainObject },
    help: 'how long, how fast and on what of the rows it trains',
    table: TRAINING_OPTIONS,
  },
} as const satisfies OptionTable<TrainLoraOptions>

/** The name here of an option beside `training` (no section) or in it, by that or an older name in camelCase. */
export function currentName(section: string | undefined, name: string): string {
  const table: OptionTable = section === undefined ? TRAIN_LORA_OPTIONS : section === 'training' ? TRAINING_OPTIONS : {}
  return aliasesOf(table).get(name) ?? name
}
