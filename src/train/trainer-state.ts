/**
 * @file trainer_state.json as transformers' Trainer writes it
 * (https://huggingface.co/docs/transformers/main_classes/callback#transformers.TrainerState), for tools that plot a
 * run. Nothing but `log_history` and `best_model_checkpoint` is read back from it.
 */

import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { isJsonObject, parseJsonObject } from '../weights/strict-json.js'
import type { BestModel } from './best-model.js'
import type { EndEvent, EvaluateEvent, LogEvent } from './events.js'
import type { ResolvedTrainingOptions } from './training-options.js'

export const TRAINER_STATE_FILE = 'trainer_state.json'

/** An entry of `log_history`. Numbers that are not finite are null, as JSON has none. */
export type LogEntry = Readonly<Record<string, number | null>>

/** The entry of the steps since the last one. */
export function logEntry({ epoch, figures, gradNorm, learningRate, loss, step }: LogEvent): LogEntry {
  return { epoch, grad_norm: gradNorm, learning_rate: learningRate, loss, ...figures, step }
}

/** An evaluation of one data set, or of one task. */
export interface EvaluatedPart {
  /** Scores by their names with `eval_` in front. */
  readonly metrics: Readonly<Record<string, number | null>>
  /** What times begin with: `eval`, `eval_NAME`. */
  readonly prefix: string
  readonly seconds: number
  readonly rows: number
  /** Absent for tasks. */
  readonly batches?: number
}

/** The entry of an evaluation. */
export function evaluationEntry(
  { epoch, step }: Pick<EvaluateEvent, 'epoch' | 'step'>,
  { metrics, prefix, seconds, rows, batches }: EvaluatedPart,
): LogEntry {
  return {
    epoch,
    ...metrics,
    [`${prefix}_runtime`]: rounded(seconds, 4),
    [`${prefix}_samples_per_second`]: rounded(rows / seconds, 3),
    ...(batches !== undefined && { [`${prefix}_steps_per_second`]: rounded(batches / seconds, 3) }),
    step,
  }
}

/** The last entry of a completed run. `rows` and `steps` are those of this run alone, as its time is. */
export function summaryEntry(
  { epoch, loss, seconds, step }: EndEvent,
  { rows, steps }: { rows: number; steps: number },
): LogEntry {
  return {
    epoch,
    step,
    total_flos: 0,
    // Undefined where the run had nothing left to do.
    train_loss: loss ?? null,
    train_runtime: rounded(seconds, 4),
    train_samples_per_second: rounded(rows / seconds, 3),
    train_steps_per_second: rounded(steps / seconds, 3),
  }
}

/** Where a run stands, for its `trainer_state.json`. */
export interface TrainerStateSource {
  readonly step: number
  readonly epoch: number
  readonly totalSteps: number
  /** Passes that the run takes, the last one begun counted whole. */
  readonly numTrainEpochs: number
  readonly numInputTokensSeen: number
  readonly training: ResolvedTrainingOptions
  readonly history: readonly LogEntry[]
  /** Undefined: no evaluation is better than another. */
  readonly bestModel: BestModel | undefined
}

/** The content of `trainer_state.json`, its keys in transformers' order, which is that of the alphabet. */
export function trainerStateText(source: TrainerStateSource): string {
  const { training, bestModel } = source
  const { best, checkpoint, earlyStopping } = bestModel ?? {}
  const state = {
    best_global_step: best?.step ?? null,
    best_metric: best?.value ?? null,
    best_model_checkpoint: checkpoint ?? null,
    epoch: source.epoch,
    eval_steps: training.evalSteps,
    global_step: source.step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: source.history,
    logging_steps: training.loggingSteps,
    max_steps: source.totalSteps,
    num_input_tokens_seen: source.numInputTokensSeen,
    num_train_epochs: source.numTrainEpochs,
    save_steps: training.saveSteps,
    stateful_callbacks: earlyStopping ? { EarlyStoppingCallback: earlyStopping.state() } : {},
    total_flos: 0,
    train_batch_size: training.perDeviceTrainBatchSize,
    trial_name: training.runName ?? null,
    trial_params: null,
  }
  return `${JSON.stringify(state, null, 2)}\n`
}

/** What a run that goes on continues. */
export interface StoredTrainerState {
  readonly history: readonly LogEntry[]
  /** As the run that wrote it had it. */
  readonly bestCheckpoint: string | undefined
}

/** @throws naming the file where the entries are no log */
export function parseTrainerState(file: string, bytes: Uint8Array): StoredTrainerState {
  const { log_history: history, best_model_checkpoint: best } = parseJsonObject('resume', file, bytes)
  const isEntry = (value: unknown): value is LogEntry =>
    isJsonObject(value) && Object.values(value).every((item) => typeof item === 'number' || item === null)
  if (Array.isArray(history) && history.every(isEntry))
    return { history, bestCheckpoint: typeof best === 'string' ? best : undefined }
  throw new LowrankError(
    'CHECKPOINT',
    `[resume] expected a list of figures for log_history, got ${describeValue(history)} in ${file}; go on from an earlier checkpoint`,
  )
}

function rounded(value: number, digits: number): number | null {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : null
}
