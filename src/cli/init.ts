/** @file `lowrank init`: a commented configuration to begin with. */

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { TRAIN_OPTIONS } from '../integrations/options.js'
import { boolean } from '../options/rules.js'
import { schemaComment } from '../train/config-schema.js'
import { EFFECTIVE_BATCH_SIZE } from '../train/training-options.js'
import type { Command } from './command.js'
import { defaultOf } from './defaults.js'
import { commandLine, quoted } from './try-it.js'
import { UsageError } from './usage-error.js'

interface InitFlags {
  readonly model?: string
  readonly dataset?: string
  readonly output?: string
  readonly all?: boolean
  readonly force?: boolean
}

interface Checked extends InitFlags {
  /** The file to write. */
  readonly path: string
}

const { model, dataset, outputDir } = TRAIN_OPTIONS

export const command: Command<InitFlags, Checked> = {
  summary: 'write a YAML file for train, with comments',
  arguments: [{ name: 'config', help: 'the file', default: 'run.yaml' }],
  flags: {
    model,
    dataset,
    output: outputDir,
    all: {
      rule: boolean,
      help: 'write every option, with its default',
      flag: { name: '--all', group: 'The file' },
    },
    force: { rule: boolean, help: 'replace a file that is there', flag: { name: '--force' } },
  },
  examples: [
    { text: 'A file to fill in, run.yaml', line: 'init' },
    { text: 'A file that is ready', line: 'init risk.yaml --model org/name --dataset rows.jsonl' },
  ],
  async check({ flags, words: [path = ''] }) {
    const { model, dataset, output, all, force } = flags
    if (!/\.ya?ml$/i.test(path))
      throw new UsageError(`[init] expected a file that ends in .yaml, got ${path}; lowrank init --help says more`)
    if (!force && (await exists(path)))
      throw new UsageError(`[init] expected a new file, got ${path}, which exists; choose another, or add --force`)
    if (all && (model ?? dataset ?? output) !== undefined)
      throw new UsageError(
        '[init] expected --all, or --model, --dataset and --output, got both; fill them in in the file',
      )
    return { ...flags, path }
  },
  async run({ path, ...flags }) {
    await writeFileAtomic(path, flags.all ? await everyOption() : await content(path, flags))
    const open = [flags.model === undefined ? 'model' : '', flags.dataset === undefined ? 'dataset' : ''].filter(
      Boolean,
    )
    const first = open.length === 0 ? '' : `Fill in ${open.join(' and ')}. `
    process.stdout.write(
      `Wrote ${path}. ${first}Then:\n  ${commandLine(['plan', path])}\n  ${commandLine(['train', path])}\n`,
    )
  },
}

async function everyOption(): Promise<string> {
  return (await import('../train/options-file.js')).everyOption(TRAIN_OPTIONS)
}

function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  )
}

/** The file. What is not given is left for the user to fill in, as an example. */
async function content(path: string, options: InitFlags): Promise<string> {
  const { stringify } = await import('yaml')
  // YAML 1.1, as Python reads it, takes 2e-4 for a text.
  const learningRate = defaultOf(['training', 'learningRate'])?.replace(/^(\d+)e/, '$1.0e')
  const value = (given: string | undefined, example: string): string => stringify(given ?? example).trimEnd()
  const comment = schemaComment(dirname(resolve(path)))
  return `${comment === undefined ? '' : `${comment}\n`}# For lowrank train ${quoted(path)}
# Flags go over what stands here: --epochs 1, --lr 1e-4, --set training.warmupRatio=0.1
# Options after a # are those that are changed most; take the # away. Keys may be written as in Python: num_train_epochs.

# A directory, a .gguf file, or a Hub id, which is fetched
model: ${value(options.model, 'HuggingFaceTB/SmolLM2-135M-Instruct')}

# JSON Lines, a path or a glob. Rows have messages, prompt and completion, text, or instruction, input and output
dataset: ${value(options.dataset, 'rows.jsonl')}
# evalDataset: held-out.jsonl # or hold some of the rows out with training.evalSplit

# Checkpoints go here, and the result into adapter/
outputDir: ${value(options.output, 'out/mine')}

# quantization: nf4 # QLoRA: the frozen weights in 4 bits, for large models
# device: auto # a GPU where one is, else the CPU, which is the default
# dtype: bfloat16 # default: bfloat16 where the processor has instructions for it, else float32

lora:
  r: ${defaultOf(['lora', 'r'])} # rank: how much the adapter can learn
  loraAlpha: ${defaultOf(['lora', 'loraAlpha'])} # scale of the adapter times r
  # loraDropout: 0.05 # default ${defaultOf(['lora', 'loraDropout'])}
  # targetModules: [q_proj, v_proj] # default: ${defaultOf(['lora', 'targetModules'])}

training:
  numTrainEpochs: ${defaultOf(['training', 'numTrainEpochs'])}
  learningRate: ${learningRate}
  maxLength: 1024 # tokens; longer rows lose their end
  # perDeviceTrainBatchSize: 1 # rows that are computed together, default ${defaultOf(['training', 'perDeviceTrainBatchSize'])}; ${EFFECTIVE_BATCH_SIZE} rows make a step all the same
  # packing: true # put several short rows into one of maxLength
  # evalSplit: 0.05 # hold out this share of the rows, and evaluate after each epoch
  # saveSteps: 100 # steps between two checkpoints, default ${defaultOf(['training', 'saveSteps'])}
  # seed: 1 # default ${defaultOf(['training', 'seed'])}
`
}
