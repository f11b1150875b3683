/** @file What `lowrank eval` is asked: a file of tasks and flags, checked together before anything is loaded. */

import { resolve } from 'node:path'
import { describeValue } from '../errors.js'
import { EVALUATE_MODELS_OPTIONS, type EvaluateModelsOptions } from '../evaluate/evaluate.js'
import { namedAdapters } from '../evaluate/evaluated-adapters.js'
import type { RegressionLimits } from '../evaluate/max-regression.js'
import { readTasks } from '../evaluate/run-tasks.js'
import { type EvaluationTask, TASK_TABLES } from '../evaluate/task-options.js'
import { snakeCase } from '../options/spelling.js'
import { expectOptions } from '../options/table.js'
import type { Given } from './command.js'
import type { EvalFlags, Evaluation } from './eval.js'
import { expectModel } from './flags.js'
import { partOf } from './part-flags.js'
import { readTaskFile } from './task-file.js'
import { checkAll, UsageError } from './usage-error.js'

/** @throws UsageError with everything that is wrong */
export async function readEvaluation({ flags, words: [file] }: Given<EvalFlags>): Promise<Evaluation> {
  const [options, limits, adapters] = await checkAll('eval', [
    () => optionsOf(flags, file),
    () => limitsOf(flags.maxRegression),
    () => adaptersOf(flags.adapter),
    () => expectTwoFiles(flags),
  ])
  const { model, adapters: ofFile, ...others } = options
  const all = Object.keys(adapters).length > 0 ? adapters : namesToAdapters(ofFile ?? [])
  await checkAll('eval', [
    () => expectModel('eval', flags.model ?? model, Object.values(all)),
    () => expectComparison(flags, options, Object.keys(all).length),
  ])
  return { flags: model === undefined ? flags : { model, ...flags }, options: others, adapters: all, limits }
}

/** @throws UsageError where the HTML would replace the JSON */
function expectTwoFiles({ output, html }: EvalFlags): void {
  if (output !== undefined && html !== undefined && resolve(output) === resolve(html))
    throw new UsageError(`[eval] expected different files for --output and --html, got ${output} twice; rename one`)
}

/** @throws UsageError for flags that ask about adapters which are not there: nothing would come of them */
function expectComparison(
  { behaviour, trainingData, maxRegression }: EvalFlags,
  { includeBase, ...options }: FileOptions,
  adapters: number,
): void {
  if (trainingData !== undefined && behaviour !== true)
    throw new UsageError('[eval] expected --behaviour with --training-data, got none; add --behaviour')
  if (adapters === 0 && (behaviour || options.behaviour !== undefined))
    throw new UsageError('[eval] expected an adapter for --behaviour, got none; give --adapter DIR')
  if (maxRegression.length > 0 && (adapters === 0 || adapters + Number(includeBase) < 2))
    throw new UsageError(
      `[eval] expected an adapter and a model to compare it with for --max-regression, got ${adapters === 0 ? 'no adapter' : 'one adapter and no base'}; ` +
        `${adapters === 0 ? 'give --adapter DIR' : 'leave --no-base out, or give another adapter'}`,
    )
}

type FileOptions = Omit<EvaluateModelsOptions, 'model'> & { readonly model?: string }

async function optionsOf(flags: EvalFlags, file: string | undefined): Promise<FileOptions> {
  const { tasks, ...others } = file === undefined ? { tasks: [taskOf(flags)] } : await readFile(file, flags)
  readTasks(tasks)
  const { batchSize, maxSamples, baseline, noBase } = flags
  const given = { batchSize, maxSamples, baseline, ...(noBase && { includeBase: false }) }
  return { ...others, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)), tasks }
}

/** Flags that not every type of task takes. */
const OF_TYPE = [
  'metrics',
  'maxLength',
  'maxNewTokens',
  'docToText',
  'docToTarget',
  'applyChatTemplate',
  'numFewshot',
  'fewshotSplit',
] as const

function flagOf(name: string): string {
  return `--${snakeCase(name).replaceAll('_', '-')}`
}

/** Flags that make the task where no file does. */
const OF_TASK = ['dataset', 'task', ...OF_TYPE, 'split', 'datasetConfig'] as const

/** The task that flags name. */
function taskOf(flags: EvalFlags): EvaluationTask {
  const { dataset, task: type = flags.metrics ? 'generation' : 'perplexity', metrics, limit, maxLength } = flags
  if (dataset === undefined)
    throw new UsageError('[eval] expected --dataset FILE, or a file of tasks; got neither', { command: 'eval' })
  if (flags.tasks !== undefined)
    throw new UsageError('[eval] expected a file of tasks for --tasks, got none; leave --tasks out')
  const { maxNewTokens, docToText, docToTarget, applyChatTemplate, numFewshot, fewshotSplit } = flags
  const table: object = TASK_TABLES[type]
  const superfluous = OF_TYPE.filter(
    (name) => flags[name] !== undefined && !((name === 'maxNewTokens' ? 'generation' : name) in table),
  )
  if (superfluous.length > 0)
    throw new UsageError(
      `[eval] expected flags that a task of the type ${type} takes, got ${superfluous.map(flagOf).join(', ')}; ` +
        'name the type with --task, or metrics of answers with --metrics',
      { command: 'eval' },
    )
  const given = {
    type,
    dataset: partOf(dataset, flags),
    metrics,
    limit,
    maxLength,
    generation: maxNewTokens === undefined ? undefined : { maxNewTokens },
    docToText,
    docToTarget,
    applyChatTemplate,
    numFewshot,
    fewshotSplit,
  }
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as unknown as EvaluationTask
}

async function readFile(file: string, flags: EvalFlags): Promise<FileOptions> {
  const superfluous = OF_TASK.filter((name) => flags[name] !== undefined)
  if (superfluous.length > 0) {
    throw new UsageError(
      `[eval] expected a file of tasks or flags that make one, got ${file} and ${superfluous.map(flagOf).join(', ')}; write them into the file`,
    )
  }
  const { tasks, others } = await readTaskFile('eval', file)
  const { model: _, tasks: __, tokenizer: ___, ...table } = EVALUATE_MODELS_OPTIONS
  const { model, ...rest } = others as { model?: unknown }
  expectOptions('eval', rest, table as never)
  if (model !== undefined && typeof model !== 'string')
    throw new UsageError(`[eval] expected a directory or a Hub id for model, got ${describeValue(model)}`)
  const all = tasks.map((task) => (flags.limit === undefined ? task : { ...task, limit: flags.limit }))
  return { ...(others as FileOptions), tasks: chosen(all, flags.tasks) }
}

function chosen(tasks: EvaluationTask[], names: readonly string[] | undefined): EvaluationTask[] {
  if (names === undefined) return tasks
  const named = readTasks(tasks)
  return names.map((name) => {
    const place = named.findIndex((task) => task.name === name)
    if (place >= 0) return { ...(tasks[place] as EvaluationTask), name }
    throw new UsageError(
      `[eval] expected names of tasks of the file for --tasks, got ${describeValue(name)}; it has ${named.map((task) => task.name).join(', ')}`,
    )
  })
}

/** `0.02` for every metric, `rougeL=0.02` for one. */
function limitsOf(given: readonly string[]): RegressionLimits {
  const limits: Record<string, number> = {}
  for (const text of given) {
    const at = text.lastIndexOf('=')
    const limit = Number(text.slice(at + 1))
    if (at === 0 || text.slice(at + 1).trim() === '' || !Number.isFinite(limit) || limit < 0) {
      throw new UsageError(
        `[eval] expected a number of at least 0, or METRIC=NUMBER, for --max-regression, got ${describeValue(text)}; for example 0.02, or rougeL=0.02`,
      )
    }
    const metric = at < 0 ? '*' : text.slice(0, at)
    if (Object.hasOwn(limits, metric))
      throw new UsageError(
        `[eval] expected one --max-regression for ${at < 0 ? 'all metrics' : metric}, got ${limits[metric]} and ${limit}; leave one out`,
      )
    limits[metric] = limit
  }
  return limits
}

/** `DIR`, or `NAME=DIR`. */
function adaptersOf(given: readonly string[]): Readonly<Record<string, string>> {
  const unnamed = given.filter((text) => nameIn(text) === undefined)
  const named: Record<string, string> = namesToAdapters(unnamed)
  for (const text of given) {
    const name = nameIn(text)
    if (name === undefined) continue
    if (Object.hasOwn(named, name))
      throw new UsageError(`[eval] expected different names of adapters, got ${name} twice`)
    named[name] = text.slice(name.length + 1)
  }
  namedAdapters(named)
  // In the order in which they were given.
  const places = given.map((text) => nameIn(text) ?? Object.keys(named).find((name) => named[name] === text))
  return Object.fromEntries(places.flatMap((name) => (name === undefined ? [] : [[name, named[name] as string]])))
}

function nameIn(text: string): string | undefined {
  return /^([\w.-]+)=/.exec(text)?.[1]
}

function namesToAdapters(given: NonNullable<EvaluateModelsOptions['adapters']>): Record<string, string> {
  return Object.fromEntries(namedAdapters(given).map(({ name, adapter }) => [name, adapter]))
}
