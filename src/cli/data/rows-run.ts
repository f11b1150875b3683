/** @file What a command that looks at rows is given: a file of rows, or the YAML file of a run. */

import { DATA_OPTIONS } from '../../data/options.js'
import type { OptionTable } from '../../options/table.js'
import { TRAIN_LORA_OPTIONS } from '../../train/options.js'
import type { Given } from '../command.js'
import type { PartFlags } from '../part-flags.js'
import type { RunOptions } from '../run-options.js'
import { flagFor, type SetFlags } from '../train-flags.js'
import { UsageError } from '../usage-error.js'

const { evalSplit: _, ...OF_ROWS } = DATA_OPTIONS

/** The options of a run that decide what a row becomes. */
export const ROW_SETTINGS = {
  model: TRAIN_LORA_OPTIONS.model,
  revision: TRAIN_LORA_OPTIONS.revision,
  training: { ...TRAIN_LORA_OPTIONS.training, table: OF_ROWS },
} as const satisfies OptionTable

/** The run that a YAML file and flags describe, or that of a file of rows. @throws UsageError for what is missing */
export async function readRowsRun(given: Given<SetFlags & PartFlags>): Promise<RunOptions> {
  const { readRunOptions } = await import('../run-options.js')
  const [path] = given.words
  if (path === undefined && !given.flags.set.some((setting) => /^dataset\b/.test(setting))) {
    const isComplete = given.settings.some(({ path: [option] }) => option === 'model')
    throw new UsageError(
      `[data] expected a data file, or the YAML file of a run, got neither; write it behind the command${isComplete ? '' : ', and add --model DIR to a data file'}`,
    )
  }
  const isRun = path !== undefined && /\.ya?ml$/i.test(path)
  const rows = path === undefined || isRun ? [] : [{ flag: path, path: ['dataset'], value: path }]
  return await readRunOptions({ ...given, words: isRun ? [path] : [], settings: [...given.settings, ...rows] }, {})
}

/** As `flagFor`, for commands that take the data set as an argument. */
export function rowsFlagFor(name: string): string | undefined {
  return name === 'dataset' ? 'the data file behind the command, without a flag' : flagFor(name)
}
