/** @file What the commands about runs have in common: how a run is shown and followed, and what its tasks wrote. */

import type { DatabricksOptions } from '../../../databricks/client/connect.js'
import type { JobRun } from '../../../databricks/jobs.js'
import { harmless } from '../../../progress/text-width.js'
import { writeFields } from '../output.js'
import type { WaitHere, WaitTalk } from '../waiting.js'

export const RUN_ID = { argument: 'run-id', help: 'id of the run' } as const

/** The fields of a run, as people read them; those of its tasks below. */
export function runFields({ runId, runName, resultState, lifeCycleState, ...run }: JobRun): Record<string, string> {
  const tasks = run.tasks.map((task): [string, string] => [
    `task ${task.taskKey}`,
    [task.resultState ?? task.lifeCycleState, task.stateMessage].filter(Boolean).join(': '),
  ])
  const state = resultState ?? lifeCycleState
  const own = { id: runId, name: runName, state, message: run.stateMessage, page: run.runPageUrl ?? '' }
  return { ...own, ...Object.fromEntries(tasks) }
}

/** What one task wrote. */
export interface TaskOutput {
  readonly taskKey: string
  readonly runId: string
  readonly resultState: string | undefined
  readonly logs: string | undefined
  /** Whether the workspace keeps the end of the logs alone. */
  readonly isTruncated: boolean
  readonly error: string | undefined
  readonly trace: string | undefined
}

/** Waits until a run has ended. The first state that is shown has its page. */
export async function followRun(
  id: string,
  databricks: DatabricksOptions,
  here: WaitHere,
  { made }: WaitTalk,
): Promise<JobRun> {
  const { waitForRun } = await import('../../../databricks/jobs.js')
  const own = 'lowrank databricks runs'
  made(`it goes on in the workspace; ${own} logs ${id} waits for it, runs cancel ${id} ends it`)
  return await waitForRun(id, { databricks, ...here })
}

/** What the tasks of an ended run wrote. */
export async function outputsOf(
  run: JobRun,
  databricks: DatabricksOptions,
  signal: AbortSignal,
): Promise<TaskOutput[]> {
  const { getRunOutput } = await import('../../../databricks/jobs.js')
  const outputs: TaskOutput[] = []
  for (const { taskKey, runId, resultState } of run.tasks) {
    const { logs, logs_truncated, error, error_trace } = await getRunOutput(runId, { databricks, signal })
    const isTruncated = logs_truncated === true
    outputs.push({
      taskKey,
      runId,
      resultState,
      logs: textOf(logs),
      isTruncated,
      error: textOf(error),
      trace: textOf(error_trace),
    })
  }
  return outputs
}

/** Logs go to stdout; why a task failed, and what is said beside them, to stderr. */
export function writeOutputs(outputs: readonly TaskOutput[]): void {
  for (const { taskKey, logs, isTruncated, error, trace } of outputs) {
    if (outputs.length > 1) process.stderr.write(`The task ${harmless(taskKey)}\n`)
    if (isTruncated) process.stderr.write('The workspace keeps the end of the logs alone:\n')
    if (logs !== undefined) process.stdout.write(lines(logs))
    for (const text of [error, trace]) if (text !== undefined) process.stderr.write(lines(text))
  }
}

/** Shows a run that has ended, and lets the command end with 1 unless all went well. */
export function endWith(run: JobRun): void {
  const { resultState } = run
  if (resultState !== 'SUCCESS' && resultState !== 'SUCCESS_WITH_FAILURES') process.exitCode = 1
}

export function writeRun(run: JobRun): void {
  writeFields(runFields(run))
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** A log without control characters, line by line. */
function lines(text: string): string {
  return `${text.replace(/\n$/, '').split('\n').map(harmless).join('\n')}\n`
}
