/** @file `lowrank help`: the pages that --help shows. */

import type { AnyCommand, Command, NoFlags } from './command.js'
import { commandHelp, pageFor, programHelp } from './help-text.js'
import { findCommand } from './run-program.js'

interface Checked {
  /** The command whose page is wanted, with its name; undefined: the page of the program. */
  readonly page: readonly [name: string, command: AnyCommand] | undefined
}

export const command: Command<NoFlags, Checked> = {
  summary: 'show the help of a command',
  arguments: [{ name: 'command', help: 'the command', otherwise: 'all of them, a line for each', choices: 'commands' }],
  flags: {},
  examples: [
    { text: 'See all commands', line: 'help' },
    { text: 'See all flags of train', line: 'help train' },
  ],
  async check({ words: [name] }, program) {
    return { page: name === undefined ? undefined : [name, await findCommand('help', name, program)] }
  },
  async run({ page }, program) {
    const { stdout } = process
    stdout.write(page ? commandHelp(...page, pageFor(stdout)) : await programHelp(program, pageFor(stdout)))
  },
}
