/**
 * @file The calls of a run on their way to a server, each once.
 *
 * 1. Calls are sent in their order, one request at a time. Points that stand one behind the other go together.
 * 2. Where nobody knows whether a request was served (a connection that broke, an answer of 5xx, a process that was
 *    killed between a request and its line in the journal), the next one asks first what the server has. A run is found
 *    by its tag, a logged model by its call, and points by their step: those of a metric come with rising steps, so
 *    that a server that has a step has all before it. A resumed run that makes steps again logs none of them twice by
 *    the same rule.
 */

import { isAbsolute, join } from 'node:path'
import { withoutSecrets } from '../errors.js'
import { ServiceError } from '../http/service-error.js'
import { putArtifact } from './artifacts.js'
import {
  CALL_TAG,
  type CreateRunCall,
  type LogMetricsCall,
  type LogModelCall,
  type MlflowCall,
  RUN_TAG,
  type RunState,
} from './calls.js'
import type { MlflowClient, MlflowRun } from './client.js'
import { LONGEST_TAG, MOST_METRICS } from './limits.js'
import { loggedModel } from './logged-files.js'
import { type Points, pointsOfKeys, type QueuedCall } from './queued-call.js'

/** MLflow's experiment for those who name none. */
const DEFAULT_EXPERIMENT = '0'

/** Sends the calls of one run. */
export class CallSender {
  readonly #client: MlflowClient
  /** Where relative paths of the calls begin. */
  readonly #directory: string
  readonly #warn: (message: string) => void
  /** Whether the server may have more than this sender knows of. */
  #isUnclear: boolean
  /** Highest step of each metric; undefined: the server has to be asked. */
  #steps: Map<string, number> | undefined
  run: RunState | undefined

  constructor(
    client: MlflowClient,
    { directory, run, warn }: { directory: string; run: RunState | undefined; warn: (message: string) => void },
    isUnclear: boolean,
  ) {
    this.#client = client
    this.#directory = directory
    this.#warn = warn
    this.#isUnclear = isUnclear
    this.#steps = isUnclear ? undefined : new Map()
    this.run = run
  }

  /**
   * Sends the first call, and the points behind it that one request has place for.
   * @param most calls to send together
   * @returns how many were sent
   * @throws what the server or the file system said; the same calls may be given again
   */
  async send(calls: readonly QueuedCall[], most = MOST_METRICS): Promise<number> {
    const [first] = calls
    if (first === undefined) return 0
    try {
      if (first.call === 'log-metrics') return await this.#logPoints(calls, most)
      await this.#perform(first)
      this.#isUnclear = false
      return 1
    } catch (error) {
      this.#isUnclear = true
      this.#steps = undefined
      // Points that go together are left out only where they are refused by themselves.
      if (first.call === 'log-metrics' && most > 1 && remedyFor(error, first) === 'leave out')
        return await this.send(calls, 1)
      throw error
    }
  }

  async #perform(call: Exclude<MlflowCall, LogMetricsCall>): Promise<void> {
    if (call.call === 'create-run') return await this.#createRun(call)
    const { runId, experimentId, artifactUri } = this.#expectRun()
    const owner = { runId, artifactUri }
    const { connection, signal } = this.#client
    switch (call.call) {
      case 'continue-run':
        await this.#client.updateRun(runId, { status: 'RUNNING' })
        return await this.#client.logBatch(runId, { tags: call.tags })
      case 'log-params':
        return await this.#logParams(runId, call.params)
      case 'set-tags':
        return await this.#client.logBatch(runId, { tags: call.tags })
      case 'log-inputs':
        return await this.#client.logInputs(runId, call.datasets)
      case 'log-artifact':
        return await putArtifact(connection, owner, call.path, { file: this.#pathOf(call.file) }, signal)
      case 'log-text':
        return await putArtifact(connection, owner, call.path, { text: call.text }, signal)
      case 'log-model':
        return await this.#logModel(call, experimentId, runId)
      case 'end-run':
        return await this.#client.updateRun(runId, { status: call.status, endTime: call.endTime })
      default:
        call satisfies never
    }
  }

  async #createRun(call: CreateRunCall): Promise<void> {
    const client = this.#client
    const { runName, startTime, tags } = call
    let run: MlflowRun | undefined
    if (call.runId !== undefined) {
      run = await client.getRun(call.runId)
      await client.updateRun(run.runId, { status: 'RUNNING', ...(runName !== undefined && { runName }) })
      await client.logBatch(run.runId, { tags })
      // It has points that this sender has not seen.
      this.#steps = undefined
    } else {
      const name = call.experimentName
      const experimentId =
        call.experimentId ?? (name === undefined ? DEFAULT_EXPERIMENT : await client.experimentId(name))
      if (this.#isUnclear) run = await client.findRun(experimentId, RUN_TAG, tags[RUN_TAG] ?? '')
      run ??= await client.createRun({ experimentId, runName, startTime, tags })
    }
    this.run = { experimentId: run.experimentId, runId: run.runId, artifactUri: run.artifactUri }
  }

  async #logPoints(calls: readonly QueuedCall[], most: number): Promise<number> {
    const { runId } = this.#expectRun()
    this.#steps ??= new Map((await this.#client.getRun(runId)).metrics.map(({ key, step }) => [key, step]))
    const { steps, pieces, count } = wholeRequest(calls, most, this.#steps)
    if (pieces.length > 0) await this.#client.logPoints(runId, pieces)
    this.#steps = steps
    this.#isUnclear = false
    return count
  }

  /** A param never changes: what a resumed run has otherwise is told of. */
  async #logParams(runId: string, params: Readonly<Record<string, string>>): Promise<void> {
    const there = (await this.#client.getRun(runId)).params
    const changed = Object.keys(params).filter((key) => there[key] !== undefined && there[key] !== params[key])
    const lacking = Object.entries(params).filter(([key]) => there[key] === undefined)
    await this.#client.logBatch(runId, { params: Object.fromEntries(lacking) })
    if (changed.length === 0) return
    this.#warn(
      `[mlflow] params of a run never change: ${changed.join(', ')} ${changed.length === 1 ? 'is' : 'are'} another in this part of the run; see the tag lowrank.changedParams`,
    )
    const text = JSON.stringify(Object.fromEntries(changed.map((key) => [key, params[key]])))
    await this.#client.logBatch(runId, { tags: { 'lowrank.changedParams': text.slice(0, LONGEST_TAG) } })
  }

  async #logModel(call: LogModelCall, experimentId: string, runId: string): Promise<void> {
    const client = this.#client
    const { connection, signal } = client
    const { name, modelType, params, step } = call
    const filesOf = await loggedModel(this.#pathOf(call.directory), modelType, { runId, warn: this.#warn, signal })
    const mark = `${runId}-${step}`
    try {
      const found = this.#isUnclear ? await client.findLoggedModel(experimentId, CALL_TAG, mark) : undefined
      const tags = { [CALL_TAG]: mark }
      const model = found ?? (await client.createLoggedModel({ experimentId, runId, name, modelType, params, tags }))
      for (const { path, content } of filesOf(model.modelId))
        await putArtifact(connection, model, path, content, signal)
      await client.finishLoggedModel(model.modelId, 'LOGGED_MODEL_READY')
      const outputs = this.#isUnclear || found ? (await client.getRun(runId)).modelIds : []
      if (!outputs.includes(model.modelId)) await client.logOutputs(runId, model.modelId, step)
      this.run = { ...this.#expectRun(), modelId: model.modelId }
    } catch (error) {
      if (!(error instanceof ServiceError) || error.errorCode !== 'ENDPOINT_NOT_FOUND') throw error
      // Servers before MLflow 3 have no logged models.
      for (const { path, content } of filesOf(undefined))
        await putArtifact(connection, this.#expectRun(), `${name}/${path}`, content, signal)
    }
  }

  #expectRun(): RunState {
    if (this.run !== undefined) return this.run
    throw new ServiceError(
      '[mlflow] expected a journal that begins with its run, got other calls; look at its first line',
    )
  }

  #pathOf(path: string): string {
    return isAbsolute(path) ? path : join(this.#directory, path)
  }
}

/**
 * The points of one request, of those steps that the server does not have.
 * @param known highest step of each metric that the server has
 * @returns those steps with the request, its points, and how many calls they are of
 */
function wholeRequest(
  calls: readonly QueuedCall[],
  most: number,
  known: ReadonlyMap<string, number>,
): { readonly steps: Map<string, number>; readonly pieces: readonly Buffer[]; readonly count: number } {
  const steps = new Map(known)
  const pieces: Buffer[] = []
  let size = 0
  let count = 0
  let last: Points | undefined
  // Text that lies together is one piece.
  let from: Points | undefined
  const endPiece = (): void => {
    if (from !== undefined && last !== undefined && last.end > from.start)
      pieces.push(from.text.bytes.subarray(from.start, last.end))
    for (const key of last?.keys ?? []) steps.set(key, (last as Points).step)
    from = undefined
  }
  for (const call of calls) {
    if (call.call !== 'log-metrics' || count === most) break
    if (count > 0 && size + call.keys.length > MOST_METRICS) break
    let points = call
    const goesOn = last !== undefined && call.text === last.text && call.keys === last.keys && call.step > last.step
    if (!goesOn) {
      endPiece()
      const fresh = call.keys.filter((key) => call.step > (steps.get(key) ?? Number.NEGATIVE_INFINITY))
      if (fresh.length < call.keys.length) points = pointsOfKeys(call, fresh)
    }
    from ??= points
    last = points
    size += points.keys.length
    count++
  }
  endPiece()
  return { steps, pieces, count }
}

/** What may be done about a failure: try again, leave this call out, or nothing until somebody looks. */
export type Remedy = 'again' | 'leave out' | 'stop'

/** What a failure of `send` asks for. */
export function remedyFor(error: unknown, call: QueuedCall | undefined): Remedy {
  if (!(error instanceof ServiceError)) return call?.call === 'create-run' ? 'stop' : 'leave out'
  const { status } = error
  if (status === undefined || status === 408 || status === 429 || status >= 500) return 'again'
  if (status < 400 || status === 401 || status === 403 || call?.call === 'create-run') return 'stop'
  return 'leave out'
}

/** A message without secrets, as journals and warnings may have it. */
export function messageOf(error: unknown): string {
  return withoutSecrets(error instanceof Error ? error.message : String(error))
}
