/** @file From the words of a command line to the command that runs. Knows no command. */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import type { AnyCommand, Program } from './command.js'
import { findCommand } from './find-command.js'
import { commandHelp, groupHelp, pageFor, programHelp } from './help-text.js'
import { parseWords } from './parse.js'
import { UsageError } from './usage-error.js'

/**
 * Runs a command, or shows help.
 * @param words without the program's own name
 * @param onStart is called once nothing is wrong, before the command runs
 * @throws UsageError with everything that is wrong with the words
 */
export async function runProgram(
  program: Program,
  words: readonly string[],
  onStart: () => Promise<void>,
): Promise<void> {
  const { stdout, stderr } = process
  const [name, ...rest] = words[0] === '--verbose' ? words.slice(1) : words
  if (name === undefined) {
    stderr.write(await programHelp(program, pageFor(stderr)))
    throw new UsageError('[lowrank] expected the name of a command, got nothing')
  }
  if (name === '--help' || name === '-h') stdout.write(await programHelp(program, pageFor(stdout)))
  else if (name === '--version' || name === '-V') stdout.write(`${program.version}\n`)
  else {
    const found = await findCommand('lowrank', [name, ...rest], program)
    if (found.command === undefined) await showGroup(found.name, found.rest[0], program)
    else await runCommand(found.name, found.command, found.rest, program, onStart)
  }
}

/** @throws UsageError where the words ask for anything but help */
async function showGroup(group: string, word: string | undefined, program: Program): Promise<void> {
  const { stdout, stderr } = process
  if (word === '--help' || word === '-h') {
    stdout.write(await groupHelp(group, program, pageFor(stdout)))
    return
  }
  stderr.write(await groupHelp(group, program, pageFor(stderr)))
  const got = word === undefined ? 'nothing' : describeValue(word)
  throw new UsageError(`[${group}] expected the name of a command, got ${got}`)
}

async function runCommand(
  name: string,
  command: AnyCommand,
  words: readonly string[],
  program: Program,
  onStart: () => Promise<void>,
): Promise<void> {
  const parsed = parseWords(name, command, words)
  if (parsed.wantsHelp) {
    process.stdout.write(commandHelp(name, command, pageFor(process.stdout)))
    return
  }
  const problems = [...parsed.problems]
  let checked: unknown
  try {
    if (parsed.isUnderstood) checked = await command.check(parsed as never, program)
  } catch (error) {
    if (!(error instanceof OptionError) || problems.length === 0) throw error
    problems.push(...error.problems)
  }
  if (problems.length > 0) throw new UsageError(problems, { command: name, help: `lowrank ${name} --help` })
  await onStart()
  await command.run(checked as never, program)
}
