/**
 * @file Collects everything that is wrong with a set of options, so that one error tells of all of it. Knows no option.
 */

import { OptionError, type OptionProblem } from '../lowrank-error.js'

/** As many as are read at once; `problems` has all of them. */
const MOST_TOLD = 30

/** The one message, or a list of them. @param where names the call whose options are counted */
export function describeProblems(where: string, problems: readonly OptionProblem[]): string {
  if (problems.length === 1) return problems[0]?.message ?? ''
  const told = problems.slice(0, MOST_TOLD).map(({ message }) => `  - ${message}`)
  const more = problems.length - told.length
  const rest = more > 0 ? [`  and ${more.toLocaleString('en')} more`] : []
  return [`[${where}] ${problems.length} options are wrong:`, ...told, ...rest].join('\n')
}

/** The error that tells of all `problems`. */
function optionError(problems: readonly OptionProblem[]): OptionError {
  return new OptionError(describeProblems('train', problems), { problems })
}

/** Problems on the way to one `OptionError`. */
export class OptionProblems {
  readonly #problems: OptionProblem[] = []

  add(options: OptionProblem['options'], message: string): void {
    this.#problems.push({ options, message })
  }

  /** The result of a check that throws; undefined where it did, which is then among the problems. */
  attempt<T>(options: OptionProblem['options'], check: () => T): T | undefined {
    try {
      return check()
    } catch (error) {
      this.add(options, (error as Error).message)
      return undefined
    }
  }

  /** Whether something is wrong with the option at this path, or with what it is part of. */
  concern(option: readonly string[]): boolean {
    return this.#problems.some(({ options }) => options.some((wrong) => wrong.every((key, i) => key === option[i])))
  }

  /** @throws OptionError where there is any problem */
  throwIfAny(): void {
    if (this.#problems.length > 0) throw optionError(this.#problems)
  }
}
