#!/usr/bin/env node
/**
 * @file The command line: what commands there are, and how they end. Each command is a file of its own that is loaded when
 * it runs, so that `--help` and `doctor` work where the native engine does not.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage.
 */

import { createRequire } from 'node:module'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { parseBytes } from '../bytes.js'
import { COMPUTE_DTYPES } from '../tensor/dtype.js'
import { PRESETS } from '../train/presets.js'
import { addSamplingFlags, collect, positiveInteger } from './sampling-flags.js'
import { paintFor } from './terminal.js'
import { UsageError } from './usage-error.js'

const FAILED = 1
const WRONG_USAGE = 2

const PRESET_HELP = `a recipe for what the file leaves open: ${Object.keys(PRESETS).join(', ')}`

const DTYPE_HELP = `what to compute in: ${COMPUTE_DTYPES.join(', ')}; default: bfloat16 on a GPU, where the processor does or with nf4, else float32`

const DEVICE_HELP = 'cpu (default), cuda, the first GPU, cuda:N, or auto: a GPU where one is'

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }

function memorySize(value: string): number {
  const bytes = parseBytes(value)
  if (bytes === undefined || bytes < 1) throw new InvalidArgumentError('Expected an amount of memory such as 8GiB.')
  return bytes
}

function createProgram(): Command {
  const program = new Command('lowrank')
    .description('Fine-tune language models with LoRA.')
    .version(version)
    .option('--verbose', 'show where an error comes from (also with DEBUG=1)')
    .showHelpAfterError('(lowrank --help says more)')
    .exitOverride()

  program
    .command('train')
    .description('train a LoRA adapter, or a whole model, as a YAML file says')
    .argument('<config>', 'YAML file with the options of trainLora: model, dataset, lora, training, outputDir...')
    .option('--preset <name>', PRESET_HELP)
    .option('--revision <name>', 'branch, tag or commit of a Hub model; over what the file says')
    .option('--quantization <type>', "nf4: hold the model's frozen weights in 4 bits (QLoRA); over what the file says")
    .option('--device <name>', `${DEVICE_HELP}; over what the file says`)
    .option('--set <key=value>', 'an option on top of the file, as in --set training.learningRate=1e-4', collect, [])
    .option('--json', 'write events as JSON lines to stdout instead of a progress bar')
    .action(async (config, options) => (await import('./train.js')).train(config, options))

  program
    .command('plan')
    .description(
      'say how much memory a training run takes, and what would make it fit; needs config.json or a .gguf file, reads no weights',
    )
    .argument('[config]', 'YAML file as for train')
    .option('--model <dir>', 'directory, .gguf file or Hub id of the model, in place of that of the YAML file')
    .option('--preset <name>', PRESET_HELP)
    .option('--revision <name>', 'branch, tag or commit of a Hub model')
    .option('--quantization <type>', "nf4: hold the model's frozen weights in 4 bits (QLoRA)")
    .option('--device <name>', `whose memory counts: ${DEVICE_HELP}`)
    .option('--set <key=value>', 'an option on top of the file, as in --set training.maxLength=1024', collect, [])
    .option('--memory <size>', 'what may be taken of it, as in 8GiB; default: what is available now', memorySize)
    .option('--generate', 'of answers instead of training, the key/value cache included')
    .option('--batch-size <count>', 'with --generate: prompts at a time (default 1)', positiveInteger)
    .option('--prompt-tokens <count>', 'with --generate: tokens of each prompt (default 512)', positiveInteger)
    .option('--max-new-tokens <count>', 'with --generate: tokens of the longest answer (default 128)', positiveInteger)
    .option('--json', 'write one JSON object to stdout')
    .action(async (config, { generate, ...options }) =>
      generate
        ? (await import('./plan-generation.js')).planAnswers(config, options)
        : (await import('./plan.js')).plan(config, options),
    )

  addSamplingFlags(
    program
      .command('generate')
      .description('continue a text, or answer it')
      .requiredOption(
        '--model <dir>',
        'directory of a model, a .gguf file, or a Hub id, which is fetched where the cache lacks it',
      )
      .option('--revision <name>', 'branch, tag or commit of a Hub model; default: the one that the adapter names')
      .option('--adapter <dir>', 'directory of a LoRA adapter')
      .option('--quantization <type>', "nf4: hold the model's weights in 4 bits")
      .option('--dtype <type>', DTYPE_HELP)
      .option('--device <name>', DEVICE_HELP)
      .option('--prompt <text>', 'the text to continue; without it the text is read from stdin')
      .option('--chat', 'wrap the prompt as a user message in the chat template')
      .option('--json', 'write one JSON object to stdout'),
    128,
  ).action(async (options) => (await import('./generate.js')).generate(options))

  addSamplingFlags(
    program
      .command('chat')
      .description('talk with a model: on a terminal, or a line per message through a pipe')
      .requiredOption(
        '--model <dir>',
        'directory of a model, a .gguf file, or a Hub id, which is fetched where the cache lacks it',
      )
      .option('--revision <name>', 'branch, tag or commit of a Hub model')
      .option('--adapter <dir>', 'directory of a LoRA adapter; may be repeated, /adapter switches', collect, [])
      .option('--quantization <type>', "nf4: hold the model's weights in 4 bits")
      .option('--dtype <type>', DTYPE_HELP)
      .option('--device <name>', DEVICE_HELP)
      .option('--system <text>', 'the system message')
      .option('--json', 'write a JSON object per answer to stdout'),
    512,
  ).action(async (options) => (await import('./chat.js')).chat(options))

  program
    .command('merge')
    .description('fold an adapter into its model and write the result as a model of its own')
    .requiredOption('--adapter <dir>', 'directory of a LoRA adapter')
    .requiredOption('--output <dir>', 'new or empty directory for the merged model')
    .option(
      '--model <dir>',
      'directory, .gguf file or Hub id of the base model; default: the one that the adapter names',
    )
    .option('--revision <name>', 'branch, tag or commit of a Hub model; default: the one that the adapter names')
    .option('--dtype <type>', 'bfloat16, float16 or float32; default: that of the base, bfloat16 where it has 32 bits')
    .option(
      '--quantization <type>',
      'nf4: merge onto the weights that QLoRA trained on, decoded, not the original ones',
    )
    .option('--device <name>', DEVICE_HELP)
    .option('--max-shard-size <size>', 'largest file of weights, as in 2GB', '5GB')
    .option('--prompt <text>', 'a text to compare the logits on, may be repeated; default: a draw of ids', collect, [])
    .option('--json', 'write one JSON object to stdout')
    .action(async (options) => (await import('./merge.js')).merge(options))

  program
    .command('doctor')
    .description('say what was built, what this machine has, what is missing and how to get it')
    .option('--json', 'write one JSON object to stdout')
    .action(async (options) => (await import('./doctor.js')).doctor(options, version))

  return program
}

async function main(): Promise<void> {
  // Whoever reads may stop reading, as `head` does.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(0)
  })
  const program = createProgram()
  try {
    await program.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has printed its message; help and --version are "errors" with exit code 0, and a bare `lowrank` is not asked for help.
      process.exitCode = error.exitCode === 0 ? 0 : WRONG_USAGE
      return
    }
    report(error, program.opts().verbose === true || Boolean(process.env.DEBUG))
    process.exitCode = error instanceof UsageError ? WRONG_USAGE : FAILED
  }
}

function report(error: unknown, verbose: boolean): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  const paint = paintFor(process.stderr)
  process.stderr.write(`${paint('red', 'error')}: ${message}\n`)
  if (verbose && stack) process.stderr.write(`${stack}\n`)
}

await main()
