/**
 * @file Files of tasks, and tasks as files spell them: those of `lowrank eval`, and those that a run does at its
 * evaluations. Loads nothing of the engine.
 */

import { describeValue } from '../errors.js'
import type { EvaluationTask } from '../evaluate/task-options.js'
import { OptionError } from '../lowrank-error.js'
import { camelCase } from '../options/spelling.js'
import { isPlainObject } from '../values.js'
import { readSpec } from './config.js'
import { UsageError } from './usage-error.js'

/** Options of a task that hold options by names that are not ours to spell. */
const AS_WRITTEN: ReadonlySet<string> = new Set([
  'columns',
  'metricOptions',
  'chatTemplateKwargs',
  'roleMapping',
  'dataset',
])

/** What a file of tasks holds, with names spelled as here. */
export interface TaskFile {
  readonly tasks: readonly EvaluationTask[]
  /** What stands beside `tasks`. */
  readonly others: Readonly<Record<string, unknown>>
}

/**
 * Reads a file of tasks in YAML or JSON. What a task may be is checked where it is used.
 * @param where names the command in errors
 * @throws UsageError where the file cannot be read, or holds no list of objects as `tasks`
 */
export async function readTaskFile(where: string, file: string): Promise<TaskFile> {
  const spelled = await readSpec(file, 'tasks such as "tasks: [{ type: perplexity, dataset: rows.jsonl }]"')
  const options = Object.fromEntries(Object.entries(spelled).map(([key, value]) => [camelCase(key), value]))
  const { tasks, ...others } = options
  if (!Array.isArray(tasks))
    throw new UsageError(`[${where}] expected a list for tasks in ${file}, got ${describeValue(tasks)}`)
  return { tasks: tasks.map((task) => spelledTask(where, task)), others }
}

/** A task whose options may be spelled as in Python. @throws OptionError where it is no object */
export function spelledTask(where: string, given: unknown): EvaluationTask {
  if (!isPlainObject(given))
    throw new OptionError(`[${where}] expected an object for each task, got ${describeValue(given)}`)
  const entries = Object.entries(given).map(([key, value]): [string, unknown] => {
    const name = camelCase(key)
    if (!isPlainObject(value) || AS_WRITTEN.has(name)) return [name, value]
    return [name, Object.fromEntries(Object.entries(value).map(([inner, of]) => [camelCase(inner), of]))]
  })
  return Object.fromEntries(entries) as unknown as EvaluationTask
}
