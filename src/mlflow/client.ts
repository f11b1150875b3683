/** @file The calls of MLflow's tracking: experiments, runs, metrics, params, tags, inputs, logged models. */

import { ServiceError } from '../http/service-error.js'
import type { MlflowConnection } from './connect.js'
import { MOST_BYTES, MOST_DATASETS, MOST_PARAMS, MOST_TAGS } from './limits.js'
import type { DatasetInput } from './lineage.js'

/** One figure of a run. */
export interface Metric {
  readonly key: string
  readonly value: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly step: number
}

/** Text by name. */
export type Texts = Readonly<Record<string, string>>

export type RunStatus = 'RUNNING' | 'FINISHED' | 'FAILED' | 'KILLED'

/** A run as the server has it. */
export interface MlflowRun {
  readonly runId: string
  readonly experimentId: string
  readonly status: string
  /** Where its files lie, as the server names it. */
  readonly artifactUri: string
  /** The point of the highest step of each metric. */
  readonly metrics: readonly Metric[]
  readonly params: Texts
  readonly tags: Texts
  /** Logged models that came out of it. */
  readonly modelIds: readonly string[]
}

/** A logged model as the server has it. */
export interface LoggedModel {
  readonly modelId: string
  readonly artifactUri: string
}

interface KeyValue {
  readonly key: string
  readonly value: string
}

interface RunAnswer {
  readonly info: {
    readonly run_id: string
    readonly experiment_id: string
    readonly status: string
    readonly artifact_uri: string
  }
  readonly data?: {
    readonly metrics?: readonly {
      key: string
      value: number | string
      timestamp: number | string
      step?: number | string
    }[]
    readonly params?: readonly KeyValue[]
    readonly tags?: readonly KeyValue[]
  }
  readonly outputs?: { readonly model_outputs?: readonly { readonly model_id: string }[] }
}

interface ModelAnswer {
  readonly info: { readonly model_id: string; readonly artifact_uri: string }
}

/** The tracking calls of a server. Each is one request unless it says otherwise. */
export interface TrackingCalls {
  /** The id of the experiment, which is made where there is none. */
  experimentId(name: string): Promise<string>
  createRun(run: {
    experimentId: string
    runName?: string | undefined
    startTime: number
    tags: Texts
  }): Promise<MlflowRun>
  getRun(runId: string): Promise<MlflowRun>
  /** The first run of an experiment that has a tag. */
  findRun(experimentId: string, tag: string, value: string): Promise<MlflowRun | undefined>
  updateRun(runId: string, change: { status?: RunStatus; endTime?: number; runName?: string }): Promise<void>
  /**
   * Logs params and tags, in as many requests as the limits of MLflow ask for.
   * @throws where a request failed: those before it were taken
   */
  logBatch(runId: string, batch: { params?: Texts; tags?: Texts }): Promise<void>
  /**
   * Logs at most `MOST_METRICS` points.
   * @param pieces Items of the list `metrics` as JSON, each with a comma behind it; at least one.
   */
  logPoints(runId: string, pieces: readonly Uint8Array[]): Promise<void>
  logInputs(runId: string, datasets: readonly DatasetInput[]): Promise<void>
  createLoggedModel(model: {
    experimentId: string
    /** Undefined for a model of no run. */
    runId: string | undefined
    name: string
    modelType: string
    params: Texts
    tags: Texts
  }): Promise<LoggedModel>
  findLoggedModel(experimentId: string, tag: string, value: string): Promise<LoggedModel | undefined>
  finishLoggedModel(modelId: string, status: 'LOGGED_MODEL_READY' | 'LOGGED_MODEL_UPLOAD_FAILED'): Promise<void>
  logOutputs(runId: string, modelId: string, step: number): Promise<void>
  /** All points of a metric, in the order of their times. */
  metricHistory(runId: string, key: string): AsyncIterable<Metric>
}

/** Tracking calls, and what they go through. */
export interface MlflowClient extends TrackingCalls {
  readonly connection: MlflowConnection
  /** Ends what is asked of it. */
  readonly signal: AbortSignal | undefined
}

const TAKEN = 'that metrics are taken'

/** The tracking calls of a connection. */
export function createMlflowClient(connection: MlflowConnection, signal?: AbortSignal): MlflowClient {
  const { rest, base, isDatabricks } = connection
  const path = (call: string): string => `${base}/api/2.0/mlflow/${call}`
  const post = <T>(
    call: string,
    what: string,
    json: unknown,
    isRepeatable = false,
    method: 'POST' | 'PATCH' = 'POST',
  ) => rest.json<T>({ method, path: path(call), json, what, isRepeatable, signal })
  const get = <T>(call: string, what: string, query: Readonly<Record<string, string | number | undefined>>) =>
    rest.json<T>({ path: path(call), query, what, signal })
  const experimentByName = async (name: string): Promise<string | undefined> => {
    type Answer = { experiment: { experiment_id: string; lifecycle_stage?: string } }
    try {
      const what = `the experiment ${JSON.stringify(name)}`
      const { experiment } = await get<Answer>('experiments/get-by-name', what, { experiment_name: name })
      if (experiment.lifecycle_stage === 'deleted')
        throw new ServiceError(
          `[mlflow] expected an experiment that is not deleted, got ${JSON.stringify(name)}; restore it, or name another`,
        )
      return experiment.experiment_id
    } catch (error) {
      if (hasCode(error, 'RESOURCE_DOES_NOT_EXIST')) return undefined
      throw error
    }
  }
  const logBatches = async (runId: string, batches: readonly object[]): Promise<void> => {
    for (const batch of batches) await post('runs/log-batch', TAKEN, { run_id: runId, ...batch })
  }
  return {
    connection,
    signal,
    async experimentId(name) {
      const there = await experimentByName(name)
      if (there !== undefined) return there
      try {
        const answer = await post<{ experiment_id: string }>('experiments/create', 'a new experiment', { name })
        return answer.experiment_id
      } catch (error) {
        // Somebody else has made it meanwhile, or an answer was lost.
        const made = await experimentByName(name).catch(() => undefined)
        if (made !== undefined) return made
        throw error
      }
    },
    async createRun({ experimentId, runName, startTime, tags }) {
      const { run } = await post<{ run: RunAnswer }>('runs/create', 'a new run', {
        experiment_id: experimentId,
        start_time: startTime,
        tags: pairs(tags),
        ...(runName !== undefined && { run_name: runName }),
      })
      return runOf(run)
    },
    async getRun(runId) {
      return runOf((await get<{ run: RunAnswer }>('runs/get', `the run ${runId}`, { run_id: runId })).run)
    },
    async findRun(experimentId, tag, value) {
      const filter = `tags.\`${tag}\` = '${value.replaceAll("'", '')}'`
      const search = { experiment_ids: [experimentId], filter, max_results: 1 }
      const { runs } = await post<{ runs?: RunAnswer[] }>('runs/search', 'the runs of an experiment', search, true)
      return runs?.[0] && runOf(runs[0])
    },
    async updateRun(runId, { status, endTime, runName }) {
      const change = {
        ...(status !== undefined && { status }),
        ...(endTime !== undefined && { end_time: endTime }),
        ...(runName !== undefined && { run_name: runName }),
      }
      await post('runs/update', 'that the run is updated', { run_id: runId, ...change }, true)
    },
    async logBatch(runId, { params = {}, tags = {} }) {
      await logBatches(runId, [
        ...pieces(pairs(params), MOST_PARAMS).map((piece) => ({ params: piece })),
        ...pieces(pairs(tags), MOST_TAGS).map((piece) => ({ tags: piece })),
      ])
    },
    async logPoints(runId, pieces) {
      const begin = Buffer.from(`{"run_id":${JSON.stringify(runId)},"metrics":[`)
      const last = (pieces.at(-1) as Uint8Array).subarray(0, -1)
      const jsonBytes = Buffer.concat([begin, ...pieces.slice(0, -1), last, Buffer.from(']}')])
      await rest.json({ method: 'POST', path: path('runs/log-batch'), jsonBytes, what: TAKEN, signal })
    },
    async logInputs(runId, datasets) {
      for (let at = 0; at < datasets.length; at += MOST_DATASETS) {
        const part = datasets.slice(at, at + MOST_DATASETS)
        // The same inputs twice are one.
        await post('runs/log-inputs', 'that inputs are taken', { run_id: runId, datasets: part }, true)
      }
    },
    async createLoggedModel({ experimentId, runId, name, modelType, params, tags }) {
      const { model } = await post<{ model: ModelAnswer }>('logged-models', 'a new logged model', {
        experiment_id: experimentId,
        name,
        model_type: modelType,
        ...(runId !== undefined && { source_run_id: runId }),
        params: pairs(params),
        tags: pairs(tags),
      })
      return modelOf(model)
    },
    async findLoggedModel(experimentId, tag, value) {
      const filter = `tags.\`${tag}\` = '${value.replaceAll("'", '')}'`
      const search = { experiment_ids: [experimentId], filter, max_results: 1 }
      const what = 'the logged models of an experiment'
      const { models } = await post<{ models?: ModelAnswer[] }>('logged-models/search', what, search, true)
      return models?.[0] && modelOf(models[0])
    },
    async finishLoggedModel(modelId, status) {
      const change = { model_id: modelId, status }
      await post(`logged-models/${modelId}`, 'that a logged model is complete', change, true, 'PATCH')
    },
    async logOutputs(runId, modelId, step) {
      const outputs = { run_id: runId, models: [{ model_id: modelId, step }] }
      await post('runs/outputs', 'that outputs are taken', outputs)
    },
    async *metricHistory(runId, key) {
      const what = `the metric ${JSON.stringify(key)}`
      let token: string | undefined
      do {
        const query = { run_id: runId, metric_key: key, max_results: isDatabricks ? 25_000 : 1000, page_token: token }
        type Answer = { metrics?: NonNullable<RunAnswer['data']>['metrics']; next_page_token?: string }
        const answer: Answer = await get<Answer>('metrics/get-history', what, query)
        yield* (answer.metrics ?? []).map(metricOf)
        token = answer.next_page_token || undefined
      } while (token !== undefined)
    },
  }
}

/** Whether a service gave this code. */
function hasCode(error: unknown, code: string): boolean {
  return error instanceof ServiceError && error.errorCode === code
}

function pairs(texts: Texts): KeyValue[] {
  return Object.entries(texts).map(([key, value]) => ({ key, value }))
}

function texts(list: readonly KeyValue[] = []): Record<string, string> {
  return Object.fromEntries(list.map(({ key, value }) => [key, value]))
}

function metricOf({
  key,
  value,
  timestamp,
  step = 0,
}: NonNullable<NonNullable<RunAnswer['data']>['metrics']>[number]): Metric {
  return { key, value: Number(value), timestamp: Number(timestamp), step: Number(step) }
}

function runOf({ info, data = {}, outputs }: RunAnswer): MlflowRun {
  return {
    runId: info.run_id,
    experimentId: info.experiment_id,
    status: info.status,
    artifactUri: info.artifact_uri,
    metrics: (data.metrics ?? []).map(metricOf),
    params: texts(data.params),
    tags: texts(data.tags),
    modelIds: (outputs?.model_outputs ?? []).map(({ model_id }) => model_id),
  }
}

function modelOf({ info }: ModelAnswer): LoggedModel {
  return { modelId: info.model_id, artifactUri: info.artifact_uri }
}

/** Pieces of a list of at most so many items, and as many bytes of JSON as one request may have. */
function pieces<T>(items: readonly T[], most: number): T[][] {
  const all: T[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const item of items) {
    const size = Buffer.byteLength(JSON.stringify(item)) + 1
    const last = all.at(-1)
    if (last === undefined || last.length === most || bytes + size > MOST_BYTES) {
      all.push([item])
      bytes = size
    } else {
      last.push(item)
      bytes += size
    }
  }
  return all
}
