#!/usr/bin/env node
/**
 * @file The command line: the commands, what was typed, and how it ends. Each command is a file of its own that is
 * loaded when it is needed; none loads the native engine before it runs, so that `--help` and `doctor` work where that
 * does not load.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage; of a process that a signal ended, the signal, which shells show as 128
 * and its number. With --json an error is also a line of JSON on stdout.
 */

import { createRequire } from 'node:module'
import { paintFor } from '../progress/terminal.js'
import { harmless } from '../progress/text-width.js'
import { toError } from '../values.js'
import { COMMANDS, GROUPS } from './commands.js'
import { describeFailure, exitCodeOf } from './exit.js'
import { runProgram } from './run-program.js'
import { hideSecrets, keepSecretsOfArguments, takeSecretsOfEnvironment } from './secrets.js'
import { expectResultOnDisk, guardStandardStreams } from './standard-streams.js'
import { UsageError } from './usage-error.js'

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
const words = process.argv.slice(2)

async function main(): Promise<void> {
  keepSecretsOfArguments(words)
  process.env = takeSecretsOfEnvironment(process.env)
  guardStandardStreams()
  try {
    await runProgram({ version, commands: COMMANDS, groups: GROUPS }, words, async () => {
      // The first process of a container is ended by no signal that it does not handle.
      if (process.pid === 1) (await import('./signal-guard.js')).releaseSignals()
    })
  } catch (error) {
    process.exitCode = exitCodeOf(error)
    report(error)
    reportJson(error)
  }
}

function report(error: unknown): void {
  const { message, stack } = toError(error)
  const paint = paintFor(process.stderr)
  process.stderr.write(`${paint('red', 'error')}: ${harmless(hideSecrets(message))}\n`)
  if (error instanceof UsageError && error.help) process.stderr.write(`${paint('dim', error.help)} says more\n`)
  if (stack && (words.includes('--verbose') || process.env.DEBUG)) process.stderr.write(`${hideSecrets(stack)}\n`)
}

/** Tells a program that asked for JSON. What a closed stdout does then must not change the exit code. */
function reportJson(error: unknown): void {
  if (!words.includes('--json')) return
  expectResultOnDisk()
  const line = JSON.stringify(describeFailure(error), (_, value) =>
    typeof value === 'string' ? hideSecrets(value) : value,
  )
  process.stdout.write(`${line}\n`)
}

await main()
