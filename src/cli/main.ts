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
import { paintFor } from './terminal.js'
import { UsageError } from './usage-error.js'

const FAILED = 1
const WRONG_USAGE = 2

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }

function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value]
}

function positiveInteger(value: string): number {
  const parsed = Number(value)
  if (!Number.isSafeInteger(parsed) || parsed < 1)
    throw new InvalidArgumentError('Expected a whole number of at least 1.')
  return parsed
}

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
    .option('--revision <name>', 'branch, tag or commit of a Hub model; over what the file says')
    .option('--quantization <type>', "nf4: hold the model's frozen weights in 4 bits (QLoRA); over what the file says")
    .option('--set <key=value>', 'an option on top of the file, as in --set training.learningRate=1e-4', collect, [])
    .option('--json', 'write events as JSON lines to stdout instead of a progress bar')
    .action(async (config, options) => (await import('./train.js')).train(config, options))

  program
    .command('plan')
    .description(
      'say how much memory a training run takes, and what would make it fit; needs config.json, not the weights',
    )
    .argument('[config]', 'YAML file as for train')
    .option('--model <dir>', 'directory or Hub id of the model, in place of that of the file')
    .option('--revision <name>', 'branch, tag or commit of a Hub model')
    .option('--quantization <type>', "nf4: hold the model's frozen weights in 4 bits (QLoRA)")
    .option('--set <key=value>', 'an option on top of the file, as in --set training.maxLength=1024', collect, [])
    .option('--memory <size>', 'what the process may take, as in 8GiB; default: what is available now', memorySize)
    .option('--json', 'write one JSON object to stdout')
    .action(async (config, options) => (await import('./plan.js')).plan(config, options))

  program
    .command('generate')
    .description('continue a text, or answer it')
    .requiredOption('--model <dir>', 'directory of a model, or a Hub id, which is fetched where the Hub cache lacks it')
    .option('--revision <name>', 'branch, tag or commit of a Hub model')
    .option('--adapter <dir>', 'directory of a LoRA adapter')
    .option('--quantization <type>', "nf4: hold the model's weights in 4 bits")
    .option('--prompt <text>', 'the text to continue; without it the text is read from stdin')
    .option('--max-new-tokens <count>', 'length of the longest answer in tokens', positiveInteger, 128)
    .option('--chat', 'wrap the prompt as a user message in the chat template')
    .option('--json', 'write one JSON object to stdout')
    .action(async (options) => (await import('./generate.js')).generate(options))

  program
    .command('doctor')
    .description('say what was built, what this machine has, what is missing and how to get it')
    .option('--json', 'write one JSON object to stdout')
    .action(async (options) => (await import('./doctor.js')).doctor(options, version))

  return program
}

async function main(): Promise<void> {
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
