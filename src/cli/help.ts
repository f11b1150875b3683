/** @file `lowrank help`: the pages that --help shows. */

import { describeValue } from '../errors.js'
import type { Command, NoFlags } from './command.js'
import { type Found, findCommand } from './find-command.js'
import { commandHelp, groupHelp, pageFor, programHelp } from './help-text.js'
import { UsageError } from './usage-error.js'

interface Checked {
  /** What the page is about; undefined: the program. */
  readonly about: Found | undefined
}

export const command: Command<NoFlags, Checked> = {
  summary: 'show the help of a command',
  arguments: [
    {
      name: 'command',
      help: 'the command, or a group of commands',
      otherwise: 'all of them, a line for each',
      choices: 'commands',
    },
    { name: 'subcommand', help: 'the command of the group', choices: 'subcommands', isRepeatable: true },
  ],
  flags: {},
  examples: [
    { text: 'See all commands', line: 'help' },
    { text: 'See all flags of train', line: 'help train' },
  ],
  async check({ words }, program) {
    if (words.length === 0) return { about: undefined }
    const about = await findCommand('help', words, program)
    if (about.rest.length > 0)
      throw new UsageError(
        `[help] expected a command, got ${describeValue(words.join(' '))}; ${about.name} has none within it`,
      )
    return { about }
  },
  async run({ about }, program) {
    const { stdout } = process
    const page = pageFor(stdout)
    if (about === undefined) stdout.write(await programHelp(program, page))
    else if (about.command === undefined) stdout.write(await groupHelp(about.name, program, page))
    else stdout.write(commandHelp(about.name, about.command, page))
  },
}
