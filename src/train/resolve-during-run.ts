/**
 * @file How the options of during-run-options.ts go together: when a run evaluates and saves, and what its best
 * evaluation is judged by. The rules are those of transformers' TrainingArguments.
 */

import { DURING_RUN_OPTIONS, type DuringRunOptions, type IntervalStrategy } from './during-run-options.js'

/** What a run has, beside the options in `training`. */
export interface RunParts {
  /** Whether there is something to evaluate: held-out rows, tasks, prompts. */
  readonly hasEvaluation: boolean
  readonly hasOutput: boolean
}

/** What is wrong with options together: their names in `training`, and a sentence. */
export interface DuringRunProblem {
  readonly names: readonly (keyof DuringRunOptions)[]
  readonly message: string
}

/** What 'auto' and options that were left open became. */
export interface ResolvedDuringRun {
  readonly evalStrategy: IntervalStrategy
  readonly saveStrategy: NonNullable<DuringRunOptions['saveStrategy']>
  readonly saveSteps: number
  readonly metricForBestModel: string | undefined
}

/** @param own what was given, each by itself as it should be */
export function resolveDuringRun(own: DuringRunOptions, { hasEvaluation }: RunParts): ResolvedDuringRun {
  const { loadBestModelAtEnd, evalSteps = DURING_RUN_OPTIONS.evalSteps.default } = own
  const evalStrategy = evalStrategyOf(own, hasEvaluation)
  const follows = loadBestModelAtEnd === true && own.saveStrategy === undefined
  return {
    evalStrategy,
    saveStrategy: own.saveStrategy ?? (follows ? evalStrategy : DURING_RUN_OPTIONS.saveStrategy.default),
    saveSteps: own.saveSteps ?? (follows ? evalSteps : DURING_RUN_OPTIONS.saveSteps.default),
    metricForBestModel: own.metricForBestModel ?? (needsMetric(own) ? 'loss' : undefined),
  }
}

function evalStrategyOf(own: DuringRunOptions, hasEvaluation: boolean): IntervalStrategy {
  const { evalStrategy, evalSteps, saveStrategy, loadBestModelAtEnd } = own
  if (evalStrategy !== undefined && evalStrategy !== 'auto') return evalStrategy
  if (!hasEvaluation) return 'no'
  if (evalSteps !== undefined) return 'steps'
  return loadBestModelAtEnd && saveStrategy === 'steps' ? 'steps' : 'epoch'
}

function needsMetric({ loadBestModelAtEnd, earlyStoppingPatience, saveStrategy }: DuringRunOptions): boolean {
  return loadBestModelAtEnd === true || earlyStoppingPatience !== undefined || saveStrategy === 'best'
}

export function duringRunProblems(own: DuringRunOptions, parts: RunParts): DuringRunProblem[] {
  const { evalStrategy, saveStrategy, saveSteps } = resolveDuringRun(own, parts)
  const problems: DuringRunProblem[] = []
  const refuse = (names: DuringRunProblem['names'], message: string): void => void problems.push({ names, message })
  if (own.greaterIsBetter !== undefined && own.metricForBestModel === undefined && !needsMetric(own))
    refuse(['greaterIsBetter'], 'expected metricForBestModel with greaterIsBetter; set it, or remove greaterIsBetter')
  // A train.yaml has the default of every option.
  if (own.earlyStoppingThreshold && own.earlyStoppingPatience === undefined)
    refuse(
      ['earlyStoppingThreshold'],
      'expected earlyStoppingPatience with earlyStoppingThreshold; set it, or remove earlyStoppingThreshold',
    )
  const what = 'expected something to evaluate on, as evalDataset or evalSplit,'
  if (own.evalOnStart && !parts.hasEvaluation)
    refuse(['evalOnStart'], `${what} with evalOnStart; add one, or remove it`)
  const name =
    own.loadBestModelAtEnd === true
      ? 'loadBestModelAtEnd'
      : own.earlyStoppingPatience !== undefined
        ? 'earlyStoppingPatience'
        : own.saveStrategy === 'best'
          ? 'saveStrategy'
          : own.metricForBestModel === undefined
            ? undefined
            : 'metricForBestModel'
  if (name === undefined) return problems
  const shown = name === 'saveStrategy' ? "saveStrategy 'best'" : name
  if (!parts.hasEvaluation) {
    refuse([name], `${what} with ${shown}; add one, or remove ${shown}`)
    return problems
  }
  if (evalStrategy === 'no') {
    refuse([name, 'evalStrategy'], `expected evalStrategy 'steps' or 'epoch' with ${shown}, got 'no'; set one`)
    return problems
  }
  if (own.loadBestModelAtEnd !== true) return problems
  if (!parts.hasOutput)
    refuse(['loadBestModelAtEnd'], 'expected outputDir with loadBestModelAtEnd, which keeps the best checkpoint there')
  if (saveStrategy === 'best') return problems
  if (saveStrategy !== evalStrategy)
    refuse(
      ['loadBestModelAtEnd', 'saveStrategy'],
      `expected saveStrategy to be evalStrategy, '${evalStrategy}', or 'best' with loadBestModelAtEnd, got '${saveStrategy}'; set it`,
    )
  else if (evalStrategy === 'steps' && saveSteps % stepsOf(own) !== 0)
    refuse(
      ['loadBestModelAtEnd', 'saveSteps'],
      `expected saveSteps to be a multiple of evalSteps, ${stepsOf(own)}, with loadBestModelAtEnd, got ${saveSteps}; set both to the same`,
    )
  return problems
}

function stepsOf({ evalSteps = DURING_RUN_OPTIONS.evalSteps.default }: DuringRunOptions): number {
  return evalSteps
}
