/**
 * @file MLflow's tracking as Databricks has it: experiments, runs, batches with their limits, inputs, logged models,
 * and credentials for files. What comes twice is kept twice, as there: a client has to see to that.
 */

import {
  expectFields,
  expectQuery,
  invalid,
  missing,
  pageOf,
  RefusedRequest,
  type Route,
  type RouteAnswer,
  type RouteRequest,
} from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'

interface KeyValue {
  readonly key: string
  readonly value: string
}

/** A point of a metric. */
export interface TrackedMetric {
  readonly key: string
  readonly value: number | string
  readonly timestamp: number
  readonly step: number
}

/** A run as the workspace keeps it. */
export interface TrackedRun {
  readonly id: string
  readonly experimentId: string
  name: string
  status: string
  readonly startTime: number
  endTime: number | undefined
  readonly metrics: TrackedMetric[]
  readonly params: Map<string, string>
  readonly tags: Map<string, string>
  readonly datasets: unknown[]
  readonly models: { model_id: string; step: number }[]
}

/** A logged model as the workspace keeps it. */
export interface TrackedModel {
  readonly id: string
  readonly experimentId: string
  readonly runId: string
  readonly name: string
  readonly modelType: string
  status: string
  readonly params: readonly KeyValue[]
  readonly tags: readonly KeyValue[]
}

/** What the tracking of a workspace remembers. */
export interface Tracking {
  /** Names by id. */
  readonly experiments: Map<string, string>
  readonly runs: Map<string, TrackedRun>
  readonly models: Map<string, TrackedModel>
}

/** The tracking part of `workspace.state`. */
export const TRACKING: StateKey<Tracking> = {
  name: 'mlflow',
  make: () => ({ experiments: new Map(), runs: new Map(), models: new Map() }),
}

const MLFLOW = '/api/2.0/mlflow'
const MOST = { metrics: 1000, params: 100, tags: 100 }
const MOST_TOGETHER = 1000
const MOST_BYTES = 1_000_000
const LONGEST_KEY = 250
const KEY = /^[\w\-./: ]+$/
const PAGE = 1000

export const MLFLOW_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: `${MLFLOW}/experiments/create`,
    handle({ json }, state) {
      expectFields(json, { name: 'string', artifact_location: 'string?', tags: 'array?' })
      const name = String(json.name)
      if (!name.startsWith('/')) throw invalid(`Got an invalid experiment name '${name}': it must be an absolute path.`)
      const { experiments } = state.of(TRACKING)
      if ([...experiments.values()].includes(name))
        throw new RefusedRequest(400, 'RESOURCE_ALREADY_EXISTS', `Node named '${name}' already exists`)
      const id = String(1000 + experiments.size)
      experiments.set(id, name)
      return { json: { experiment_id: id } }
    },
  },
  {
    method: 'GET',
    path: `${MLFLOW}/experiments/get-by-name`,
    handle({ query }, state) {
      expectQuery(query, ['experiment_name'])
      const name = query.get('experiment_name')
      const found = [...state.of(TRACKING).experiments].find(([, other]) => other === name)
      if (found === undefined) throw missing(`Node '${name}' does not exist.`)
      return { json: { experiment: experimentJson(...found) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/create`,
    handle({ json }, state) {
      expectFields(json, {
        experiment_id: 'string',
        start_time: 'number?',
        run_name: 'string?',
        tags: 'array?',
        user_id: 'string?',
      })
      const tracking = state.of(TRACKING)
      const experimentId = String(json.experiment_id)
      if (!tracking.experiments.has(experimentId)) throw missing(`No experiment with ID ${experimentId} exists.`)
      const id = (tracking.runs.size + 1).toString(16).padStart(32, '0')
      const tags = new Map(keyValues(json.tags, 'tags').map(({ key, value }) => [key, value]))
      const run: TrackedRun = {
        id,
        experimentId,
        name: String(json.run_name ?? tags.get('mlflow.runName') ?? 'nameless-run'),
        status: 'RUNNING',
        startTime: Number(json.start_time ?? state.now()),
        endTime: undefined,
        metrics: [],
        params: new Map(),
        tags,
        datasets: [],
        models: [],
      }
      tags.set('mlflow.runName', run.name)
      tracking.runs.set(id, run)
      return { json: { run: runJson(run) } }
    },
  },
  {
    method: 'GET',
    path: `${MLFLOW}/runs/get`,
    handle({ query }, state) {
      expectQuery(query, ['run_id'], ['run_uuid'])
      // By this header clients know which workspace a run is in.
      const headers = { 'x-databricks-org-id': state.workspaceId }
      return { headers, json: { run: runJson(runOf(state, query.get('run_id'))) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/search`,
    handle({ json }, state) {
      expectFields(json, { experiment_ids: 'array', filter: 'string?', max_results: 'number?', page_token: 'string?' })
      const matches = tagFilter(json.filter)
      const ids = json.experiment_ids as unknown[]
      const runs = [...state.of(TRACKING).runs.values()].filter(
        ({ experimentId, tags }) => ids.includes(experimentId) && matches([...tags]),
      )
      const { items, next_page_token } = pageOf(runs.map(runJson), queryOf(json), PAGE)
      // An empty list is left out, as Protobuf has it.
      return { json: { ...(items.length > 0 && { runs: items }), ...(next_page_token && { next_page_token }) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/update`,
    handle({ json }, state) {
      const texts = { run_id: 'string', run_uuid: 'string?', status: 'string?', run_name: 'string?' } as const
      expectFields(json, { ...texts, end_time: 'number?' })
      const run = runOf(state, json.run_id)
      const status = String(json.status ?? run.status)
      if (!['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'].includes(status))
        throw invalid(`Invalid value ${status} for parameter 'status'.`)
      run.status = status
      if (json.end_time !== undefined) run.endTime = Number(json.end_time)
      if (json.run_name !== undefined) run.name = String(json.run_name)
      return { json: { run_info: infoJson(run) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/log-batch`,
    handle({ json }, state) {
      expectFields(json, { run_id: 'string', metrics: 'array?', params: 'array?', tags: 'array?' })
      logBatch(runOf(state, json.run_id), json)
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/log-inputs`,
    handle({ json }, state) {
      expectFields(json, { run_id: 'string', datasets: 'array?', models: 'array?' })
      const datasets = (json.datasets ?? []) as Record<string, unknown>[]
      if (datasets.length > 10) throw invalid('At most 10 datasets may be logged at a time.')
      for (const [index, input] of datasets.entries()) {
        expectFields(input, { tags: 'array?', dataset: 'object' }, `datasets[${index}]`)
        keyValues(input.tags, 'tags')
        const dataset = input.dataset as Record<string, unknown>
        const texts = { name: 'string', digest: 'string', source_type: 'string', source: 'string' } as const
        expectFields(dataset, { ...texts, schema: 'string?', profile: 'string?' }, 'dataset')
        if (String(dataset.digest).length > 36) throw invalid('A digest has at most 36 characters.')
        if (String(dataset.name).length > 500) throw invalid('A name has at most 500 characters.')
      }
      runOf(state, json.run_id).datasets.push(...datasets)
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/outputs`,
    handle({ json }, state) {
      expectFields(json, { run_id: 'string', models: 'array' })
      for (const output of json.models as Record<string, unknown>[]) {
        expectFields(output, { model_id: 'string', step: 'number' }, 'models')
        modelOf(state, output.model_id)
        runOf(state, json.run_id).models.push({ model_id: String(output.model_id), step: Number(output.step) })
      }
      return { json: {} }
    },
  },
  {
    method: 'GET',
    path: `${MLFLOW}/metrics/get-history`,
    handle({ query }, state) {
      expectQuery(query, ['run_id', 'metric_key'], ['run_uuid', 'max_results', 'page_token'])
      const run = runOf(state, query.get('run_id'))
      const metrics = run.metrics.filter(({ key }) => key === query.get('metric_key'))
      const { items, next_page_token } = pageOf(metrics, query, 25_000)
      return { json: { ...(items.length > 0 && { metrics: items }), ...(next_page_token && { next_page_token }) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/logged-models`,
    handle({ json }, state) {
      expectFields(json, {
        experiment_id: 'string',
        name: 'string?',
        model_type: 'string?',
        source_run_id: 'string?',
        params: 'array?',
        tags: 'array?',
      })
      const { models } = state.of(TRACKING)
      const model: TrackedModel = {
        id: `m-${(models.size + 1).toString(16).padStart(32, '0')}`,
        experimentId: String(json.experiment_id),
        runId: String(json.source_run_id ?? ''),
        name: String(json.name ?? 'model'),
        modelType: String(json.model_type ?? ''),
        status: 'LOGGED_MODEL_PENDING',
        params: keyValues(json.params, 'params'),
        tags: keyValues(json.tags, 'tags'),
      }
      models.set(model.id, model)
      return { json: { model: modelJson(model) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/logged-models/search`,
    handle({ json }, state) {
      expectFields(json, { experiment_ids: 'array', filter: 'string?', max_results: 'number?', page_token: 'string?' })
      const matches = tagFilter(json.filter)
      const ids = json.experiment_ids as unknown[]
      const models = [...state.of(TRACKING).models.values()].filter(
        ({ experimentId, tags }) => ids.includes(experimentId) && matches(tags.map(({ key, value }) => [key, value])),
      )
      return { json: models.length === 0 ? {} : { models: models.map(modelJson) } }
    },
  },
  {
    method: 'GET',
    path: `${MLFLOW}/logged-models/{id}`,
    handle: ({ params }, state) => ({ json: { model: modelJson(modelOf(state, params.id)) } }),
  },
  {
    method: 'PATCH',
    path: `${MLFLOW}/logged-models/{id}`,
    handle({ json, params }, state) {
      expectFields(json, { model_id: 'string', status: 'string' })
      if (json.model_id !== params.id) throw invalid('model_id differs from the path.')
      if (!['LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED'].includes(String(json.status)))
        throw invalid(`Invalid status ${json.status}.`)
      const model = modelOf(state, params.id)
      model.status = String(json.status)
      return { json: { model: modelJson(model) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/artifacts/credentials-for-write`,
    async handle({ json }, state) {
      expectFields(json, { run_id: 'string', path: 'array' })
      const { id, experimentId } = runOf(state, json.run_id)
      return await credentials(state, `${experimentId}/${id}`, json.path as string[])
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/logged-models/{id}/artifacts/credentials-for-upload`,
    async handle({ json, params }, state) {
      expectFields(json, { paths: 'array' })
      const { id, experimentId } = modelOf(state, params.id)
      return await credentials(state, `${experimentId}/logged_models/${id}`, json.paths as string[])
    },
  },
]

const HOUR = 3_600_000

async function credentials(state: WorkspaceState, root: string, paths: readonly string[]): Promise<RouteAnswer> {
  const infos = await Promise.all(
    paths.map(async (path) => {
      const key = `databricks/mlflow-tracking/${root}/artifacts/${path}`
      const { url, headers } = await state.storage.presign({ method: 'PUT', key, expires: state.now() + HOUR })
      return { path, type: 'AWS_PRESIGNED_URL', signed_uri: url, headers }
    }),
  )
  return { json: { credential_infos: infos } }
}

/** Takes a batch into a run, within the limits. @throws RefusedRequest */
export function logBatch(run: TrackedRun, json: RouteRequest['json']): void {
  const metrics = (json.metrics ?? []) as Record<string, unknown>[]
  const params = keyValues(json.params, 'params')
  const tags = keyValues(json.tags, 'tags')
  const counts = { metrics: metrics.length, params: params.length, tags: tags.length }
  for (const [name, most] of Object.entries(MOST)) {
    const count = counts[name as keyof typeof MOST]
    if (count > most)
      throw invalid(`A batch logging request can contain at most ${most} ${name}. Got ${count} ${name}.`)
  }
  if (counts.metrics + counts.params + counts.tags > MOST_TOGETHER)
    throw invalid(`A batch logging request can contain at most ${MOST_TOGETHER} metrics, params and tags.`)
  if (JSON.stringify(json).length > MOST_BYTES)
    throw invalid('Batched logging API requests must be at most 1000000 bytes.')
  const points = metrics.map((metric, index): TrackedMetric => {
    const kinds = { key: 'string', value: 'any', timestamp: 'number', step: 'number?' } as const
    expectFields(
      metric,
      { ...kinds, run_id: 'string?', model_id: 'string?', dataset_name: 'string?', dataset_digest: 'string?' },
      `metrics[${index}]`,
    )
    expectKey(String(metric.key))
    const { value } = metric
    if (typeof value !== 'number' && !['NaN', 'Infinity', '-Infinity'].includes(String(value)))
      throw invalid(`Got invalid value ${value} for metric '${metric.key}'.`)
    return {
      key: String(metric.key),
      value: value as number | string,
      timestamp: Number(metric.timestamp),
      step: Number(metric.step ?? 0),
    }
  })
  for (const { key, value } of params) {
    expectKey(key)
    const there = run.params.get(key)
    if (there !== undefined && there !== value)
      throw invalid(
        `Changing param values is not allowed. Param with key='${key}' was already logged with value='${there}'.`,
      )
  }
  run.metrics.push(...points)
  for (const { key, value } of params) run.params.set(key, value.slice(0, 6000))
  for (const { key, value } of tags) run.tags.set(key, value.slice(0, 8000))
}

function expectKey(key: string): void {
  if (key.length > LONGEST_KEY || !KEY.test(key)) throw invalid(`Invalid name '${key}'.`)
}

function keyValues(list: unknown, name: string): KeyValue[] {
  return ((list ?? []) as Record<string, unknown>[]).map((item, index) => {
    expectFields(item, { key: 'string', value: 'string' }, `${name}[${index}]`)
    return { key: String(item.key), value: String(item.value) }
  })
}

/** @throws RefusedRequest where there is none */
export function runOf(state: WorkspaceState, id: unknown): TrackedRun {
  const run = state.of(TRACKING).runs.get(String(id))
  if (run === undefined) throw missing(`Run '${id}' not found.`)
  return run
}

function modelOf(state: WorkspaceState, id: unknown): TrackedModel {
  const model = state.of(TRACKING).models.get(String(id))
  if (model === undefined) throw missing(`Logged model '${id}' not found.`)
  return model
}

/** The one filter that is known: a tag with a value. */
function tagFilter(filter: unknown): (tags: readonly (readonly [string, string])[]) => boolean {
  if (filter === undefined || filter === '') return () => true
  const match = /^tags\.[`"]([^`"]+)[`"] = '([^']*)'$/.exec(String(filter))
  if (match === null) throw invalid(`Invalid filter '${filter}'.`)
  return (tags) => tags.some(([key, value]) => key === match[1] && value === match[2])
}

function queryOf(json: RouteRequest['json']): URLSearchParams {
  const { max_results = PAGE, page_token = '' } = json
  return new URLSearchParams({ max_results: String(max_results), page_token: String(page_token) })
}

/** An experiment as answers have it. */
export function experimentJson(id: string, name: string): object {
  const artifact_location = `dbfs:/databricks/mlflow-tracking/${id}`
  return { experiment_id: id, name, artifact_location, lifecycle_stage: 'active', tags: [] }
}

function infoJson({ id, experimentId, name, status, startTime, endTime }: TrackedRun): object {
  return {
    run_id: id,
    run_uuid: id,
    run_name: name,
    experiment_id: experimentId,
    status,
    start_time: startTime,
    ...(endTime !== undefined && { end_time: endTime }),
    artifact_uri: `dbfs:/databricks/mlflow-tracking/${experimentId}/${id}/artifacts`,
    lifecycle_stage: 'active',
  }
}

function runJson(run: TrackedRun): object {
  const list = (map: ReadonlyMap<string, string>) => [...map].map(([key, value]) => ({ key, value }))
  const latest = new Map<string, TrackedMetric>()
  for (const metric of run.metrics) {
    const other = latest.get(metric.key)
    if (
      other === undefined ||
      metric.step > other.step ||
      (metric.step === other.step && metric.timestamp >= other.timestamp)
    )
      latest.set(metric.key, metric)
  }
  return {
    info: infoJson(run),
    data: { metrics: [...latest.values()], params: list(run.params), tags: list(run.tags) },
    inputs: { dataset_inputs: run.datasets },
    outputs: { model_outputs: run.models },
  }
}

function modelJson({ id, experimentId, runId, name, modelType, status, params, tags }: TrackedModel): object {
  return {
    info: {
      model_id: id,
      experiment_id: experimentId,
      source_run_id: runId,
      name,
      model_type: modelType,
      status,
      artifact_uri: `dbfs:/databricks/mlflow-tracking/${experimentId}/logged_models/${id}/artifacts`,
      tags,
    },
    data: { params },
  }
}
