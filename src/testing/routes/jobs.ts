/** @file Runs of jobs. Nothing runs: each look at a run takes it one state further. */

import { expectFields, expectQuery, invalid, type Route } from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'

/** A run of the loopback workspace. */
export interface LoopbackRun {
  readonly submission: Readonly<Record<string, unknown>>
  lifeCycle: string
  result: string | undefined
}

/** The runs, by id, and with which result the next ones end. */
export const JOBS: StateKey<{ readonly runs: Map<string, LoopbackRun>; result: string }> = {
  name: 'jobs',
  make: () => ({ runs: new Map(), result: 'SUCCESS' }),
}

const NEXT: Readonly<Record<string, string>> = { PENDING: 'RUNNING', RUNNING: 'TERMINATED', TERMINATING: 'TERMINATED' }
const RUNS = '/api/2.2/jobs/runs'
const FIRST_ID = 1001
/** More than the tasks that a run can have. */
const TASKS_OF_RUN = 10_000

export const JOBS_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: `${RUNS}/submit`,
    handle({ json }, state) {
      expectFields(json, {
        run_name: 'string?',
        idempotency_token: 'string?',
        tasks: 'array',
        environments: 'array?',
        timeout_seconds: 'number?',
      })
      const { runs } = state.of(JOBS)
      const { idempotency_token: token } = json
      if (String(token ?? '').length > 64) throw invalid('idempotency_token has at most 64 characters.')
      for (const task of json.tasks as Readonly<Record<string, unknown>>[])
        if (typeof task.task_key !== 'string') throw invalid('Missing required field: task_key')
      const [known] = [...runs].find(([, { submission }]) => token && submission.idempotency_token === token) ?? []
      const id = known ?? String(FIRST_ID + runs.size)
      if (known === undefined) runs.set(id, { submission: json, lifeCycle: 'PENDING', result: undefined })
      return { json: { run_id: Number(id) } }
    },
  },
  {
    method: 'GET',
    path: `${RUNS}/get`,
    handle({ query }, state) {
      expectQuery(query, ['run_id'], ['include_history', 'include_resolved_values', 'page_token'])
      const id = query.get('run_id') ?? ''
      const run = runOf(state, id)
      const answer = runJson(state, id, run)
      run.lifeCycle = NEXT[run.lifeCycle] ?? run.lifeCycle
      if (run.lifeCycle === 'TERMINATED') run.result ??= state.of(JOBS).result
      return { json: answer }
    },
  },
  {
    method: 'GET',
    path: `${RUNS}/list`,
    handle({ query }, state) {
      expectQuery(query, [], ['active_only', 'run_type', 'limit', 'page_token'])
      const runs = [...state.of(JOBS).runs].filter(
        ([, { lifeCycle }]) => query.get('active_only') !== 'true' || lifeCycle !== 'TERMINATED',
      )
      return { json: runs.length === 0 ? {} : { runs: runs.map(([id, run]) => runJson(state, id, run)) } }
    },
  },
  {
    method: 'GET',
    path: `${RUNS}/get-output`,
    handle({ query }, state) {
      expectQuery(query, ['run_id'])
      const asked = query.get('run_id') ?? ''
      const id = Number(asked) > TASKS_OF_RUN ? String(Math.floor(Number(asked) / TASKS_OF_RUN)) : asked
      const run = runOf(state, id)
      const tasks = run.submission.tasks as readonly unknown[]
      if (id === asked && tasks.length > 1)
        throw invalid('Retrieving the output of runs with multiple tasks is not supported. Retrieve that of each task.')
      const error = run.result === 'FAILED' ? { error: 'The command ended with 1.' } : {}
      return { json: { ...error, logs: 'trained\n', logs_truncated: false, metadata: runJson(state, id, run) } }
    },
  },
  {
    method: 'POST',
    path: `${RUNS}/cancel`,
    handle({ json }, state) {
      expectFields(json, { run_id: 'number' })
      const run = runOf(state, String(json.run_id))
      if (run.lifeCycle !== 'TERMINATED') {
        run.lifeCycle = 'TERMINATING'
        run.result = 'CANCELED'
      }
      return { json: {} }
    },
  },
]

function runJson(state: WorkspaceState, id: string, { submission, lifeCycle, result }: LoopbackRun): object {
  const ended = result !== undefined && lifeCycle === 'TERMINATED' ? { result_state: result } : {}
  const stateNow = { life_cycle_state: lifeCycle, state_message: '', ...ended }
  const tasks = submission.tasks as readonly { readonly task_key: string }[]
  return {
    run_id: Number(id),
    run_name: submission.run_name ?? 'Untitled',
    run_type: 'SUBMIT_RUN',
    run_page_url: `${state.url}/#job/1/run/${id}`,
    state: stateNow,
    tasks: tasks.map(({ task_key }, index) => ({ task_key, run_id: taskId(id, index), state: stateNow })),
  }
}

/** Tasks have runs of their own, behind that of the whole. */
function taskId(id: string, index: number): number {
  return Number(id) * TASKS_OF_RUN + index + 1
}

function runOf(state: WorkspaceState, id: string): LoopbackRun {
  const run = state.of(JOBS).runs.get(id)
  if (run === undefined) throw invalid(`Run ${id} does not exist.`)
  return run
}
