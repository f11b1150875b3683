/** @file The options in `training` of `trainLora`: types, every default, and what each may be. */

import type { GradientCheckpointing } from '../autograd/gradient-checkpointing.js'
import { DATA_OPTIONS, type DataOptions, type ResolvedDataOptions } from '../data/options.js'
import { boolean, either, exactly, float32, integer, number, oneOf } from '../options/rules.js'
import { defaultsOf, type OptionTable } from '../options/table.js'
import { DURING_RUN_OPTIONS, type DuringRunOptions, type IntervalStrategy } from './during-run-options.js'
import { LR_SCHEDULER_TYPES, type LrSchedulerType } from './schedule.js'

/** What transformers' TrainingArguments and TRL's SFTConfig hold, in camelCase. Each field says its default. */
export interface TrainingOptions extends DataOptions, DuringRunOptions {
  /**
   * Bytes of encoded rows (4 per token and a few per row) that stay in memory. Those beyond lie in a file without a
   * name in `outputDir`, or in the cache folder where there is none; its space is free when the run ends. Changes no
   * batch.
   * @default a sixteenth of the memory that is available (and of `memoryBudget` on a CPU), from 8 MiB to 128 MiB, as
   * for 33 million tokens
   */
  dataMemory?: number
  /**
   * Take rows that an earlier run has encoded, and keep those of this run: of files, from 2,048 rows on, in
   * `encoded-rows` of the cache folder (LOWRANK_CACHE, else ~/.cache/lowrank), 20 GiB at most. The same files,
   * tokenizer and options give the same rows; whatever differs is encoded anew.
   * @default true
   */
  loadFromCacheFile?: boolean
  /**
   * Look at the encoded rows before the first step and warn of what wastes a run: stop and BOS tokens that are missing,
   * doubled or not learnt, equal rows, and prompts of `evalDataset`. `lowrank data check` looks for more. Changes no
   * batch.
   * @default true
   */
  checkData?: boolean
  /**
   * Train on the rows as they come: the first step is made before all have arrived, the order of rows is drawn in a
   * buffer of `shuffleBufferSize` rows, each pass reads them anew, and memory does not grow with their number. Steps
   * are counted by `maxSteps`, or by `numTrainEpochs` where the source knows how many rows it has. False encodes all
   * rows first.
   * @default true where `dataset` says `streaming: true`, and for a table of Unity Catalog where nothing that is asked
   * for needs all rows first; else false
   */
  streaming?: boolean
  /**
   * With `streaming`: rows that are held in memory to draw the order from, as `buffer_size` of `shuffle` of the package
   * datasets. The first step waits for as many. A buffer that holds all rows gives any order. Without `shuffle` only
   * packs and groups of similar length are made of so many.
   * @default 1000
   */
  shuffleBufferSize?: number
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
}

/** Optimizer steps of a run: what the engine counts to. */
export const MOST_STEPS = 2 ** 31 - 1

/** Rows per optimizer step that `gradientAccumulationSteps: 'auto'` makes. */
export const EFFECTIVE_BATCH_SIZE = 16

/** The options of `training` but those of the data. */
export const OWN_TRAINING_OPTIONS = {
  streaming: {
    heading: 'Rows as they come',
    rule: boolean,
    example: true,
    otherwise: 'what the data set says; true for a table of Unity Catalog where nothing needs all rows first',
    help: 'train on the rows as they come, before all have arrived',
    flag: { name: '--streaming' },
  },
  shuffleBufferSize: {
    rule: integer({ min: 1, max: 2 ** 31 - 1 }),
    default: 1000,
    help: 'with streaming: rows that are held to draw the order from',
    changesRun: 'fromDefault',
    flag: { name: '--shuffle-buffer-size', argument: 'rows' },
  },
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
    example: 2 ** 27,
    otherwise: 'a sixteenth of the memory that is available, from 8 MiB to 128 MiB',
    help: 'bytes of encoded rows that stay in memory; the others lie in a file, which changes no batch',
  },
  loadFromCacheFile: {
    rule: boolean,
    default: true,
    help: 'take rows of the same files, tokenizer and options that an earlier run encoded, and keep those of this run',
  },
  checkData: {
    rule: boolean,
    default: true,
    help: 'warn before the first step of rows that waste a run: stop and BOS tokens, equal rows, prompts of evalDataset',
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
  ...DURING_RUN_OPTIONS,
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
        | keyof DataOptions
        | 'gradientAccumulationSteps'
        | 'evalStrategy'
        | 'warmupSteps'
        | 'maxTokensPerBatch'
        | 'dataMemory'
        | 'runName'
        | 'streaming'
        | 'metricForBestModel'
        | 'greaterIsBetter'
        | 'earlyStoppingPatience'
      >
    > {
  /** Undefined: not, as nobody asked for it. */
  streaming: boolean | undefined
  /** Undefined: what `usualDataMemory` gives. */
  dataMemory: number | undefined
  /** Undefined: `perDeviceTrainBatchSize` counts. */
  maxTokensPerBatch: number | undefined
  gradientAccumulationSteps: number
  evalStrategy: IntervalStrategy
  /** Undefined: `warmupRatio` counts. */
  warmupSteps: number | undefined
  /** Undefined: none was given. */
  runName: string | undefined
  /** As it was given or is usual; undefined: no evaluation is better than another. */
  metricForBestModel: string | undefined
  /** Undefined: as the metric is meant. */
  greaterIsBetter: boolean | undefined
  /** Undefined: the run takes all of its steps. */
  earlyStoppingPatience: number | undefined
}
