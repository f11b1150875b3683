/** @file lowrank_state.json: where a run stands between two steps, parsed strictly, and whether that can be at all. */

import { BatchSchedule, type DataCursor, type StreamPosition } from '../data/batches.js'
import type { RowStream } from '../data/row-stream.js'
import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import type { Turns } from '../turns.js'
import { isObject } from '../values.js'
import { parseJsonObject } from '../weights/strict-json.js'
import { LossScaler, type LossScalerState } from './loss-scaler.js'
import type { Means } from './means.js'

export const STATE_FILE = 'lowrank_state.json'

/** Sums over the steps since the last log event. */
export interface LogFigures extends Means {
  steps: number
  skipped: number
  loss: number
  gradNorm: number
  tokens: number
  seconds: number
  /** With `logGradNorms`: of the layers, by name. */
  gradNorms?: Readonly<Record<string, number>>
}

/** Where a run stands between two steps. With the weights and the moments it determines everything that follows. */
export interface TrainerState {
  /** The run, the same in all its checkpoints. */
  runId: string
  /** Optimizer steps done. */
  step: number
  cursor: DataCursor
  /** With rows that are taken as they come: which were taken of the pass, at its end of the whole pass. */
  position?: StreamPosition
  /** Counter of dropout masks: micro-batches done. */
  microStep: number
  numInputTokensSeen: number
  /** State of the loss scale of a run in float16. */
  lossScaler?: LossScalerState
  log: LogFigures
}

/** What the windows of a run come from: rows that are all there, or that are taken as they come. */
export type RunPlan = BatchSchedule | RowStream

/** What a state file holds. */
export interface StoredState extends TrainerState {
  optimizerSteps: number
  identity: Readonly<Record<string, unknown>>
}

export const NO_FIGURES: Readonly<LogFigures> = { steps: 0, skipped: 0, loss: 0, gradNorm: 0, tokens: 0, seconds: 0 }
const SHA_256 = /^[0-9a-f]{64}$/
const RUN_ID = /^[0-9a-f-]{36}$/

/** @throws naming the field that is not what it must be: everything after would silently be another run. */
export function parseState(file: string, bytes: Uint8Array): StoredState {
  const raw = parseJsonObject('resume', file, bytes)
  const object = (name: string): Readonly<Record<string, unknown>> => {
    const value = raw[name]
    if (isObject(value)) return value
    throw damaged(file, name, 'an object', value)
  }
  const count = (name: string, value: unknown): number => {
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
    throw damaged(file, name, 'a whole number >= 0', value)
  }
  const amount = (name: string, value: unknown): number => {
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
    throw damaged(file, name, 'a number >= 0', value)
  }
  const scalerState = ({ scale, growthTracker }: Readonly<Record<string, unknown>>): LossScalerState => {
    if (typeof scale !== 'number' || !LossScaler.isScale(scale))
      throw damaged(file, 'lossScaler.scale', 'a power of two that float32 holds', scale)
    const tracker = count('lossScaler.growthTracker', growthTracker)
    if (LossScaler.isTracker(tracker)) return { scale, growthTracker: tracker }
    throw damaged(file, 'lossScaler.growthTracker', 'a whole number below 2000', tracker)
  }
  const numbersOf = (what: string, given: unknown): Record<string, number> => {
    if (!isObject(given)) throw damaged(file, what, 'an object', given)
    for (const [name, value] of Object.entries(given))
      if (!Number.isFinite(value)) throw damaged(file, `${what}.${name}`, 'a number', value)
    return given as Record<string, number>
  }
  const figures = (log: Readonly<Record<string, unknown>>): LogFigures => ({
    steps: count('log.steps', log.steps),
    skipped: count('log.skipped', log.skipped),
    loss: amount('log.loss', log.loss),
    gradNorm: amount('log.gradNorm', log.gradNorm),
    tokens: count('log.tokens', log.tokens),
    seconds: amount('log.seconds', log.seconds),
    ...(log.figures !== undefined && { figures: numbersOf('log.figures', log.figures) }),
    ...(log.gradNorms !== undefined && { gradNorms: numbersOf('log.gradNorms', log.gradNorms) }),
  })
  const { epoch, index } = object('cursor')
  const positionOf = ({ rows, fingerprint }: Readonly<Record<string, unknown>>): StreamPosition => {
    if (typeof fingerprint === 'string' && SHA_256.test(fingerprint))
      return { rows: count('position.rows', rows), fingerprint }
    throw damaged(file, 'position.fingerprint', 'a SHA-256', fingerprint)
  }
  const { runId = '' } = raw
  if (typeof runId !== 'string' || !(runId === '' || RUN_ID.test(runId))) throw damaged(file, 'runId', 'an id', runId)
  return {
    runId,
    step: count('step', raw.step),
    cursor: { epoch: count('cursor.epoch', epoch), index: count('cursor.index', index) },
    ...(raw.position !== undefined && { position: positionOf(object('position')) }),
    microStep: count('microStep', raw.microStep),
    numInputTokensSeen: count('numInputTokensSeen', raw.numInputTokensSeen),
    ...(raw.lossScaler !== undefined && { lossScaler: scalerState(object('lossScaler')) }),
    // Early versions began their figures anew.
    log: raw.log === undefined ? { ...NO_FIGURES } : figures(object('log')),
    optimizerSteps: count('optimizerSteps', raw.optimizerSteps),
    identity: object('identity'),
  }
}

/**
 * Compares the counters of a state with each other and with the plan of the run: they follow from the cursor.
 * @throws naming the first that cannot be
 */
export async function expectPossible(
  file: string,
  state: Omit<StoredState, 'identity'>,
  { plan, totalSteps, turns }: { plan: RunPlan; totalSteps: number; turns: Turns },
): Promise<void> {
  const { step, cursor, microStep, numInputTokensSeen, optimizerSteps, lossScaler, log } = state
  // First: an epoch of 10^15 must not be counted up to.
  if (step > totalSteps) {
    throw new LowrankError(
      'CHECKPOINT',
      `[resume] expected a step of at most ${totalSteps}, which the run takes in all, got ${step} in ${file}; raise numTrainEpochs or ` +
        'maxSteps, or go on from an earlier checkpoint',
    )
  }
  if (cursor.epoch > step) throw damaged(file, 'cursor.epoch', `at most ${step}, the steps done,`, cursor.epoch)
  if (plan instanceof BatchSchedule) {
    await plan.prepare(cursor.epoch, turns)
    if (cursor.index >= plan.numBatches(cursor.epoch)) {
      const expected = `a number below ${plan.numBatches(cursor.epoch)}, the micro-batches of an epoch,`
      throw damaged(file, 'cursor.index', expected, cursor.index)
    }
  } else if (step > 0 && state.position === undefined)
    throw damaged(file, 'position', 'the rows that were taken', undefined)
  let done: { windows: number; batches: number } | undefined
  try {
    if (plan instanceof BatchSchedule) plan.window(cursor)
    done = await plan.before(cursor, turns)
  } catch {
    throw damaged(file, 'cursor.index', 'the first micro-batch of a step', cursor.index)
  }
  // Passes of rows that are taken as they come may differ in length.
  if (done !== undefined) {
    const { windows, batches } = done
    if (step !== windows) throw damaged(file, 'step', `${windows}, as the cursor says,`, step)
    if (microStep !== batches) throw damaged(file, 'microStep', `${batches}, as the cursor says,`, microStep)
  } else if (microStep < step) throw damaged(file, 'microStep', `at least ${step}, one for each step,`, microStep)
  const isScaled = lossScaler !== undefined
  if (isScaled ? optimizerSteps > step : optimizerSteps !== step)
    throw damaged(file, 'optimizerSteps', isScaled ? `at most ${step}` : `${step}, the steps done,`, optimizerSteps)
  if (numInputTokensSeen < step)
    throw damaged(file, 'numInputTokensSeen', `at least ${step}, one for each step,`, numInputTokensSeen)
  if (log.steps > step || log.skipped > log.steps)
    throw damaged(file, 'log.steps', `at most ${step}, the steps done,`, log.steps)
}

function damaged(file: string, name: string, expected: string, value: unknown): Error {
  return new LowrankError(
    'CHECKPOINT',
    `[resume] expected ${expected} for ${name}, got ${describeValue(value)} in ${file}; go on from an earlier checkpoint`,
  )
}
