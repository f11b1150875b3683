/** @file Collects everything that is wrong with a set of options, so that one error tells of all of it. Knows no option. */

/** One thing that is wrong. */
export interface OptionProblem {
  /** `[training] expected ... for learningRate, got ...; what to do`. */
  readonly message: string
  /** Paths of the options that it is about, as the caller spelled them: `['training', 'learning_rate']`. */
  readonly options: readonly (readonly string[])[]
}

/** Everything that is wrong with the options of one call. */
export class OptionsError extends Error {
  readonly problems: readonly OptionProblem[]

  constructor(problems: readonly OptionProblem[]) {
    super(describeProblems(problems))
    this.name = 'OptionsError'
    this.problems = problems
  }
}

/** As many as are read at once; `problems` has all of them. */
const MOST_TOLD = 30

/** The one message, or a list of them. */
export function describeProblems(problems: readonly OptionProblem[]): string {
  if (problems.length === 1) return problems[0]?.message ?? ''
  const told = problems.slice(0, MOST_TOLD).map(({ message }) => `  - ${message}`)
  const more = problems.length - told.length
  const rest = more > 0 ? [`  and ${more.toLocaleString('en')} more`] : []
  return [`[train] ${problems.length} options are wrong:`, ...told, ...rest].join('\n')
}

/** Problems on the way to one `OptionsError`. */
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

  /** @throws OptionsError where there is any problem */
  throwIfAny(): void {
    if (this.#problems.length > 0) throw new OptionsError(this.#problems)
  }
}
