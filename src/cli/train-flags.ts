/** @file The flags of `train`, `plan` and `init` that stand for options of `trainLora`. Loads nothing of the engine. */

import type { Command } from 'commander'
import { LORA_OPTIONS } from '../adapters/lora-config.js'
import { camelCase } from '../options/spelling.js'
import { namesOf } from '../options/table.js'
import { currentName, TRAIN_LORA_OPTIONS, TRAINING_OPTIONS } from '../train/options.js'
import { PRESETS } from '../train/presets.js'
import type { FlagValue } from './config.js'
import { defaultOf, entryAt } from './defaults.js'
import { repeatable } from './sampling-flags.js'

/** A flag and the option that it sets. */
interface TrainFlag {
  readonly flag: string
  /** What it takes, as help shows it; absent: nothing, the flag means true. */
  readonly value?: string
  /** 'number': a number where the text is one, else the text for the option to refuse; 'list': names between commas. */
  readonly kind?: 'number' | 'list'
  readonly path: readonly string[]
  /** In place of the help of the option, where a flag says it shorter. */
  readonly help?: string
}

/** In the order of help. */
const TRAIN_FLAGS: readonly TrainFlag[] = [
  { flag: '--model', value: 'dir', path: ['model'] },
  { flag: '--revision', value: 'name', path: ['revision'] },
  { flag: '--dataset', value: 'path', path: ['dataset'] },
  { flag: '--eval-dataset', value: 'path', path: ['evalDataset'] },
  { flag: '--output', value: 'dir', path: ['outputDir'] },
  {
    flag: '--preset',
    value: 'name',
    path: ['preset'],
    help: `a recipe for what is left open: ${Object.keys(PRESETS).join(', ')}`,
  },
  { flag: '--method', value: 'name', path: ['method'] },
  { flag: '--quantization', value: 'type', path: ['quantization'] },
  { flag: '--dtype', value: 'type', path: ['dtype'] },
  { flag: '--device', value: 'name', path: ['device'] },
  { flag: '--threads', value: 'count', kind: 'number', path: ['threads'] },
  { flag: '--rank', value: 'count', kind: 'number', path: ['lora', 'r'] },
  { flag: '--alpha', value: 'number', kind: 'number', path: ['lora', 'loraAlpha'] },
  { flag: '--dropout', value: 'share', kind: 'number', path: ['lora', 'loraDropout'] },
  { flag: '--target-modules', value: 'names', kind: 'list', path: ['lora', 'targetModules'] },
  { flag: '--epochs', value: 'number', kind: 'number', path: ['training', 'numTrainEpochs'] },
  { flag: '--max-steps', value: 'count', kind: 'number', path: ['training', 'maxSteps'] },
  { flag: '--lr', value: 'number', kind: 'number', path: ['training', 'learningRate'] },
  { flag: '--batch-size', value: 'count', kind: 'number', path: ['training', 'perDeviceTrainBatchSize'] },
  { flag: '--max-length', value: 'tokens', kind: 'number', path: ['training', 'maxLength'] },
  { flag: '--packing', path: ['training', 'packing'] },
  { flag: '--eval-split', value: 'share', kind: 'number', path: ['training', 'evalSplit'] },
  { flag: '--seed', value: 'number', kind: 'number', path: ['training', 'seed'] },
  { flag: '--resume', path: ['resumeFromCheckpoint'], help: 'go on from the last checkpoint in --output' },
]

/** The line of help: what the option does and its default. A flag that takes nothing is off where it is left out. */
function helpOf({ path, value, help }: TrainFlag): string {
  const entry = entryAt(path)
  const hasDefault = value !== undefined && entry.default !== undefined && entry.default !== -1
  return `${help ?? entry.help}${hasDefault ? ` (default: ${defaultOf(path)})` : ''}`
}

/** What names of devices mean. */
export const DEVICE_HELP = TRAIN_LORA_OPTIONS.device.help

/** Adds the flags, and `--set` for every other option. */
export function addTrainFlags(command: Command): Command {
  for (const flag of TRAIN_FLAGS) command.option(flag.value ? `${flag.flag} <${flag.value}>` : flag.flag, helpOf(flag))
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
  return TRAIN_FLAGS.flatMap(({ flag, kind, path }) => {
    const value = given.get(attributeOf(flag))
    return value === undefined ? [] : [{ flag, path, value: read(value, kind) }]
  })
}

/** How the flag is written that sets an option: `--model DIR`; undefined where none does. */
export function flagOf(path: readonly string[]): string | undefined {
  const found = TRAIN_FLAGS.find((flag) => flag.path.join('.') === path.join('.'))
  return found && (found.value ? `${found.flag} ${found.value.toUpperCase()}` : found.flag)
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

function read(value: unknown, kind: TrainFlag['kind']): unknown {
  if (typeof value !== 'string' || value.trim() === '') return value
  if (kind === 'number') {
    const number = Number(value)
    return Number.isFinite(number) ? number : value
  }
  const isList = kind === 'list' && /^[\w.-]+(?:,\s*[\w.-]+)*$/.test(value) && value.toLowerCase() !== 'all-linear'
  return isList ? value.split(',').map((name) => name.trim()) : value
}

/** `maxLength` for `--max-length`, as commander names it. */
function attributeOf(flag: string): string {
  return flag.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}
