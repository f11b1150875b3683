/** @file From the words of a command line to the command that runs. Knows no command. */

import { describeValue, listNames, nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import type { AnyCommand, Program } from './command.js'
import { commandHelp, pageFor, programHelp } from './help-text.js'
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
    const command = await findCommand('lowrank', name, program)
    const parsed = parseWords(name, command, rest)
    if (parsed.wantsHelp) {
      stdout.write(commandHelp(name, command, pageFor(stdout)))
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
}

/**
 * @param where names the asker in errors
 * @throws UsageError naming the nearest command
 */
export async function findCommand(where: string, name: string, { commands }: Program): Promise<AnyCommand> {
  const load = commands.get(name)
  if (load) return (await load()).command
  const names = [...commands.keys()]
  const nearest = nearestName(name.replace(/^-+/, ''), names)
  const remedy = nearest === undefined ? `there are ${listNames(names, names.length)}` : `did you mean ${nearest}?`
  throw new UsageError(`[${where}] unknown command ${describeValue(name)}; ${remedy}`)
}
