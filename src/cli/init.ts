/** @file `lowrank init`: a commented configuration to begin with. */

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { stringify } from 'yaml'
import { writeFileAtomic } from '../files.js'
import { schemaComment } from '../train/config-schema.js'
import { EFFECTIVE_BATCH_SIZE } from '../train/options.js'
import { everyOption } from '../train/options-file.js'
import { defaultOf } from './defaults.js'
import { commandLine, quoted } from './try-it.js'
import { UsageError } from './usage-error.js'

interface InitOptions {
  readonly model?: string
  readonly dataset?: string
  readonly output?: string
  readonly force?: boolean
  readonly all?: boolean
}

export async function init(path: string, options: InitOptions): Promise<void> {
  if (!/\.ya?ml$/i.test(path)) {
    throw new UsageError(`[init] expected a file that ends in .yaml, got ${path}; lowrank init --help says more`)
  }
  for (const name of ['model', 'dataset', 'output'] as const) {
    if (options[name]?.trim() === '') throw new UsageError(`[init] expected a text for --${name}, got an empty one`)
  }
  const exists = await access(path, constants.F_OK).then(
    () => true,
    () => false,
  )
  if (exists && !options.force)
    throw new UsageError(`[init] expected a new file, got ${path}, which exists; choose another, or add --force`)
  const { model, dataset } = options
  if (options.all && (model ?? dataset ?? options.output) !== undefined)
    throw new UsageError(
      '[init] expected --all, or --model, --dataset and --output, got both; fill them in in the file',
    )
  await writeFileAtomic(path, options.all ? everyOption() : content(path, options))
  const open = [model === undefined ? 'model' : '', dataset === undefined ? 'dataset' : ''].filter((name) => name)
  const first = open.length === 0 ? '' : `Say in it which ${open.join(' and ')}. `
  process.stdout.write(
    `Wrote ${path}. ${first}Then:\n  ${commandLine(['plan', path])}\n  ${commandLine(['train', path])}\n`,
  )
}

/** The file. What is not given is left for the user to fill in, as an example. */
function content(path: string, options: InitOptions): string {
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
# dtype: bfloat16 # default: what the machine is good at

lora:
  r: ${defaultOf(['lora', 'r'])} # rank: how much the adapter can learn
  loraAlpha: ${defaultOf(['lora', 'loraAlpha'])} # its scale times r
  # loraDropout: 0.05 # default ${defaultOf(['lora', 'loraDropout'])}
  # targetModules: [q_proj, v_proj] # default: ${defaultOf(['lora', 'targetModules'])}

training:
  numTrainEpochs: ${defaultOf(['training', 'numTrainEpochs'])}
  learningRate: ${learningRate}
  maxLength: 1024 # tokens; longer rows lose their end
  # perDeviceTrainBatchSize: 1 # rows that are computed together, default ${defaultOf(['training', 'perDeviceTrainBatchSize'])}; ${EFFECTIVE_BATCH_SIZE} make a step in any case
  # packing: true # put several short rows into one of maxLength
  # evalSplit: 0.05 # hold out this share of the rows, and evaluate after each epoch
  # saveSteps: 100 # steps between two checkpoints, default ${defaultOf(['training', 'saveSteps'])}
  # seed: 1 # default ${defaultOf(['training', 'seed'])}
`
}
