/** @file The calls of a run, as the journal has them: what happened, and not how a server is told of it. */

import type { RunStatus, Texts } from './client.js'
import type { DatasetInput } from './lineage.js'

/** The first call of a journal: which run the others are about. */
export interface CreateRunCall {
  readonly call: 'create-run'
  /** The address without credentials; null: whoever sends it says where. */
  readonly trackingUri: string | null
  readonly experimentName?: string
  readonly experimentId?: string
  /** A run of MLflow that is there already. */
  readonly runId?: string
  readonly runName?: string
  /** Milliseconds since 1970, as all times here. */
  readonly startTime: number
  /** Among them `lowrank.runId`, by which the run is found again. */
  readonly tags: Texts
}

export interface LogMetricsCall {
  readonly call: 'log-metrics'
  readonly timestamp: number
  readonly step: number
  /** What JSON has no number for is 'NaN', 'Infinity' or '-Infinity'. */
  readonly metrics: Readonly<Record<string, number | string>>
}

export interface LogModelCall {
  readonly call: 'log-model'
  readonly name: string
  /** The directory of the adapter or the model; relative to that of the journal, or absolute. */
  readonly directory: string
  readonly step: number
  readonly modelType: string
  readonly params: Texts
}

export type MlflowCall =
  | CreateRunCall
  /** The run goes on after a stop. */
  | { readonly call: 'continue-run'; readonly tags: Texts }
  | { readonly call: 'log-params'; readonly params: Texts }
  | { readonly call: 'set-tags'; readonly tags: Texts }
  | LogMetricsCall
  | { readonly call: 'log-inputs'; readonly datasets: readonly DatasetInput[] }
  /** A file of the run; `file` as the directory of a model. */
  | { readonly call: 'log-artifact'; readonly path: string; readonly file: string }
  | { readonly call: 'log-text'; readonly path: string; readonly text: string }
  | LogModelCall
  | { readonly call: 'end-run'; readonly status: RunStatus; readonly endTime: number }

/** The run that a server made of the calls. */
export interface RunState {
  readonly experimentId: string
  readonly runId: string
  readonly artifactUri: string
  /** The last logged model. */
  readonly modelId?: string
}

/** The tag of a run of MLflow that has the id of a run of lowrank. */
export const RUN_TAG = 'lowrank.runId'
/** The tag of a logged model that says which call made it. */
export const CALL_TAG = 'lowrank.call'
