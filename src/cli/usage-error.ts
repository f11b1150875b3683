/** @file The error of flags and configuration files, and how several mistakes are told at once. */

import { type ErrorDetails, OptionError, type OptionProblem } from '../lowrank-error.js'
import { describeProblems } from '../options/problems.js'

/** The command line or the configuration file is not as it must be; nothing was started. */
export class UsageError extends OptionError {
  /** A command line that shows what would be right. */
  readonly help: string | undefined

  constructor(problems: string | readonly OptionProblem[], { command = 'lowrank', help, ...details }: Details = {}) {
    const all = typeof problems === 'string' ? [{ message: problems, options: [] }] : problems
    super(describeProblems(command, all), { ...details, problems: all })
    this.name = 'UsageError'
    this.help = help
  }
}

interface Details extends ErrorDetails {
  /** Whose options are counted where several are wrong. */
  readonly command?: string
  readonly help?: string
}

/** What a check gives. */
type Results<Checks extends readonly (() => unknown)[]> = {
  -readonly [Index in keyof Checks]: Awaited<ReturnType<Checks[Index]>>
}

/**
 * Makes all checks, so that everything that is wrong is told at once.
 * @returns what they return
 * @throws UsageError with what is wrong; other errors pass.
 */
export async function checkAll<const Checks extends readonly (() => unknown)[]>(
  command: string,
  checks: Checks,
): Promise<Results<Checks>> {
  const results: unknown[] = []
  const problems: OptionProblem[] = []
  for (const check of checks) {
    try {
      results.push(await check())
    } catch (error) {
      if (!(error instanceof OptionError)) throw error
      problems.push(...error.problems)
    }
  }
  if (problems.length > 0) throw new UsageError(problems, { command })
  return results as Results<Checks>
}
