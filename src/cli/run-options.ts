/**
 * @file The options of a run from file, settings and flags, checked before anything is loaded: what is wrong is a
 * mistake of usage, told all at once.
 */

import { resolveAllOptions } from '../integrations/resolve-options.js'
import { OptionError, type OptionProblem } from '../lowrank-error.js'
import type { ResolvedTrainOptions } from '../train/options.js'
import type { Given } from './command.js'
import { type Configuration, readConfig, withOrigins } from './config.js'
import { type PartFlags, partOf } from './part-flags.js'
import { type NamedPreset, presetOf } from './preset.js'
import { readRunTasks } from './run-tasks.js'
import { flagOf, type SetFlags } from './train-flags.js'
import { UsageError } from './usage-error.js'

/** What a command needs beyond `trainLora`. */
interface Needs {
  /** Whether there must be an outputDir. */
  readonly outputDir?: boolean
  /** Whether there may be no dataset. */
  readonly withoutRows?: boolean
}

/** The options of a run, checked and completed. */
export interface RunOptions {
  readonly options: ResolvedTrainOptions
  readonly preset: NamedPreset | undefined
  /** Whether an option was written anywhere. */
  has(path: readonly string[]): boolean
}

const TRAIN_STEPS = ['training', 'maxSteps']
const TRAIN_EPOCHS = ['training', 'numTrainEpochs']

/**
 * Reads the file that is named on the command line, if one is, and puts settings and flags over it.
 * @throws UsageError that lists everything that is wrong, each with where it came from
 */
export async function readRunOptions(
  { words: [path], flags: { set, ...flags }, settings }: Given<SetFlags & PartFlags>,
  needs: Needs,
): Promise<RunOptions> {
  const configuration = await readConfig(path, set, settings)
  const { options } = configuration
  if (options.dataset !== undefined) options.dataset = partOf(options.dataset, flags)
  const problems = await readRunTasks(options)
  return {
    options: checkOptions(configuration, needs, problems),
    preset: presetOf(configuration.options),
    has: (option) => configuration.originOf(option) !== undefined,
  }
}

function checkOptions(
  configuration: Configuration,
  { outputDir, withoutRows }: Needs,
  ofTasks: readonly OptionProblem[],
): ResolvedTrainOptions {
  const { originOf } = configuration
  const problems: OptionProblem[] = [...ofTasks]
  let resolved: ResolvedTrainOptions | undefined
  try {
    resolved = resolveAllOptions({ ...(withoutRows && { dataset: [] }), ...configuration.options })
  } catch (error) {
    if (!(error instanceof OptionError)) throw error
    problems.push(...error.problems)
  }
  if (outputDir && originOf(['outputDir']) === undefined) {
    const message = '[train] expected the path of a directory for outputDir, got nothing'
    problems.push({ options: [['outputDir']], message })
  }
  // A flag says what this run is to do, so that it must not be without effect.
  if (originOf(TRAIN_EPOCHS)?.startsWith('--') && (resolved?.training.maxSteps ?? -1) > 0 && originOf(TRAIN_STEPS)) {
    const message =
      '[training] expected numTrainEpochs or maxSteps, got both, and maxSteps counts; --max-steps -1 takes it back'
    problems.push({ options: [TRAIN_EPOCHS, TRAIN_STEPS], message })
  }
  if (resolved !== undefined && problems.length === 0) return resolved
  throw new UsageError(
    problems.map((problem) => ({
      ...problem,
      message: withOrigins(problem, configuration) + remedyFor(problem, configuration),
    })),
    { command: 'train' },
  )
}

/** Where to write an option that is needed and was not given. */
function remedyFor({ options: [option = []] }: OptionProblem, { originOf, file }: Configuration): string {
  const flag = flagOf(option)
  if (!flag || originOf(option) !== undefined || !['model', 'dataset', 'outputDir'].includes(option.join('.')))
    return ''
  return `; add ${flag}${file === undefined ? '' : `, or ${option.join('.')}: ... to ${file}`}`
}
