/** @file The flags of `train`, `plan` and `init` that stand for options of `trainLora`. Loads nothing of the engine. */

import type { Command } from 'commander'
import { LORA_OPTIONS } from '../adapters/lora-config.js'
import { flagHelp, flagsOf, flagValue, usageOf } from '../options/flags.js'
import { camelCase } from '../options/spelling.js'
import { namesOf } from '../options/table.js'
import { currentName, TRAIN_LORA_OPTIONS, TRAINING_OPTIONS } from '../train/options.js'
import type { FlagValue } from './config.js'
import { repeatable } from './sampling-flags.js'

/** In the order of help. */
const TRAIN_FLAGS = flagsOf(TRAIN_LORA_OPTIONS)

/** What names of devices mean. */
export const DEVICE_HELP = TRAIN_LORA_OPTIONS.device.help

/** Adds the flags, and `--set` for every other option. */
export function addTrainFlags(command: Command): Command {
  for (const flag of TRAIN_FLAGS) command.option(usageOf(flag), flagHelp(flag))
  return command.addOption(
    repeatable(
      '--set <key=value>',
      'any other option, over the file, as in --set training.warmupRatio=0.1; may be repeated',
    ),
  )
}

/** What the flags say that were given. @param options by commander's names for flags */
export function flagValues(options: object): FlagValue[] {
  const given = new Map(Object.entries(options))
  return TRAIN_FLAGS.flatMap((flag) => {
    const value = given.get(attributeOf(flag.name))
    if (value === undefined) return []
    return [{ flag: flag.name, path: flag.path, value: typeof value === 'string' ? flagValue(flag, value) : value }]
  })
}

/** How the flag is written that sets an option: `--model DIR`; undefined where none does. */
export function flagOf(path: readonly string[]): string | undefined {
  const found = TRAIN_FLAGS.find((flag) => flag.path.join('.') === path.join('.'))
  return found && (found.argument ? `${found.name} ${found.argument.toUpperCase()}` : found.name)
}

/** What to write for an option that somebody gives as a flag by its own name, `--learning-rate` or `--lora_alpha`. */
export function flagFor(name: string): string | undefined {
  const option = camelCase(name.replaceAll('-', '_'))
  const sections: [string[], readonly string[]][] = [
    [[], namesOf(TRAIN_LORA_OPTIONS)],
    [['training'], namesOf(TRAINING_OPTIONS)],
    [['lora'], namesOf(LORA_OPTIONS)],
  ]
  for (const [section, names] of sections) {
    const path = [...section, currentName(section[0], option)]
    if (names.includes(path.at(-1) as string)) return flagOf(path) ?? `--set ${path.join('.')}=...`
  }
  return undefined
}

/** `maxLength` for `--max-length`, as commander names it. */
function attributeOf(flag: string): string {
  return flag.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}
