/**
 * @file Runs of jobs. Nothing runs, and each look at a run takes it one state further, unless a test says what runs do.
 */

import { toError } from '../../values.js'
import { expectFields, expectQuery, invalid, type Route } from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'

/** A run of the loopback workspace. */
export interface LoopbackRun {
  readonly submission: Readonly<Record<string, unknown>>
  lifeCycle: string
  result: string | undefined
  logs: string
}

/** How a run has ended. */
export interface EndedRun {
  /** SUCCESS, FAILED, ... */
  readonly result: string
  readonly logs: string
}

/** The runs, by id, with which result the next ones end, and what they do; undefined: nothing. */
export const JOBS: StateKey<{
  readonly runs: Map<string, LoopbackRun>
  result: string
  execute: ((submission: Readonly<Record<string, unknown>>) => Promise<EndedRun>) | undefined
}> = {
  name: 'jobs',
  make: () => ({ runs: new Map(), result: 'SUCCESS', execute: undefined }),
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
      const environments = (json.environments ?? []) as Readonly<Record<string, unknown>>[]
      for (const environment of environments) expectFields(environment, ENVIRONMENT, 'environments')
      for (const task of json.tasks as Readonly<Record<string, unknown>>[]) expectTask(task, environments)
      const [known] = [...runs].find(([, { submission }]) => token && submission.idempotency_token === token) ?? []
      const id = known ?? String(FIRST_ID + runs.size)
      if (known === undefined) {
        const run: LoopbackRun = { submission: json, lifeCycle: 'PENDING', result: undefined, logs: 'trained\n' }
        runs.set(id, run)
        begin(run, state)
      }
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
      const isBusy = run.lifeCycle === 'RUNNING' && state.of(JOBS).execute !== undefined
      if (!isBusy) run.lifeCycle = NEXT[run.lifeCycle] ?? run.lifeCycle
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
      return { json: { ...error, logs: run.logs, logs_truncated: false, metadata: runJson(state, id, run) } }
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

/** Lets a run do what the test says; its state follows. */
function begin(run: LoopbackRun, state: WorkspaceState): void {
  const end = ({ result, logs }: EndedRun): void => {
    run.result ??= result
    run.logs = logs
    run.lifeCycle = 'TERMINATED'
  }
  state
    .of(JOBS)
    .execute?.(run.submission)
    .then(end, (error: unknown) => end({ result: 'FAILED', logs: `${toError(error).message}\n` }))
}

const ENVIRONMENT = { environment_key: 'string', spec: 'object' } as const
const AI_RUNTIME_TASK = {
  experiment: 'string',
  deployments: 'array',
  mlflow_run: 'string?',
  mlflow_experiment_directory: 'string?',
} as const
/** GPUs of a node, by its type. */
const ACCELERATORS: Readonly<Record<string, number>> = { GPU_1xA10: 1, GPU_1xH100: 1, GPU_8xH100: 8 }

/** Looks into tasks for GPUs alone. */
function expectTask(task: Readonly<Record<string, unknown>>, environments: readonly Record<string, unknown>[]): void {
  if (typeof task.task_key !== 'string') throw invalid('Missing required field: task_key')
  if (task.ai_runtime_task === undefined) return
  const gpuTask = task.ai_runtime_task as Readonly<Record<string, unknown>>
  expectFields(gpuTask, AI_RUNTIME_TASK, 'ai_runtime_task')
  const [deployment, ...more] = gpuTask.deployments as Readonly<Record<string, unknown>>[]
  if (deployment === undefined || more.length > 0) throw invalid('Exactly one deployment is supported.')
  expectFields(deployment, { name: 'string?', command_path: 'string', compute: 'object' }, 'deployments')
  const compute = deployment.compute as Readonly<Record<string, unknown>>
  expectFields(compute, { accelerator_type: 'string', accelerator_count: 'number' }, 'compute')
  const perNode = ACCELERATORS[String(compute.accelerator_type)]
  if (perNode === undefined) throw invalid(`Unknown accelerator_type ${String(compute.accelerator_type)}.`)
  if (!(Number(compute.accelerator_count) > 0) || Number(compute.accelerator_count) % perNode !== 0)
    throw invalid(`accelerator_count must be a positive multiple of ${perNode}.`)
  if (!environments.some(({ environment_key }) => environment_key === task.environment_key))
    throw invalid(`Environment ${String(task.environment_key)} is not defined.`)
  if (!String(deployment.command_path).startsWith('/Workspace/'))
    throw invalid('command_path must be a path of the workspace.')
}

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
