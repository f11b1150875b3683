/**
 * @file The options in `training` of what happens while a run goes on: evaluations, checkpoints, logs, and when it ends
 * before its last step. How they go together is in resolve-during-run.ts.
 */

import { boolean, either, exactly, integer, number, oneOf, textOf } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'

/** When something happens during a run. */
export type IntervalStrategy = 'no' | 'steps' | 'epoch'

/** When checkpoints are written. */
export type SaveStrategy = IntervalStrategy | 'best'

/** What transformers' TrainingArguments and EarlyStoppingCallback hold of it, in camelCase. */
export interface DuringRunOptions {
  /**
   * When to evaluate. 'auto': when there is something to evaluate on, every `evalSteps` where those are given, else
   * each epoch; with `loadBestModelAtEnd` as `saveStrategy` says where that is given.
   * @default 'auto'
   */
  evalStrategy?: IntervalStrategy | 'auto'
  /**
   * Optimizer steps between two evaluations with evalStrategy 'steps'.
   * @default 100
   */
  evalSteps?: number
  /**
   * Steps, or with evalStrategy 'epoch' epochs, before the first evaluation.
   * @default 0
   */
  evalDelay?: number
  /**
   * Evaluate before the first step too. `metricForBestModel` leaves that evaluation out.
   * @default false
   */
  evalOnStart?: boolean
  /**
   * When to write a checkpoint into `outputDir`; 'best' after each evaluation that is the best one so far. A run that
   * is stopped writes one in any case.
   * @default 'steps'; with `loadBestModelAtEnd` what `evalStrategy` is
   */
  saveStrategy?: SaveStrategy
  /**
   * Optimizer steps between two checkpoints with saveStrategy 'steps'.
   * @default 500; with `loadBestModelAtEnd` what `evalSteps` is
   */
  saveSteps?: number
  /**
   * Checkpoints kept; null keeps all. The last one and the best one are always kept.
   * @default null
   */
  saveTotalLimit?: number | null
  /**
   * At the end of the run take the weights of the best checkpoint instead of the last ones. Evaluations and checkpoints
   * must come together: the same strategy, and `saveSteps` a multiple of `evalSteps`, or saveStrategy 'best'.
   * @default false
   */
  loadBestModelAtEnd?: boolean
  /**
   * What the best evaluation is judged by, with or without `eval_` in front: 'loss', 'NAME_loss' for one of several
   * data sets, 'TASK_METRIC' for a task.
   * @default 'loss' with `loadBestModelAtEnd`, `earlyStoppingPatience` and saveStrategy 'best', else none
   */
  metricForBestModel?: string
  /**
   * Whether more of `metricForBestModel` is better.
   * @default false where its name ends in loss or perplexity; for tasks as the metric is meant; else true
   */
  greaterIsBetter?: boolean
  /**
   * End the run after so many evaluations in a row that did not improve `metricForBestModel`.
   * @default none
   */
  earlyStoppingPatience?: number
  /**
   * An evaluation improves only by more than this.
   * @default 0
   */
  earlyStoppingThreshold?: number
  /**
   * Optimizer steps that one log event averages over.
   * @default 10
   */
  loggingSteps?: number
  /**
   * Log the first step too.
   * @default false
   */
  loggingFirstStep?: boolean
  /**
   * Tell in each log event the memory of the process and of the device.
   * @default false
   */
  includeMemoryMetrics?: boolean
  /**
   * Tell in each log event the norm of the gradients of each layer.
   * @default false
   */
  logGradNorms?: boolean
  /**
   * What the run is called: in the event `start`, in the model card and as `trial_name` in trainer_state.json, which
   * has no other field for it.
   * @default none
   */
  runName?: string
}

const INTERVALS = ['no', 'steps', 'epoch'] as const

/** The options of what happens during a run. */
export const DURING_RUN_OPTIONS = {
  evalStrategy: {
    heading: 'What happens during the run',
    rule: oneOf([...INTERVALS, 'auto']),
    default: 'auto',
    help: 'when to evaluate; auto: where there are rows for it, every evalSteps where given, else each epoch',
    aliases: ['evaluationStrategy'],
  },
  evalSteps: { rule: integer({ min: 1 }), default: 100, help: 'optimizer steps between two evaluations' },
  evalDelay: {
    rule: number({ min: 0 }),
    default: 0,
    help: 'steps, or with evalStrategy epoch epochs, before the first evaluation',
  },
  evalOnStart: { rule: boolean, default: false, help: 'evaluate before the first step too' },
  saveStrategy: {
    rule: oneOf([...INTERVALS, 'best']),
    default: 'steps',
    help: 'when to write a checkpoint into outputDir: no, steps, epoch, or best: after the best evaluation so far',
  },
  saveSteps: { rule: integer({ min: 1 }), default: 500, help: 'optimizer steps between two checkpoints' },
  saveTotalLimit: {
    rule: either(integer({ min: 1 }), exactly(null, 'keep all')),
    default: null,
    help: 'checkpoints that are kept, the last and the best one among them; null keeps all',
  },
  loadBestModelAtEnd: {
    rule: boolean,
    default: false,
    help: 'end with the weights of the best checkpoint; saveStrategy is evalStrategy then, or best',
    flag: { name: '--load-best-model-at-end', help: 'end with the weights of the best checkpoint' },
  },
  metricForBestModel: {
    rule: textOf('the name of a metric, as loss'),
    example: 'loss',
    otherwise: 'loss where the best evaluation counts, else none',
    help: 'what the best evaluation is judged by: loss, NAME_loss of one of several data sets, TASK_METRIC',
    flag: { name: '--metric-for-best-model', argument: 'name' },
  },
  greaterIsBetter: {
    rule: boolean,
    example: true,
    otherwise: 'no for loss and perplexity; for tasks as the metric is meant; else yes',
    help: 'whether more of metricForBestModel is better',
  },
  earlyStoppingPatience: {
    rule: integer({ min: 1 }),
    example: 3,
    otherwise: 'none, the run takes all of its steps',
    help: 'end the run after so many evaluations in a row that did not improve metricForBestModel',
    flag: { name: '--early-stopping-patience', argument: 'count' },
  },
  earlyStoppingThreshold: {
    rule: number({ min: 0 }),
    default: 0,
    help: 'an evaluation improves only by more than this',
  },
  loggingSteps: { rule: integer({ min: 1 }), default: 10, help: 'optimizer steps that one log line averages over' },
  loggingFirstStep: { rule: boolean, default: false, help: 'log the first step too' },
  includeMemoryMetrics: {
    rule: boolean,
    default: false,
    help: 'tell in each log event the memory of the process and of the device',
  },
  logGradNorms: {
    rule: boolean,
    default: false,
    help: 'tell in each log event the norm of the gradients of each layer',
  },
  runName: {
    rule: textOf('the name of a run'),
    example: 'risk-8k',
    otherwise: 'none',
    help: 'what the run is called by trackers, in its model card and in trainer_state.json',
    flag: { name: '--run-name', argument: 'name' },
  },
} as const satisfies OptionTable<DuringRunOptions>
