/** @file Tasks asked of a loaded model: as it is, or with one adapter after another. Loads no model. */

import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { withCause } from '../decoding/decoding.js'
import { describeValue } from '../errors.js'
import { ModelError, OptionError } from '../lowrank-error.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import { asTokenizer, type ForeignTokenizer } from '../tokenizer/adapt.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isPlainObject } from '../values.js'
import { prepareClassification } from './classification.js'
import type { TaskReport } from './evaluation-report.js'
import { prepareGeneration } from './generation.js'
import type { JudgeProgress } from './judge-options.js'
import { prepareMultipleChoice } from './multiple-choice.js'
import { preparePerplexity } from './perplexity.js'
import { type NamedAnswers, reportTask } from './report-task.js'
import { type EvaluationProgress, RUN_TASKS_OPTIONS, type RunTasksOptions } from './run-options.js'
import type { PreparedTask } from './task.js'
import { type EvaluationTask, type ResolvedTask, TASK_TABLES } from './task-options.js'
import { TASK_TYPES } from './task-types.js'

/** A model under a name: `use` makes the loaded model it. */
export interface ModelVariant {
  readonly name: string
  use(): void
}

/**
 * Reads the rows of tasks. What comes out can be run any number of times, on models with this tokenizer.
 * @throws OptionError for options that a task does not take; what reading its rows throws
 */
export async function prepareTasks(
  model: CausalLM,
  givenTokenizer: Tokenizer | ForeignTokenizer,
  tasks: readonly EvaluationTask[],
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<PreparedTask[]> {
  expectModel('evaluate', model)
  const tokenizer = asTokenizer(givenTokenizer)
  const prepared: PreparedTask[] = []
  for (const { name, task } of readTasks(tasks)) {
    signal?.throwIfAborted()
    prepared.push(await prepareTask(name, task, model, tokenizer, signal))
  }
  return prepared
}

function prepareTask(
  name: string,
  task: ResolvedTask,
  model: CausalLM,
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
): Promise<PreparedTask> {
  switch (task.type) {
    case 'perplexity':
      return preparePerplexity(name, task, model, tokenizer, signal)
    case 'generation':
      return prepareGeneration(name, task, model, tokenizer, signal)
    case 'classification':
      return prepareClassification(name, task, model, tokenizer, signal)
    case 'multiple-choice':
      return prepareMultipleChoice(name, task, model, tokenizer, signal)
    default:
      return task satisfies never
  }
}

type NamedTask = { readonly name: string; readonly task: ResolvedTask }

/** The tasks with their defaults, each under a name of its own. @throws OptionError naming the task */
export function readTasks(tasks: readonly EvaluationTask[]): readonly NamedTask[] {
  if (!Array.isArray(tasks) || tasks.length === 0)
    throw new OptionError(`[evaluate] expected a list of tasks, got ${describeValue(tasks)}; give at least one`)
  const named: NamedTask[] = []
  for (const [index, given] of (tasks as readonly EvaluationTask[]).entries()) {
    const place = isPlainObject(given) && typeof given.name === 'string' ? `task ${given.name}` : `tasks[${index}]`
    if (!isPlainObject(given))
      throw new OptionError(`[evaluate] expected an object for ${place}, got ${describeValue(given)}`)
    const type: unknown = (given as { type?: unknown }).type
    if (!TASK_TYPES.some((known) => known === type))
      throw new OptionError(
        `[${place}] expected ${TASK_TYPES.map((known) => `'${known}'`).join(', ')} for type, got ${describeValue(type)}`,
      )
    const table = TASK_TABLES[given.type] as OptionTable<EvaluationTask>
    const task = readOptions(place, given, table) as NamedTask['task']
    named.push({ name: task.name ?? freeName(task.type, named), task })
  }
  for (const [index, { name }] of named.entries()) {
    if (named.findIndex((other) => other.name === name) === index) continue
    throw new OptionError(`[evaluate] expected tasks of different names, got ${describeValue(name)} twice; rename one`)
  }
  return named
}

function freeName(type: string, before: readonly NamedTask[]): string {
  const same = before.filter(({ task }) => task.type === type && task.name === undefined).length
  return same === 0 ? type : `${type}_${same + 1}`
}

/**
 * Scores a loaded model on tasks, as it is: with the adapters that are active. Nothing is loaded, and the model stays
 * as it was; so a model in training may be scored.
 * @param tasks Tasks, or what `prepareTasks` made of them: then no row is read again.
 * @returns a report of each task.
 * @throws OptionError for wrong options; DataError for rows that have a defect; what generating throws
 */
export async function runTasks(
  model: CausalLM,
  tokenizer: Tokenizer | ForeignTokenizer,
  tasks: readonly EvaluationTask[] | readonly PreparedTask[],
  options: RunTasksOptions = {},
): Promise<TaskReport[]> {
  expectModel('evaluate', model)
  const { modelName, ...resolved } = readOptions('evaluate', options, RUN_TASKS_OPTIONS)
  const isPrepared = (given: readonly object[]): given is readonly PreparedTask[] =>
    Array.isArray(given) && given.length > 0 && given.every((task) => isPlainObject(task) && 'answer' in task)
  const prepared = isPrepared(tasks) ? tasks : await prepareTasks(model, tokenizer, tasks, resolved)
  return await runPrepared(model, asTokenizer(tokenizer), prepared, [{ name: modelName, use: () => {} }], resolved)
}

/** Asks each variant of a model on each task. @param variants The first is what the others are compared with. */
export async function runPrepared(
  model: CausalLM,
  tokenizer: Tokenizer,
  tasks: readonly PreparedTask[],
  variants: readonly ModelVariant[],
  {
    batchSize,
    maxSamples,
    confidence,
    bootstrapSamples,
    signal,
    onProgress,
  }: Omit<Resolved<RunTasksOptions, typeof RUN_TASKS_OPTIONS>, 'modelName'>,
): Promise<TaskReport[]> {
  const wasTraining = model.training
  model.eval()
  const total = tasks.reduce((sum, task) => sum + passesOf(task, variants.length) * task.rows.length, 0)
  let before = 0
  try {
    const reports: TaskReport[] = []
    for (const task of tasks) {
      const start = performance.now()
      const totalRows = task.rows.length
      const tell = (model: string, rows: number, judge?: EvaluationProgress['judge']): void =>
        onProgress?.({
          task: task.name,
          model,
          rows,
          totalRows,
          fraction: (before + rows) / total,
          ...(judge && { judge }),
        })
      /** Tells of a judge, whose rows come after those that were done before. */
      const telling =
        (step: 'score' | 'compare') =>
        (model: string, { rows, requests, cost }: JudgeProgress): void =>
          tell(model, rows, { step, requests, cost })
      const answers: NamedAnswers[] = []
      for (const { name, use } of variants) {
        signal?.throwIfAborted()
        use()
        const onRows = (rows: number): void => tell(name, rows)
        let isJudging = false
        const onJudged = (progress: JudgeProgress): void => {
          if (!isJudging) before += totalRows
          isJudging = true
          telling('score')(name, progress)
        }
        onRows(0)
        const answered = await task
          .answer({ model, tokenizer, batchSize, signal, onRows, onJudged })
          .catch(async (error: unknown) => {
            // A fault of the device would come again at whatever is asked next.
            await model.device.sync().catch(() => undefined)
            throw namingModel(error, name, task.name)
          })
        answers.push({ name, answers: answered })
        before += totalRows
      }
      const asked = (performance.now() - start) / 1000
      const onCompared = (name: string, progress: JudgeProgress): void => {
        telling('compare')(name, progress)
        if (progress.rows === totalRows) before += totalRows
      }
      const options = { maxSamples, confidence, bootstrapSamples, signal, onCompared }
      reports.push(await reportTask(task, answers, asked, options))
    }
    return reports
  } finally {
    model.train(wasTraining)
  }
}

/** How many times the rows of a task are gone through: by each model, by the judge of each, and for pairs. */
function passesOf({ isJudged, compare }: PreparedTask, models: number): number {
  return models * (isJudged ? 2 : 1) + (compare ? models - 1 : 0)
}

/** An error of damaged weights tells which of several models has them. */
function namingModel(error: unknown, model: string, task: string): unknown {
  const cause = withCause(error)
  if (!(cause instanceof ModelError)) return error
  return new ModelError(`${cause.message} (the model ${model} at the task ${task})`, { cause })
}

/** The scores of a model by `<task>_<metric>`, as callbacks and trackers of a run call them. */
export function flatScores(reports: readonly TaskReport[], modelName: string): Record<string, number> {
  const scores: Record<string, number> = {}
  for (const { name, metrics } of reports) {
    for (const metric of metrics) {
      const value = metric.scores[modelName]?.value
      if (value !== null && value !== undefined) scores[`${name}_${metric.name}`] = value
    }
  }
  return scores
}
