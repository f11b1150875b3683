#!/usr/bin/env node
/**
 * @file The command line: what commands there are, and how they end. Each command is a file of its own that is loaded when
 * it runs, so that `--help` and `doctor` work where the native engine does not.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage; of a process that a signal ended, the signal, which shells show as 128 and its number.
 * With --json an error is also a line of JSON on stdout.
 */

import { createRequire } from 'node:module'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { parseBytes } from '../bytes.js'
import { GENERATE_OPTIONS } from '../decoding/sampling-options.js'
import { describeValue, isSecretName, listNames, nearestName } from '../errors.js'
import { PLAN_GENERATION_OPTIONS } from '../generation/plan-options.js'
import { paintFor } from '../progress/terminal.js'
import { COMPUTE_DTYPES } from '../tensor/dtype.js'
import { toError } from '../values.js'
import { defaultOf } from './defaults.js'
import { describeFailure, exitCodeOf, WRONG_USAGE } from './exit.js'
import { addSamplingFlags, positiveInteger, repeatable } from './sampling-flags.js'
import { hideSecrets, keepSecretsOfArguments, keepSecretsOfEnvironment } from './secrets.js'
import { expectResultOnDisk, guardStandardStreams } from './standard-streams.js'
import { addTrainFlags, DEVICE_HELP, flagFor } from './train-flags.js'
import { UsageError } from './usage-error.js'

const EXIT_CODES = `
Exit codes: 0 done, 1 failed, 2 wrong usage. With --json an error is also a line
of JSON on stdout: {"type":"error","code":"...","message":"...","exitCode":1},
with file, row, needed, budget, step or checkpoint where the error has them.`

const DTYPE_HELP = `what to compute in: ${COMPUTE_DTYPES.join(', ')}; default: bfloat16 on a GPU, where the processor does or with nf4, else float32`

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
    .addHelpText('after', EXIT_CODES)
    .option('--verbose', 'show where an error comes from (also with DEBUG=1)')
    .configureOutput({ outputError: (text, write) => write(hideSecrets(`${text}${hintFor(text)}`)) })
    .allowExcessArguments()
    .hook('preAction', async (_, command) => {
      refuseExcessArguments(command)
      // The first process of a container is ended by no signal that it does not handle.
      if (process.pid === 1) (await import('./signal-guard.js')).releaseSignals()
    })
    .exitOverride()

  addTrainFlags(
    program
      .command('train')
      .description('train a LoRA adapter, or a whole model, as flags or a YAML file say')
      .argument('[config]', 'YAML file with the options of trainLora; lowrank init writes one, flags go over it'),
  )
    .option('--json', 'write events as JSON lines to stdout instead of a progress bar')
    .action(async (config, options) => (await import('./train.js')).train(config, options))

  program
    .command('init')
    .description('write a YAML file for train, with comments')
    .argument('[config]', 'the file', 'run.yaml')
    .option('--model <dir>', 'directory, .gguf file or Hub id of the model')
    .option('--dataset <path>', 'path or glob of the rows, JSON Lines')
    .option('--output <dir>', 'where checkpoints and the result go')
    .option('--all', 'write every option, with its default')
    .option('--force', 'replace a file that is there')
    .action(async (config, options) => (await import('./init.js')).init(config, options))

  addTrainFlags(
    program
      .command('plan')
      .description(
        'say how much memory a training run takes, and what would make it fit; needs config.json or a .gguf file, reads no weights',
      )
      .argument('[config]', 'YAML file as for train'),
  )
    .option('--memory <size>', 'what may be taken of it, as in 8GiB; default: what is available now', memorySize)
    .option(
      '--generate',
      'of answers instead of training, the key/value cache included; --batch-size prompts at a time',
    )
    .option(
      '--prompt-tokens <count>',
      `with --generate: tokens of each prompt (default: ${PLAN_GENERATION_OPTIONS.promptTokens.default})`,
      positiveInteger,
    )
    .option(
      '--max-new-tokens <count>',
      `with --generate: tokens of the longest answer (default: ${PLAN_GENERATION_OPTIONS.maxNewTokens.default})`,
      positiveInteger,
    )
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
      .option(
        '--model <dir>',
        'directory of a model, a .gguf file, or a Hub id, which is fetched where the cache lacks it; default: the one that the adapter names',
      )
      .option('--revision <name>', 'branch, tag or commit of a Hub model; default: the one that the adapter names')
      .option('--adapter <dir>', 'directory of a LoRA adapter')
      .option('--quantization <type>', "nf4: hold the model's weights in 4 bits")
      .option('--dtype <type>', DTYPE_HELP)
      .option('--device <name>', `${DEVICE_HELP} (default: ${defaultOf(['device'])})`)
      .option('--prompt <text>', 'the text to continue; without it the text is read from stdin')
      .option('--chat', 'wrap the prompt as a user message in the chat template')
      .option('--json', 'write one JSON object to stdout'),
    GENERATE_OPTIONS.maxNewTokens.default,
  ).action(async (options) => (await import('./generate.js')).generate(options))

  addSamplingFlags(
    program
      .command('chat')
      .description('talk with a model: on a terminal, or a line per message through a pipe')
      .option(
        '--model <dir>',
        'directory of a model, a .gguf file, or a Hub id, which is fetched where the cache lacks it; default: the one that the adapter names',
      )
      .option('--revision <name>', 'branch, tag or commit of a Hub model')
      .addOption(repeatable('--adapter <dir>', 'directory of a LoRA adapter; may be repeated, /adapter switches'))
      .option('--quantization <type>', "nf4: hold the model's weights in 4 bits")
      .option('--dtype <type>', DTYPE_HELP)
      .option('--device <name>', `${DEVICE_HELP} (default: ${defaultOf(['device'])})`)
      .option('--system <text>', 'the system message')
      .option('--json', 'write a JSON object per answer to stdout'),
    512,
  ).action(async (options) => (await import('./chat.js')).chat(options))

  program
    .command('merge')
    .description('fold an adapter into its model and write the result as a model of its own')
    .option('--adapter <dir>', 'directory of a LoRA adapter')
    .option('--output <dir>', 'new or empty directory for the merged model')
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
    .option('--device <name>', `${DEVICE_HELP} (default: ${defaultOf(['device'])})`)
    .option('--max-shard-size <size>', 'largest file of weights, as in 2GB', '5GB')
    .addOption(repeatable('--prompt <text>', 'a text to compare the logits on, may be repeated', 'a draw of ids'))
    .option('--json', 'write one JSON object to stdout')
    .action(async (options) => (await import('./merge.js')).merge(options))

  program
    .command('doctor')
    .description('say what was built, what this machine has, what is missing and how to get it')
    .option('--json', 'write one JSON object to stdout')
    .action(async (options) => (await import('./doctor.js')).doctor(options, version))

  program
    .command('schema')
    .description('print the JSON Schema of configuration files, for editors')
    .action(async () => (await import('./schema.js')).schema())

  // That of commander shows the help of all for a command that it does not know.
  program
    .helpCommand(false)
    .command('help')
    .description('show the help of a command')
    .argument('[command]')
    .action((name?: string) => (name === undefined ? program : findCommand(program, name)).outputHelp())

  for (const command of [program, ...program.commands]) {
    const name = command === program ? 'lowrank' : `lowrank ${command.name()}`
    command.showHelpAfterError(`(${name} --help says more)`)
  }
  return program
}

/** @throws UsageError naming the nearest command */
function findCommand({ commands }: Command, name: string): Command {
  const found = commands.find((command) => command.name() === name)
  if (found) return found
  const names = commands.map((command) => command.name())
  const nearest = nearestName(name, names)
  const remedy = nearest === undefined ? `there are ${listNames(names, names.length)}` : `did you mean ${nearest}?`
  throw new UsageError(`[help] expected the name of a command, got ${describeValue(name)}; ${remedy}`)
}

/** @throws UsageError naming the words that belong to no flag, as of a path with blanks or a flag that was left out */
function refuseExcessArguments(command: Command): void {
  const { args, registeredArguments } = command
  if (args.length <= registeredArguments.length) return
  const expected = registeredArguments.length === 0 ? 'flags alone' : 'one file and flags'
  throw new UsageError(
    `[${command.name()}] expected ${expected}, got ${args.map((word) => describeValue(word)).join(', ')}; ` +
      `put quotes around a value with blanks or * in it, and its flag before each value: lowrank ${command.name()} --help lists them`,
  )
}

/** Where an unknown flag is an option of training by its name in Python: what to write instead. */
function hintFor(text: string): string {
  const [, flag] = /unknown option '--([\w-]+)/.exec(text) ?? []
  if (flag === undefined) return ''
  if (isSecretName(flag))
    return 'Others can read the command line: set HF_TOKEN, or HF_TOKEN_PATH to a file with the token.\n'
  const instead = flagFor(flag)
  return instead === undefined ? '' : `Write ${instead}.\n`
}

async function main(): Promise<void> {
  keepSecretsOfArguments(process.argv.slice(2))
  keepSecretsOfEnvironment(process.env)
  guardStandardStreams()
  const program = createProgram()
  try {
    await program.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has printed its message; help and --version are "errors" with exit code 0, and a bare `lowrank` is not asked for help.
      process.exitCode = error.exitCode === 0 ? 0 : WRONG_USAGE
      if (process.exitCode !== 0) reportJson(new UsageError(error.message.replace(/^error: /, '')))
      return
    }
    process.exitCode = exitCodeOf(error)
    report(error, program.opts().verbose === true || Boolean(process.env.DEBUG))
    reportJson(error)
  }
}

function report(error: unknown, verbose: boolean): void {
  const { message, stack } = toError(error)
  const paint = paintFor(process.stderr)
  process.stderr.write(`${paint('red', 'error')}: ${hideSecrets(message)}\n`)
  if (verbose && stack) process.stderr.write(`${hideSecrets(stack)}\n`)
}

/** Tells a program that asked for JSON. What a closed stdout does then must not change the exit code. */
function reportJson(error: unknown): void {
  if (!process.argv.includes('--json')) return
  expectResultOnDisk()
  const line = JSON.stringify(describeFailure(error), (_, value) =>
    typeof value === 'string' ? hideSecrets(value) : value,
  )
  process.stdout.write(`${line}\n`)
}

await main()
