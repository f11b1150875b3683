/** @file What the tables say of an option of `trainLora`, as help texts and `lowrank init` show it. */

import { TRAIN_OPTIONS } from '../integrations/options.js'
import { LowrankError } from '../lowrank-error.js'
import { describeDefault } from '../options/flags.js'
import { entryOf, type OptionEntry } from '../options/table.js'

/** What an option is, by its path: `['lora', 'r']`. @throws where there is none */
function entryAt(path: readonly string[]): OptionEntry {
  const [first = '', second] = path
  const outer = entryOf(TRAIN_OPTIONS, first)
  const entry = second === undefined ? outer : outer?.table && entryOf(outer.table, second)
  if (!entry) throw new LowrankError('INTERNAL', `[options] expected an option, got ${path.join('.')}`)
  return entry
}

/** The default of an option as it is written: `16`, `2e-4`, `all-linear`; undefined where it has none. */
export function defaultOf(path: readonly string[]): string | undefined {
  return describeDefault(entryAt(path).default)
}
