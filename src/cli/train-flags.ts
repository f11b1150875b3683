/** @file The flags of `train`, `plan` and `init` that stand for options of `trainLora`. Loads nothing of the engine. */

import type { Command } from 'commander'
import { DEFAULT_LORA_CONFIG } from '../adapters/lora-config.js'
import { DATA_OPTION_NAMES } from '../data/options.js'
import { currentName } from '../train/known-options.js'
import { camelCase } from '../train/option-rules.js'
import { TOP_LEVEL_RULES, TRAINING_RULES } from '../train/options.js'
import { PRESETS } from '../train/presets.js'
import type { FlagValue } from './config.js'
import { defaultOf } from './defaults.js'
import { repeatable } from './sampling-flags.js'

/** A flag and the option that it sets. */
interface TrainFlag {
  readonly flag: string
  /** What it takes, as help shows it; absent: nothing, the flag means true. */
  readonly value?: string
  /** 'number': a number where the text is one, else the text for the option to refuse; 'list': names between commas. */
  readonly kind?: 'number' | 'list'
  readonly path: readonly string[]
  readonly help: string
  /** Whether help adds the default of the option. */
  readonly showsDefault?: boolean
}

/** What names of devices mean. */
export const DEVICE_HELP = 'cpu, cuda, the first GPU, cuda:N, or auto: a GPU where one is'

/** In the order of help. */
const TRAIN_FLAGS: readonly TrainFlag[] = [
  { flag: '--model', value: 'dir', path: ['model'], help: 'directory, .gguf file or Hub id of the model' },
  { flag: '--revision', value: 'name', path: ['revision'], help: 'branch, tag or commit of a Hub model' },
  { flag: '--dataset', value: 'path', path: ['dataset'], help: 'path or glob of the rows, JSON Lines' },
  { flag: '--eval-dataset', value: 'path', path: ['evalDataset'], help: 'path or glob of rows to evaluate on' },
  {
    flag: '--output',
    value: 'dir',
    path: ['outputDir'],
    help: 'where checkpoints go, and the result in adapter/ or model/',
  },
  {
    flag: '--preset',
    value: 'name',
    path: ['preset'],
    help: `a recipe for what is left open: ${Object.keys(PRESETS).join(', ')}`,
  },
  { flag: '--method', value: 'name', path: ['method'], help: 'lora, or full: train every weight', showsDefault: true },
  {
    flag: '--quantization',
    value: 'type',
    path: ['quantization'],
    help: "nf4: hold the model's frozen weights in 4 bits (QLoRA)",
  },
  { flag: '--dtype', value: 'type', path: ['dtype'], help: 'auto, bfloat16, float16 or float32', showsDefault: true },
  { flag: '--device', value: 'name', path: ['device'], help: DEVICE_HELP, showsDefault: true },
  { flag: '--threads', value: 'count', kind: 'number', path: ['threads'], help: 'threads of the CPU' },
  {
    flag: '--rank',
    value: 'count',
    kind: 'number',
    path: ['lora', 'r'],
    help: 'rank of the adapter',
    showsDefault: true,
  },
  {
    flag: '--alpha',
    value: 'number',
    kind: 'number',
    path: ['lora', 'loraAlpha'],
    help: 'scale of the adapter times its rank',
    showsDefault: true,
  },
  {
    flag: '--dropout',
    value: 'share',
    kind: 'number',
    path: ['lora', 'loraDropout'],
    help: 'dropout of the adapter',
    showsDefault: true,
  },
  {
    flag: '--target-modules',
    value: 'names',
    kind: 'list',
    path: ['lora', 'targetModules'],
    help: 'all-linear, or names such as q_proj,v_proj',
    showsDefault: true,
  },
  {
    flag: '--epochs',
    value: 'number',
    kind: 'number',
    path: ['training', 'numTrainEpochs'],
    help: 'passes over the rows',
    showsDefault: true,
  },
  {
    flag: '--max-steps',
    value: 'count',
    kind: 'number',
    path: ['training', 'maxSteps'],
    help: 'optimizer steps, in place of epochs',
  },
  {
    flag: '--lr',
    value: 'number',
    kind: 'number',
    path: ['training', 'learningRate'],
    help: 'learning rate',
    showsDefault: true,
  },
  {
    flag: '--batch-size',
    value: 'count',
    kind: 'number',
    path: ['training', 'perDeviceTrainBatchSize'],
    help: 'rows that are computed together',
    showsDefault: true,
  },
  {
    flag: '--max-length',
    value: 'tokens',
    kind: 'number',
    path: ['training', 'maxLength'],
    help: 'longest row in tokens; longer ones lose their end',
    showsDefault: true,
  },
  { flag: '--packing', path: ['training', 'packing'], help: 'put several rows into one of --max-length tokens' },
  {
    flag: '--eval-split',
    value: 'share',
    kind: 'number',
    path: ['training', 'evalSplit'],
    help: 'share or number of the rows to evaluate on instead',
    showsDefault: true,
  },
  {
    flag: '--seed',
    value: 'number',
    kind: 'number',
    path: ['training', 'seed'],
    help: 'of order and initial weights',
    showsDefault: true,
  },
  {
    flag: '--resume',
    path: ['resumeFromCheckpoint'],
    help: 'go on from the last checkpoint in --output',
  },
]

/** Adds the flags, and `--set` for every other option. */
export function addTrainFlags(command: Command): Command {
  for (const { flag, value, path, help, showsDefault } of TRAIN_FLAGS) {
    const text = showsDefault ? `${help} (default: ${defaultOf(path)})` : help
    command.option(value ? `${flag} <${value}>` : flag, text)
  }
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
    [[], Object.keys(TOP_LEVEL_RULES)],
    [['training'], [...Object.keys(TRAINING_RULES), ...DATA_OPTION_NAMES]],
    [['lora'], Object.keys(DEFAULT_LORA_CONFIG)],
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
