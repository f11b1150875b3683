/** @file Runs of jobs: submitted once, looked at, followed, cancelled. */

import { expectObject } from '../errors.js'
import { ServiceError } from '../http/service-error.js'
import { check, instance, listOf, text } from '../options/rules.js'
import { readOptions } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { type DatabricksClient, openDatabricks } from './client/connect.js'
import { isMissing } from './client/errors.js'
import { RESOURCE_OPTIONS, type ResourceOptions, WAIT_OPTIONS, type WaitOptions } from './options.js'
import { make, recordGone } from './resources.js'
import { waitUntil } from './wait.js'

/** What `runs/submit` of the Jobs API takes, in its own names. */
export interface RunSubmission {
  readonly run_name: string
  readonly tasks: readonly Readonly<Record<string, unknown>>[]
  readonly environments?: readonly Readonly<Record<string, unknown>>[]
  readonly timeout_seconds?: number
}

/** A task of a run. */
export interface RunTask {
  readonly taskKey: string
  /** Id of the task's own run, which {@link getRunOutput} takes. */
  readonly runId: string
  readonly lifeCycleState: string
  readonly resultState: string | undefined
  readonly stateMessage: string
}

/** A run, as the workspace tells of it. */
export interface JobRun {
  readonly runId: string
  readonly runName: string
  /** QUEUED, PENDING, RUNNING, TERMINATING, TERMINATED, SKIPPED, INTERNAL_ERROR, ... */
  readonly lifeCycleState: string
  /** SUCCESS, FAILED, CANCELED, TIMEDOUT, ...; undefined until it has ended. */
  readonly resultState: string | undefined
  readonly stateMessage: string
  /** Page of the run; undefined where the workspace gives none. */
  readonly runPageUrl: string | undefined
  readonly tasks: readonly RunTask[]
}

interface StateJson {
  readonly life_cycle_state?: string
  readonly result_state?: string
  readonly state_message?: string
}

interface RunJson {
  readonly run_id: number
  readonly run_name?: string
  readonly run_page_url?: string
  readonly state?: StateJson
  readonly tasks?: readonly { readonly task_key: string; readonly run_id: number; readonly state?: StateJson }[]
  /** A run of many tasks has them on several pages. */
  readonly next_page_token?: string
}

const RUNS = '/api/2.2/jobs/runs'
const ENDED = ['TERMINATED', 'SKIPPED', 'INTERNAL_ERROR']
/** Characters of the key behind the name, by which a run is found again. */
const SHOWN_KEY = 8

/**
 * Submits a run. It has a token, so that a request which is sent again after a lost answer starts no second one.
 * @returns its id
 * @throws OptionError, ServiceError; the reason of the signal
 */
export async function submitRun(submission: RunSubmission, options: ResourceOptions = {}): Promise<string> {
  const { databricks, signal } = readOptions('submitRun', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const checked = submissionOf('submitRun', submission)
  const { run_name } = checked
  const { run_id } = await make<{ readonly run_id: number }>(client, {
    kind: 'run',
    name: run_name,
    create: (key) =>
      client.json({
        method: 'POST',
        path: `${RUNS}/submit`,
        json: { ...checked, run_name: nameOf(run_name, key), idempotency_token: key },
        what: `the run ${run_name}`,
        isRepeatable: true,
        signal,
      }),
    idOf: (made) => String(made.run_id),
  })
  return String(run_id)
}

/** @throws ServiceError, also where there is none; the reason of the signal */
export async function getRun(runId: string, options: ResourceOptions = {}): Promise<JobRun> {
  const { databricks, signal } = readOptions('getRun', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const path = `${RUNS}/get`
  const what = `the run ${runId}`
  const run = await client.json<RunJson>({ path, query: { run_id: runId }, what, signal })
  const tasks = [...(run.tasks ?? [])]
  for (let token = run.next_page_token; token; ) {
    const page = await client.json<RunJson>({ path, query: { run_id: runId, page_token: token }, what, signal })
    tasks.push(...(page.tasks ?? []))
    token = page.next_page_token
  }
  return runOf({ ...run, tasks })
}

/**
 * Waits until a run has ended. What it ends with, a failure too, is in what this gives.
 * @throws ServiceError after `timeout`; the reason of the signal. The run goes on in both cases.
 */
export async function waitForRun(runId: string, options: WaitOptions = {}): Promise<JobRun> {
  const { databricks, ...waiting } = readOptions('waitForRun', options, WAIT_OPTIONS)
  const { signal } = waiting
  const client = await openDatabricks(databricks, signal)
  const run = await waitUntil(
    async () => {
      const value = await getRun(runId, { databricks: client, ...(signal && { signal }) })
      const { lifeCycleState } = value
      return { state: lifeCycleState, value, isDone: hasEnded(value) }
    },
    { ...waiting, what: `the run ${runId}` },
  )
  await recordGone(client, 'run', runId)
  return run
}

/** Whether nothing of a run goes on. */
export function hasEnded({ lifeCycleState }: Pick<JobRun, 'lifeCycleState'>): boolean {
  return ENDED.includes(lifeCycleState)
}

/**
 * What the task of an ended run wrote and why it failed, as far as the workspace keeps it.
 * @param runId Of a run with one task, or of the task.
 * @throws ServiceError; the reason of the signal
 */
export async function getRunOutput(runId: string, options: ResourceOptions = {}): Promise<Record<string, unknown>> {
  const { databricks, signal } = readOptions('getRunOutput', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const what = `the output of the run ${runId}`
  return await client.json({ path: `${RUNS}/get-output`, query: { run_id: runId }, what, signal })
}

/** Cancels a run. One that has ended, or is gone, is left so. @throws ServiceError; the reason of the signal */
export async function cancelRun(runId: string, options: ResourceOptions = {}): Promise<void> {
  const { databricks, signal } = readOptions('cancelRun', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const json = { run_id: Number(runId) }
  if (!Number.isSafeInteger(json.run_id))
    throw new ServiceError(`[databricks] expected the number of a run, got ${runId}; look at its page`)
  const call = { method: 'POST', path: `${RUNS}/cancel`, json, what: `the run ${runId}`, isRepeatable: true } as const
  try {
    await client.json({ ...call, signal })
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  await recordGone(client, 'run', runId)
}

/** The id of the active run that was submitted with this key; undefined: there is none. */
export async function findRun(
  client: DatabricksClient,
  key: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const query = { active_only: true, run_type: 'SUBMIT_RUN', limit: 24 }
  const pages = client.pages(
    { path: `${RUNS}/list`, query, what: 'the active runs', signal },
    ({ runs = [] }) => runs as RunJson[],
  )
  for await (const run of pages) if (run.run_name?.endsWith(nameOf('', key))) return String(run.run_id)
  return undefined
}

function nameOf(name: string, key: string): string {
  return `${name} [${key.slice(0, SHOWN_KEY)}]`
}

/** @throws OptionError where it is no submission; the service says what is wrong with a task */
export function submissionOf(where: string, submission: unknown): RunSubmission {
  expectObject(where, 'submission', submission)
  const { run_name, tasks } = submission as Readonly<Record<string, unknown>>
  check(where, 'run_name', run_name, text)
  check(where, 'tasks', tasks, TASKS)
  return submission as RunSubmission
}

const TASKS = listOf(
  instance('an object with a task_key', (task) => isPlainObject(task) && text.accepts(task.task_key)),
  'a list of objects with a task_key, and at least one',
  { minItems: 1 },
)

function runOf({ run_id, run_name = '', run_page_url, state = {}, tasks = [] }: RunJson): JobRun {
  return {
    runId: String(run_id),
    runName: run_name,
    ...stateOf(state),
    runPageUrl: run_page_url,
    tasks: tasks.map((task) => ({ taskKey: task.task_key, runId: String(task.run_id), ...stateOf(task.state ?? {}) })),
  }
}

function stateOf(state: StateJson): Pick<RunTask, 'lifeCycleState' | 'resultState' | 'stateMessage'> {
  return {
    lifeCycleState: state.life_cycle_state ?? 'PENDING',
    resultState: state.result_state,
    stateMessage: state.state_message ?? '',
  }
}
