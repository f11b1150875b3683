/** @file What a command that looks at rows is given: a file of rows, or the YAML file of a run. */

import type { Given } from '../command.js'
import type { PartFlags } from '../part-flags.js'
import type { RunOptions } from '../run-options.js'
import type { SetFlags } from '../train-flags.js'

/** The run that a YAML file and flags describe, or that of a file of rows. @throws UsageError for what is missing */
export async function readRowsRun(given: Given<SetFlags & PartFlags>): Promise<RunOptions> {
  const { readRunOptions } = await import('../run-options.js')
  const [path] = given.words
  const isRun = path !== undefined && /\.ya?ml$/i.test(path)
  const rows = path === undefined || isRun ? [] : [{ flag: path, path: ['dataset'], value: path }]
  return await readRunOptions({ ...given, words: isRun ? [path] : [], settings: [...given.settings, ...rows] }, {})
}
