/**
 * @file A run as its directory tells of it, whether it has ended or goes on. Nothing is written and no lock is taken. A
 * file that is missing, half written or not understood is told of and not the end.
 */

import { lstat, readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expectPath } from '../errors.js'
import type { EvaluationReport } from '../evaluate/evaluation-report.js'
import { LowrankError } from '../lowrank-error.js'
import { boolean } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { readDirectory, readRegularFileIfThere } from '../regular-file.js'
import { lockOf } from '../train/directory-lock.js'
import { checkpointStep } from '../train/output-directory.js'
import { CONFIG_FILE } from '../train/run-config.js'
import { LOG_FILE } from '../train/run-log.js'
import { parseRunStatus, RUN_FILE, type RunStatus } from '../train/run-status.js'
import { TRAINER_STATE_FILE } from '../train/trainer-state.js'
import { isPlainObject, toError } from '../values.js'
import { looksLikeEvaluation, parseEvaluation } from './read-evaluation.js'
import { type RunLogLines, readLogLines } from './run-log-lines.js'

/** Where a run stands. 'failed' is one that ended with an error, or without a word, as where it was killed. */
export type RunState = 'running' | 'complete' | 'stopped' | 'failed'

/** A checkpoint on disk. */
export interface RunCheckpoint {
  readonly step: number
  readonly name: string
  readonly bytes: number
  readonly savedAt: string
}

/** The best evaluation of a run. */
export interface BestResult {
  readonly metric: string
  readonly value: number
  readonly step: number
  /** The checkpoint of it; absent where there is none. */
  readonly checkpoint?: string
}

/** What a directory tells of its run. */
export interface RunData {
  /** Absolute. */
  readonly directory: string
  readonly name: string | undefined
  readonly state: RunState
  /** Why it failed, or what is not certain of its state. */
  readonly reason: string | undefined
  readonly step: number
  readonly totalSteps: number | undefined
  /** Seconds of all sessions; undefined where no file tells. */
  readonly seconds: number | undefined
  /** As they were used; empty where no file tells. */
  readonly options: Readonly<Record<string, unknown>>
  readonly status: RunStatus | undefined
  readonly log: RunLogLines
  readonly checkpoints: readonly RunCheckpoint[]
  readonly best: BestResult | undefined
  /** Evaluations found in the directory, by file. */
  readonly evaluations: readonly { readonly file: string; readonly report: EvaluationReport }[]
  /** What could not be read. */
  readonly notes: readonly string[]
}

/** How a run is read. */
export interface ReadRunOptions {
  /**
   * Reads the evaluations that lie in the directory too.
   * @default true
   */
  readonly evaluations?: boolean
}

export const READ_RUN_OPTIONS = {
  evaluations: { rule: boolean, default: true, help: 'reads the evaluations that lie in the directory too' },
} as const satisfies OptionTable<ReadRunOptions>

/** Files by which a directory is that of a run. */
const RUN_FILES = [RUN_FILE, LOG_FILE, TRAINER_STATE_FILE, CONFIG_FILE]

/** Whether a list of names is that of a run's directory. A checkpoint, which has a trainer_state.json too, is none. */
export function isRunDirectory(names: readonly string[]): boolean {
  if (names.includes('optimizer.safetensors')) return false
  return (
    names.includes(RUN_FILE) || names.includes(LOG_FILE) || names.some((name) => checkpointStep(name) !== undefined)
  )
}

/**
 * Reads a run's directory, also while the run goes on. Nothing there is changed.
 * @throws LowrankError naming what is looked for where the directory is none of a run
 * @throws OptionError on unknown options
 */
export async function readRun(directory: string, options: ReadRunOptions = {}): Promise<RunData> {
  expectPath('report', 'directory', directory)
  const { evaluations } = readOptions('report', options, READ_RUN_OPTIONS)
  const names = await readDirectory('report', directory)
  if (!isRunDirectory(names)) {
    throw new LowrankError(
      'FILE',
      `[report] expected the directory of a run, with ${RUN_FILES.slice(0, 2).join(' or ')} in it, got ${directory}; give the outputDir ` +
        'of a run, or use lowrank runs to find some',
    )
  }
  const notes: string[] = []
  const read = async (name: string): Promise<string | undefined> => {
    try {
      return (
        await readRegularFileIfThere(join(directory, name), { where: 'report', limit: 1_000_000_000 })
      )?.toString()
    } catch (error) {
      notes.push(toError(error).message)
      return undefined
    }
  }
  const statusText = await read(RUN_FILE)
  const status = statusText === undefined ? undefined : parseRunStatus(statusText)
  if (statusText !== undefined && !status) notes.push(`${RUN_FILE} is none that a run of this version wrote`)
  const log = readLogLines((await read(LOG_FILE)) ?? '')
  if (log.badLines > 0) notes.push(`${LOG_FILE} has ${log.badLines} lines that are no lines of a log`)
  const trainerState = parsedObject(await read(TRAINER_STATE_FILE))
  const checkpoints = await checkpointsOf(directory, names)
  const step = Math.max(
    0,
    ...[log.steps.at(-1)?.step, status?.sessions.at(-1)?.step, integer(trainerState?.global_step)].map((at) => at ?? 0),
    ...checkpoints.map((each) => each.step),
  )
  const totalSteps = status?.end?.totalSteps ?? status?.start.totalSteps ?? integer(trainerState?.max_steps)
  return {
    directory: resolve(directory),
    name: status?.start.runName ?? textOf(trainerState?.trial_name),
    ...(await stateOf(directory, { status, trainerState, step, totalSteps })),
    step,
    totalSteps,
    seconds: secondsOf(status),
    options: status?.start.options ?? (await configOptions(await read(CONFIG_FILE), notes)),
    status,
    log,
    checkpoints,
    best: bestOf(status, trainerState, log),
    evaluations: evaluations ? await findEvaluations(directory, names, notes) : [],
    notes,
  }
}

function parsedObject(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return isPlainObject(value) ? value : undefined
  } catch {
    // It is missing, or half of it.
    return undefined
  }
}

function integer(value: unknown): number | undefined {
  return Number.isSafeInteger(value) ? (value as number) : undefined
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

interface Known {
  readonly status: RunStatus | undefined
  readonly trainerState: Readonly<Record<string, unknown>> | undefined
  readonly step: number
  readonly totalSteps: number | undefined
}

const KILLED = 'the process ended without a word: it was killed, or the machine went down'

async function stateOf(directory: string, known: Known): Promise<Pick<RunData, 'state' | 'reason'>> {
  const { status, trainerState, step, totalSteps } = known
  const lock = await lockOf(directory)
  if (lock === 'running') return { state: 'running', reason: undefined }
  const last = status?.sessions.at(-1)?.state
  if (last === 'completed') return { state: 'complete', reason: undefined }
  if (last === 'aborted') {
    const by = status?.end?.stoppedBy
    return { state: 'stopped', reason: by === undefined ? undefined : `stopped by ${by}` }
  }
  if (last === 'failed')
    return { state: status?.fail?.code === 'STOPPED' ? 'stopped' : 'failed', reason: status?.fail?.message }
  if (lock === 'unknown') {
    return {
      state: 'running',
      reason: 'its lock is of another machine or container: whether it still goes on is not known here',
    }
  }
  if (status) return { state: 'failed', reason: KILLED }
  // A run of a version without run.json writes its trainer_state.json at its end.
  const written = integer(trainerState?.global_step)
  if (written === undefined || written < step) return { state: 'failed', reason: KILLED }
  return { state: totalSteps !== undefined && written >= totalSteps ? 'complete' : 'stopped', reason: undefined }
}

function secondsOf(status: RunStatus | undefined): number | undefined {
  if (!status) return undefined
  const spans = status.sessions.map(
    ({ startedAt, updatedAt }) => (Date.parse(updatedAt) - Date.parse(startedAt)) / 1000,
  )
  const seconds = spans.reduce((sum, span) => sum + span, 0)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined
}

/** The options of a run that has no run.json. */
async function configOptions(text: string | undefined, notes: string[]): Promise<Record<string, unknown>> {
  if (text === undefined) return {}
  try {
    const { parse } = await import('yaml')
    const value: unknown = parse(text)
    if (isPlainObject(value)) return value
    notes.push(`${CONFIG_FILE} holds no options`)
  } catch (error) {
    notes.push(`${CONFIG_FILE} cannot be read: ${toError(error).message}`)
  }
  return {}
}

async function checkpointsOf(directory: string, names: readonly string[]): Promise<RunCheckpoint[]> {
  const found = await Promise.all(
    names.map(async (name): Promise<RunCheckpoint | undefined> => {
      const step = checkpointStep(name)
      if (step === undefined) return undefined
      try {
        const path = join(directory, name)
        const sizes = await Promise.all((await readdir(path)).map(async (file) => (await lstat(join(path, file))).size))
        const { mtime } = await stat(path)
        return { step, name, bytes: sizes.reduce((sum, size) => sum + size, 0), savedAt: mtime.toISOString() }
      } catch {
        // A run that goes on has just removed it.
        return undefined
      }
    }),
  )
  return found.filter((each) => each !== undefined).sort((a, b) => a.step - b.step)
}

/** The run's own judgement where it made one, else the lowest held-out loss. */
function bestOf(status: RunStatus | undefined, state: Known['trainerState'], log: RunLogLines): BestResult | undefined {
  const told = status?.end?.best
  if (typeof told?.value === 'number') return told
  const step = integer(state?.best_global_step)
  const metric = textOf((status?.start.options.training as Record<string, unknown> | undefined)?.metricForBestModel)
  const checkpoint = textOf(state?.best_model_checkpoint)
  if (step !== undefined && typeof state?.best_metric === 'number') {
    const name = metric === undefined ? 'eval_loss' : metric.startsWith('eval_') ? metric : `eval_${metric}`
    return { metric: name, value: state.best_metric, step, ...(checkpoint !== undefined && { checkpoint }) }
  }
  let best: BestResult | undefined
  for (const { step: at, figures } of log.evaluations) {
    const value = figures.eval_loss
    if (typeof value === 'number' && (best === undefined || value < best.value))
      best = { metric: 'eval_loss', value, step: at }
  }
  return best
}

/** Evaluations in the directory and in the folders directly below. */
async function findEvaluations(
  directory: string,
  names: readonly string[],
  notes: string[],
): Promise<{ file: string; report: EvaluationReport }[]> {
  const files = names.filter((name) => name.endsWith('.json'))
  for (const name of names) {
    if (name.startsWith('.') || checkpointStep(name) !== undefined) continue
    const inner = await readdir(join(directory, name)).catch(() => [])
    files.push(...inner.filter((file) => file.endsWith('.json')).map((file) => join(name, file)))
  }
  const found: { file: string; report: EvaluationReport }[] = []
  for (const file of files.sort()) {
    try {
      const bytes = await readRegularFileIfThere(join(directory, file), { where: 'report' })
      const value = parsedObject(bytes?.toString())
      if (value && looksLikeEvaluation(value)) found.push({ file, report: parseEvaluation(value, file) })
    } catch (error) {
      notes.push(toError(error).message)
    }
  }
  return found
}
