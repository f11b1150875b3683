/**
 * @file simulateTraining: the steps, the learning rate, the tokens and the memory of a run without weights and without
 * rows. They are those that the run would have for rows of these lengths; the loss is a formula and says nothing about
 * the model.
 */

import type { RawConfig } from '../architecture/config.js'
import { BatchSchedule } from '../data/batches.js'
import type { Example } from '../data/examples.js'
import type { ItemList } from '../data/items.js'
import { expectObject } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { check } from '../options/rules.js'
import { readOptions } from '../options/table.js'
import { Random } from '../random.js'
import { Turns } from '../turns.js'
import type { MoreOptions, ResolvedTrainOptions } from './options.js'
import { PLAN_TRAINING_OPTIONS, type PlanRunOptions, planResolved, type TrainingPlan } from './plan.js'
import { resolveTrainOptions } from './resolve-options.js'
import { learningRateAt, resolveWarmupSteps } from './schedule.js'
import { SIMULATION_OPTIONS, type SimulationOptions } from './simulation-options.js'
import { countSteps } from './trainer.js'

/** A step that is logged, as the `log` event of a run: means of the steps since the last one. */
export interface SimulatedLog {
  readonly step: number
  readonly totalSteps: number
  readonly epoch: number
  /** By the formula. */
  readonly loss: number
  /** That of the run. */
  readonly learningRate: number
  /** Tokens of the run so far, prompts included. */
  readonly numInputTokensSeen: number
}

/** What the run takes of the device's memory at some moment, of the CPU's with the process. */
export interface SimulatedMemory {
  readonly moment: 'loading' | 'before the first step' | 'within a step' | 'between steps'
  readonly bytes: number
}

/** A run that did not happen. */
export interface Simulation {
  /** Nothing here was measured. */
  readonly isSimulated: true
  readonly plan: TrainingPlan
  readonly rows: number
  readonly stepsPerEpoch: number
  readonly totalSteps: number
  readonly warmupSteps: number
  /** Tokens of the whole run, prompts included. */
  readonly numInputTokens: number
  readonly logs: readonly SimulatedLog[]
  readonly memory: readonly SimulatedMemory[]
}

/** Steps at the highest learning rate, by which the formula counts. */
const STEPS_OF_FORMULA = 10
/** Draws lengths, and noise, that are no draws of the run. */
const LENGTHS_STREAM = 0x5171
const NOISE_STREAM = 0x5172
/** Standard deviation of the logarithm of a length. */
const LENGTH_SPREAD = 0.6

/**
 * Simulates a run from its options alone: no weights are read, no row is read, and nothing is trained. Steps, epochs,
 * learning rates and tokens are those that `trainLora` has for rows of such lengths, and memory is planned as
 * `planTraining` does. The loss is made up: `finalLoss + (initialLoss - finalLoss) / sqrt(1 + u / 10)` where u is the
 * sum of the learning rates so far divided by the highest, with noise. It is for looking at schedules, logs and
 * trackers, and forecasts nothing.
 * @param options those of `trainLora`; `dataset` and `outputDir` are ignored
 * @throws OptionError on unknown options and on those that `trainLora` refuses
 */
export async function simulateTraining(
  options: PlanRunOptions,
  simulation: SimulationOptions = {},
  more?: MoreOptions,
): Promise<Simulation> {
  expectObject('simulate', 'options', options)
  const { model, ...rest } = options
  check('simulate', 'model', model, PLAN_TRAINING_OPTIONS.model.rule)
  const given = typeof model === 'string' ? undefined : model
  const name = typeof model === 'string' ? model : 'config'
  return await simulateResolved(resolveTrainOptions({ dataset: [], ...rest, model: name }, more), simulation, given)
}

/** `simulateTraining` with options that are checked and completed, as the command line has them. */
export async function simulateResolved(
  options: ResolvedTrainOptions,
  simulation: SimulationOptions,
  given?: RawConfig,
): Promise<Simulation> {
  const made = readOptions('simulate', simulation, SIMULATION_OPTIONS)
  if (made.finalLoss > made.initialLoss)
    throw new OptionError(
      `[simulate] expected a finalLoss of at most initialLoss ${made.initialLoss}, got ${made.finalLoss}`,
    )
  const plan = await planResolved(options, made.memory, given)
  const training = { ...options.training, maxLength: plan.settings.maxLength }
  const { seed, lrSchedulerType: type, learningRate, loggingSteps, loggingFirstStep } = training
  const turns = new Turns()
  const batches = new BatchSchedule(simulatedRows(made.rows, made.tokensPerRow, training.maxLength, seed), training)
  await batches.prepare(0, turns)
  const stepsPerEpoch = batches.numWindows(0)
  const totalSteps = await countSteps(batches, training, turns)
  const warmupSteps = resolveWarmupSteps(totalSteps, training)
  const schedule = { type, learningRate, warmupSteps, totalSteps }
  const noise = new Random(seed, NOISE_STREAM)
  const logs: SimulatedLog[] = []
  let numInputTokens = 0
  let learnt = 0
  let sum = 0
  let count = 0
  let step = 0
  for await (const { numTokens, numItems, next } of batches.windows({ epoch: 0, index: 0 })) {
    const rate = learningRateAt(step++, schedule)
    const expected = made.finalLoss + (made.initialLoss - made.finalLoss) / Math.sqrt(1 + learnt / STEPS_OF_FORMULA)
    const [drawn = 0] = noise.normals(1, 0, made.noise / Math.sqrt(numItems))
    sum += Math.max(0, expected * (1 + drawn))
    count++
    learnt += learningRate > 0 ? rate / learningRate : 0
    numInputTokens += numTokens
    const isLast = step === totalSteps
    if (step % loggingSteps !== 0 && !isLast && !(step === 1 && loggingFirstStep)) continue
    const part = next.index === 0 ? 0 : next.index / batches.numBatches(next.epoch)
    const epoch = next.epoch + part
    logs.push({ step, totalSteps, epoch, loss: sum / count, learningRate: rate, numInputTokensSeen: numInputTokens })
    if (isLast) break
    sum = 0
    count = 0
  }
  return {
    isSimulated: true,
    plan,
    rows: made.rows,
    stepsPerEpoch,
    totalSteps,
    warmupSteps,
    numInputTokens,
    logs,
    memory: memoryOf(plan),
  }
}

/** Rows of which nothing is known but their lengths. */
function simulatedRows(rows: number, mean: number, maxLength: number, seed: number): ItemList<Example> {
  const logarithms = new Random(seed, LENGTHS_STREAM).normals(
    rows,
    Math.log(mean) - LENGTH_SPREAD ** 2 / 2,
    LENGTH_SPREAD,
  )
  const lengths = Int32Array.from(logarithms, (value) => Math.max(2, Math.min(maxLength, Math.round(Math.exp(value)))))
  const lengthAt = (row: number): number => lengths[row] as number
  const at = (row: number): Example => {
    const inputIds = new Int32Array(lengthAt(row))
    return { inputIds, labels: inputIds, numSupervised: inputIds.length - 1, promptLength: 0 }
  }
  return {
    length: rows,
    isWeighted: false,
    at,
    tokensAt: lengthAt,
    longestAt: lengthAt,
    weightAt: (row) => lengthAt(row) - 1,
    *[Symbol.iterator]() {
      for (let row = 0; row < rows; row++) yield at(row)
    },
  }
}

function memoryOf({ process, peakLoading, peakResident, tensors }: TrainingPlan): SimulatedMemory[] {
  const held = process + tensors.weights + tensors.trained
  return [
    { moment: 'loading', bytes: peakLoading },
    { moment: 'before the first step', bytes: held },
    { moment: 'within a step', bytes: peakResident },
    { moment: 'between steps', bytes: held + tensors.optimizer },
  ]
}
