/**
 * @file How options of `trainLora` are written on the command line: as flags, and by `--set`. Loads nothing of the
 * engine.
 */

import { LORA_OPTIONS } from '../adapters/lora-config.js'
import { TRAIN_OPTIONS } from '../integrations/options.js'
import { flagsOf, usageOf } from '../options/flags.js'
import { listOf, text } from '../options/rules.js'
import { camelCase } from '../options/spelling.js'
import { namesOf } from '../options/table.js'
import { currentName } from '../train/options.js'
import { TRAINING_OPTIONS } from '../train/training-options.js'
import type { FlagTable } from './command.js'

/** Every option that has no flag of its own. */
export interface SetFlags {
  readonly set: readonly string[]
}

export const SET_FLAGS = {
  set: {
    rule: listOf(text, 'key=value'),
    default: [],
    otherwise: 'none',
    help: 'any other option, over the file, as in --set training.warmupRatio=0.1',
    flag: { name: '--set', argument: 'key=value', group: 'Every other option', isRepeatable: true },
  },
} as const satisfies FlagTable<SetFlags>

/** How the flag is written that sets an option: `--model DIR`; undefined where none does. */
export function flagOf(path: readonly string[]): string | undefined {
  const found = flagsOf(TRAIN_OPTIONS).find((flag) => flag.path.join('.') === path.join('.'))
  return found && usageOf(found)
}

/** What to write for an option that somebody gives as a flag by its own name, `--learning-rate` or `--lora_alpha`. */
export function flagFor(name: string): string | undefined {
  const option = camelCase(name.replaceAll('-', '_'))
  const sections: [string[], readonly string[]][] = [
    [[], namesOf(TRAIN_OPTIONS)],
    [['training'], namesOf(TRAINING_OPTIONS)],
    [['lora'], namesOf(LORA_OPTIONS)],
  ]
  for (const [section, names] of sections) {
    const path = [...section, currentName(section[0], option)]
    if (names.includes(path.at(-1) as string)) return flagOf(path) ?? `--set ${path.join('.')}=...`
  }
  return undefined
}
