/** @file What a training run reports while it goes on. Plain objects, safe to write as JSON lines. */

import type { GradientCheckpointing } from '../autograd/gradient-checkpointing.js'
import type { DataStatistics, DataWarning } from '../data/report.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import type { DownloadEvent } from '../hub/download-event.js'
import type { Quantization } from '../nn/module.js'
import type { PresetName } from './presets.js'

/** Where a run stands. */
export interface Progress {
  /** Optimizer steps done. */
  readonly step: number
  readonly totalSteps: number
  /** Passes through the data, as a fraction. */
  readonly epoch: number
}

/** Which data set an event speaks of: `dataset` (which also holds the rows of `evalSplit`), or `evalDataset`. */
export type DataSplit = 'train' | 'eval'

/**
 * Rows are being read and encoded. The first of a data set has 0 rows, the last all; between them come at most ten a
 * second.
 */
export interface PrepareEvent {
  readonly type: 'prepare'
  readonly split: DataSplit
  /** Which data set of `evalDataset`, where it names several. */
  readonly name?: string
  /** Rows encoded so far. */
  readonly rows: number
  /** Share of the data that has been read, from 0 to 1; absent where its size is not known, as of an iterable. */
  readonly fraction?: number
}

/**
 * What became of the rows of a data set; comes once for each, before the run starts. With `streaming` that of `dataset`
 * comes when its first pass has ended, or the run before that.
 */
export interface DataEvent extends DataStatistics {
  readonly type: 'data'
  readonly split: DataSplit
  /** Which data set of `evalDataset`, where it names several. */
  readonly name?: string
  /** The files or tables that the rows came from, with their hashes; empty where a program gave the rows. */
  readonly lineage: readonly SourceLineage[]
  /** The rows were encoded by an earlier run and kept since. Absent where this run encoded them. */
  readonly isCached?: true
  /** The run ended before it had taken all rows: what is told is of those that it took. Else absent. */
  readonly isPartial?: true
  /** Longest row in tokens, as used. */
  readonly maxLength: number
  /** Present where the model has fewer positions than `maxLength` asked for. */
  readonly clippedMaxLength?: { readonly wanted: number; readonly used: number }
  /** What was lost, or not as asked for; empty where nothing was. */
  readonly warnings: readonly DataWarning[]
}

/** The model is being read; rows are prepared meanwhile. */
export interface LoadEvent {
  readonly type: 'load'
  readonly model: string
  /** What its projections are turned into on the way; null: they are held in the compute dtype. */
  readonly quantization: Quantization | null
}

/** The run follows a preset; comes first of all. */
export interface PresetEvent {
  readonly type: 'preset'
  readonly name: PresetName
  /** The recipe, in a sentence. */
  readonly description: string
  /** What of the recipe is done in another way here, a sentence each. */
  readonly differences: readonly string[]
}

/** How rows are taken as they come. */
export interface StreamedRows {
  /** Rows that the order is drawn from. */
  readonly shuffleBufferSize: number
  /** Memory is planned for rows of so many tokens, as the longest one is not known. */
  readonly plannedLength: number
}

/** The run begins; with a resumed run `step` is where it goes on. */
export interface StartEvent extends Progress {
  readonly type: 'start'
  /** Identifies the run; a run that goes on in its own `outputDir` keeps it. */
  readonly runId: string
  /** `runName` of the options; absent where none was given. */
  readonly runName?: string
  /** When `trainLora` was called, as in `2026-01-31T12:00:00.000Z`. */
  readonly startedAt: string
  /** Absolute path of `outputDir`; absent where there is none. */
  readonly outputDir?: string
  /** The checkpoint that the run goes on from; absent where it begins at its first step. */
  readonly resumedFrom?: string
  /**
   * The options of `trainLora` with every default, as train.yaml has them: a preset is spelled out, 'auto' is settled,
   * paths are absolute, secrets are left out. What JSON cannot hold, such as rows that a program gave, is not there.
   */
  readonly options: Readonly<Record<string, unknown>>
  /**
   * Versions of this package, null where a bundler has taken it out of its package, and of the runtime as Node's
   * programs see it.
   */
  readonly versions: { readonly lowrank: string | null; readonly node: string }
  readonly trainableParameters: number
  readonly totalParameters: number
  /** How the frozen projections are held; null: in the compute dtype. */
  readonly quantization: Quantization | null
  /** With `streaming` the number that the source tells; null where it does not know. */
  readonly trainRows: number | null
  /** Present where rows are taken as they come. */
  readonly streaming?: StreamedRows
  readonly evalRows: number
  /** Layers are computed again in backward instead of kept. */
  readonly gradientCheckpointing: GradientCheckpointing
  /** Bytes of the device's memory that the run is expected to take at its highest; see `planTraining`. */
  readonly plannedMemory: number
  /** 'cpu', 'cuda:0'. */
  readonly device: string
}

/** Figures of the steps since the last event of this type. */
export interface StepFigures extends Progress {
  /** Mean of the window; of supervised fine-tuning the cross-entropy per supervised token, counted by its weight. */
  readonly loss: number
  /**
   * Means of what else the objective tells, by name; absent where it tells nothing else, as in supervised fine-tuning.
   */
  readonly figures?: Readonly<Record<string, number>>
  readonly learningRate: number
  /**
   * Norm of the gradient of all trainable parameters, unscaled and before clipping. Not finite (in JSON null) where a
   * step was skipped.
   */
  readonly gradNorm: number
  /** In float16: what gradients were multiplied by; see `LossScaler`. */
  readonly lossScale?: number
  /** Tokens per second, prompts included. */
  readonly tokensPerSecond: number
  /** Tokens of the whole run so far, prompts included. */
  readonly numInputTokensSeen: number
  /** Estimated time left. */
  readonly etaSeconds: number
}

/** One optimizer step is done. */
export interface StepEvent extends StepFigures {
  readonly type: 'step'
  /** In float16: the gradient overflowed and changed nothing. The loss scale of the next step is half of this one's. */
  readonly skipped?: boolean
}

/** Memory of a run, in bytes. */
export interface MemoryFigures {
  /** Resident memory of the process. */
  readonly processRss: number
  /** Tensors of the device. */
  readonly deviceLive: number
  /** The most that these have been since the device was opened. */
  readonly devicePeak: number
}

/**
 * `loggingSteps` steps are done: the same figures, averaged over them; `lossScale` is the last one's, and `gradNorm`
 * leaves out skipped steps.
 */
export interface LogEvent extends StepFigures {
  readonly type: 'log'
  /**
   * With `logGradNorms`: norm of the gradients of each layer, as `gradNorm` is that of all. A layer is
   * `model.layers.3`; what is trained outside of layers has its own name.
   */
  readonly gradNorms?: Readonly<Record<string, number>>
  /** With `includeMemoryMetrics`. */
  readonly memory?: MemoryFigures
  /** In float16: how many of the steps were skipped. */
  readonly skippedSteps?: number
}

/** The best evaluation of a run so far, by `metricForBestModel`. */
export interface BestEvaluation {
  /** What it is judged by, as trainer_state.json has it: `eval_loss`. */
  readonly metric: string
  readonly value: number
  /** Optimizer steps that were done then. */
  readonly step: number
  /**
   * The directory of the last checkpoint that was the best one when it was written, as it was given; absent where there
   * is none. It is of an earlier step where evaluations come more often than checkpoints.
   */
  readonly checkpoint?: string
}

/** What the model makes of a sample prompt. */
export interface SampledAnswer {
  /** The text, or the messages of the conversation one below the other. */
  readonly prompt: string
  readonly text: string
  /** 'length': there was no end within `maxNewTokens`. */
  readonly finishReason: 'stop' | 'length'
}

export interface EvaluateEvent extends Progress {
  readonly type: 'evaluate'
  /**
   * Mean of the held-out rows of all data sets; of supervised fine-tuning as that of a step. NaN (in JSON null) where
   * there are no such rows, as where tasks alone are evaluated.
   */
  readonly loss: number
  /** As those of a step. */
  readonly figures?: Readonly<Record<string, number>>
  /** exp(loss), where the loss is a cross-entropy. */
  readonly perplexity?: number
  /** Supervised tokens that were scored, each counted once whatever its weight. */
  readonly tokens: number
  readonly seconds: number
  /**
   * Every score by the name that transformers gives it: `eval_loss`, `eval_NAME_loss` with several data sets,
   * `eval_TASK_METRIC`. Null: no finite number. Absent in logs of early versions.
   */
  readonly metrics?: Readonly<Record<string, number | null>>
  /** Answers to `samplePrompts`, in their order. The log has them in samples.jsonl. */
  readonly samples?: readonly SampledAnswer[]
  /** Present where one is better than another: the best evaluation so far, this one among them. */
  readonly best?: BestEvaluation
  /** Whether it is the best one so far; present where one is better than another. */
  readonly isBest?: boolean
  /** With early stopping: evaluations in a row that improved nothing. With as many as its patience the run ends. */
  readonly earlyStopping?: { readonly counter: number; readonly patience: number }
}

/**
 * Held-out rows and those of tasks are being scored, and sample prompts answered. Comes at most twice a second, and not
 * at all where that takes less than half a second.
 */
export interface EvaluatingEvent extends Progress {
  readonly type: 'evaluating'
  /** Rows scored so far. */
  readonly rows: number
  readonly totalRows: number
}

/**
 * Something that was trained is complete on disk: a checkpoint while the run goes on; behind `end`, and to callbacks
 * and `onEvent` alone, the adapter or the model that the program saves with `save()` of the result.
 */
export interface SaveEvent extends Progress {
  readonly type: 'save'
  readonly kind: 'checkpoint' | 'adapter' | 'model'
  /** The directory, as it was given. */
  readonly path: string
}

/** Something that does not end the run, but that its owner should look at. */
export interface WarningEvent {
  readonly type: 'warning'
  readonly message: string
}

/** The run has come to its end, and everything that it writes is written. It is complete, or was stopped. */
export interface EndEvent extends Progress {
  readonly type: 'end'
  /** 'aborted': the signal, `run.stop()` or a callback asked for it. */
  readonly reason: 'completed' | 'aborted'
  /** The name of the callback that asked for it, if one did. */
  readonly stoppedBy?: string
  /**
   * Mean loss of the run's own steps (not of those before a resume); absent where it made none, as a run that was
   * complete before.
   */
  readonly loss?: number
  readonly seconds: number
  /**
   * Seconds of these in which the run read rows and made batches of them, an upper bound of how long it waited for
   * data: the device works on meanwhile. Absent where it made no step.
   */
  readonly dataSeconds?: number
  /** The best evaluation; absent where none is better than another. */
  readonly best?: BestEvaluation
  /** With `loadBestModelAtEnd`: the run ends with the weights of the best checkpoint, and of this step. */
  readonly loadedStep?: number
  /** The run was complete before its last step: so many evaluations in a row had improved nothing. */
  readonly earlyStopping?: { readonly counter: number; readonly patience: number }
  /**
   * What was trained, on disk; present where a callback asked for it by `needsResult`, the run is complete, and there
   * is an `outputDir`.
   */
  readonly result?: {
    readonly kind: 'adapter' | 'model'
    /** Absolute path of its directory. */
    readonly path: string
  }
}

/**
 * The run has failed, and rejects with the error that this event tells of. It is the last event, in place of `end`;
 * behind `end` it comes only where a callback that ends the run, or `onEvent`, failed at that.
 */
export interface FailEvent {
  readonly type: 'fail'
  /**
   * What kind of error it is: its `code`, or 'STOPPED' where the run was stopped before its first step; null where it
   * has none.
   */
  readonly code: string | null
  readonly message: string
  /** The name of the callback whose error it is, if it is one's. */
  readonly callback?: string
}

export type TrainEvent =
  | PresetEvent
  | DownloadEvent
  | LoadEvent
  | PrepareEvent
  | DataEvent
  | StartEvent
  | StepEvent
  | LogEvent
  | EvaluatingEvent
  | EvaluateEvent
  | SaveEvent
  | WarningEvent
  | EndEvent
  | FailEvent

/** The events of one type. */
export function ofType<Type extends TrainEvent['type']>(
  events: readonly TrainEvent[],
  type: Type,
): Extract<TrainEvent, { type: Type }>[] {
  return events.filter((event): event is Extract<TrainEvent, { type: Type }> => event.type === type)
}
