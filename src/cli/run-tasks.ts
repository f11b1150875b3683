/** @file `evalTasks` of a configuration: a list of tasks, or the path of a file of tasks. */

import { listNames } from '../errors.js'
import type { EvaluationTask } from '../evaluate/task-options.js'
import { OptionError, type OptionProblem } from '../lowrank-error.js'
import { camelCase } from '../options/spelling.js'
import { readTaskFile, spelledTask } from './task-file.js'
import { UsageError } from './usage-error.js'

/** In place of tasks that are wrong: what else is wrong is told with them. */
const NO_TASK = [{}]

/**
 * Puts the tasks of a file in place of its path, and spells tasks as here.
 * @param options of a run, as they were spelled; changed
 * @returns what is wrong with the tasks
 */
export async function readRunTasks(options: Record<string, unknown>): Promise<OptionProblem[]> {
  const problems: OptionProblem[] = []
  for (const key of Object.keys(options).filter((name) => camelCase(name) === 'evalTasks')) {
    const given = options[key]
    // Other values are refused by the rule of the option.
    if (given === '' || (typeof given !== 'string' && !(Array.isArray(given) && given.length > 0))) continue
    try {
      const tasks =
        typeof given === 'string' ? await tasksOf(given) : given.map((task: unknown) => spelledTask('train', task))
      const { readTasks } = await import('../evaluate/run-tasks.js')
      readTasks(tasks)
      options[key] = tasks
    } catch (error) {
      if (!(error instanceof OptionError)) throw error
      problems.push(...error.problems.map(({ message }) => ({ message, options: [[key]] })))
      options[key] = NO_TASK
    }
  }
  return problems
}

/** A file may be one of `lowrank eval`, but what it says of other models would be without effect. */
async function tasksOf(file: string): Promise<readonly EvaluationTask[]> {
  const { tasks, others } = await readTaskFile('train', file)
  const names = Object.keys(others)
  if (names.length === 0) return tasks
  throw new UsageError(
    `[train] expected tasks alone in ${file} for evalTasks, got ${listNames(names)} too; a run evaluates its own model: give them to lowrank eval as flags`,
  )
}
