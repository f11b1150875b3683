/** @file The options of a run from file, settings and flags, checked before anything is loaded: what is wrong is a mistake of usage, told all at once. */

import { OptionError, type OptionProblem } from '../lowrank-error.js'
import { describeProblems } from '../options/problems.js'
import type { ResolvedTrainOptions } from '../train/options.js'
import { parseTrainOptions } from '../train/parse-options.js'
import { type Configuration, withOrigins } from './config.js'
import { flagOf } from './train-flags.js'
import { UsageError } from './usage-error.js'

/** What a command needs beyond `trainLora`. */
interface Needs {
  /** Whether there must be an outputDir. */
  readonly outputDir?: boolean
  /** Options for what the configuration leaves open. */
  readonly defaults?: Readonly<Record<string, unknown>>
}

const TRAIN_STEPS = ['training', 'maxSteps']
const TRAIN_EPOCHS = ['training', 'numTrainEpochs']

/** @throws UsageError that lists everything that is wrong, each with where it came from */
export function checkRunOptions(
  configuration: Configuration,
  { outputDir, defaults }: Needs = {},
): ResolvedTrainOptions {
  const { options, originOf } = configuration
  const problems: OptionProblem[] = []
  let parsed: ResolvedTrainOptions | undefined
  try {
    parsed = parseTrainOptions({ ...defaults, ...options })
  } catch (error) {
    if (!(error instanceof OptionError)) throw error
    problems.push(...error.problems)
  }
  if (outputDir && originOf(['outputDir']) === undefined) {
    const message = '[train] expected the path of a directory for outputDir, got nothing'
    problems.push({ options: [['outputDir']], message })
  }
  // A flag says what this run is to do, so that it must not be without effect.
  if (originOf(TRAIN_EPOCHS)?.startsWith('--') && (parsed?.training.maxSteps ?? -1) > 0 && originOf(TRAIN_STEPS)) {
    const message =
      '[training] expected numTrainEpochs or maxSteps, got both, and maxSteps counts; --max-steps -1 takes it back'
    problems.push({ options: [TRAIN_EPOCHS, TRAIN_STEPS], message })
  }
  if (parsed !== undefined && problems.length === 0) return parsed
  const told = problems.map((problem) => ({
    ...problem,
    message: withOrigins(problem, configuration) + remedyFor(problem, configuration),
  }))
  throw new UsageError(describeProblems(told))
}

/** Where to write an option that is needed and was not given. */
function remedyFor({ options: [option = []] }: OptionProblem, { originOf, file }: Configuration): string {
  const flag = flagOf(option)
  if (!flag || originOf(option) !== undefined || !['model', 'dataset', 'outputDir'].includes(option.join('.')))
    return ''
  return `; add ${flag}${file === undefined ? '' : `, or ${option.join('.')}: ... to ${file}`}`
}
