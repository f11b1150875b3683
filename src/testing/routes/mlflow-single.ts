/** @file Calls of MLflow's tracking for one thing each: what MLflow's own client sends where lowrank sends batches. */

import { expectFields, expectQuery, missing, type Route } from '../route.js'
import { experimentJson, logBatch, runOf, TRACKING } from './mlflow.js'

const MLFLOW = '/api/2.0/mlflow'
/** The older name of `run_id`, which MLflow's client sends as well. */
const RUN = { run_id: 'string', run_uuid: 'string?' } as const

export const MLFLOW_SINGLE_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: `${MLFLOW}/experiments/get`,
    handle({ query }, state) {
      expectQuery(query, ['experiment_id'])
      const id = query.get('experiment_id') ?? ''
      const name = state.of(TRACKING).experiments.get(id)
      if (name === undefined) throw missing(`Node ID ${id} does not exist.`)
      return { json: { experiment: experimentJson(id, name) } }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/log-metric`,
    handle({ json }, state) {
      const point = { key: 'string', value: 'any', timestamp: 'number', step: 'number?' } as const
      expectFields(json, { ...RUN, ...point })
      const { run_id, run_uuid: _, ...metric } = json
      logBatch(runOf(state, run_id), { run_id, metrics: [metric] })
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/log-parameter`,
    handle({ json }, state) {
      expectFields(json, { ...RUN, key: 'string', value: 'string' })
      logBatch(runOf(state, json.run_id), { params: [{ key: json.key, value: json.value }] })
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${MLFLOW}/runs/set-tag`,
    handle({ json }, state) {
      expectFields(json, { ...RUN, key: 'string', value: 'string' })
      logBatch(runOf(state, json.run_id), { tags: [{ key: json.key, value: json.value }] })
      return { json: {} }
    },
  },
]
