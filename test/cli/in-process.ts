/** @file Runs the command line within this process: what it writes, and the code that it would end with. */

import { vi } from 'vitest'
import { COMMANDS, GROUPS } from '../../src/cli/commands.js'
import { describeFailure, exitCodeOf } from '../../src/cli/exit.js'
import { runProgram } from '../../src/cli/run-program.js'
import { toError } from '../../src/values.js'
import type { CliResult } from './run-cli.js'

/** `lowrank WORDS`, for commands whose start is no part of what is tested. One at a time. */
export async function inProcess(words: readonly string[]): Promise<CliResult> {
  const written = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += text
      return true
    })
  try {
    await runProgram({ version: '0', commands: COMMANDS, groups: GROUPS }, words, async () => {})
  } catch (error) {
    process.exitCode = exitCodeOf(error)
    written.stderr += `error: ${toError(error).message}\n`
    if (words.includes('--json')) written.stdout += `${JSON.stringify(describeFailure(error))}\n`
  } finally {
    vi.restoreAllMocks()
  }
  const code = Number(process.exitCode ?? 0)
  process.exitCode = undefined
  return { code, ...written }
}
