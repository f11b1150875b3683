/** @file `lowrank completion`: what a shell needs to complete commands, flags and their values. */

import { describeValue } from '../errors.js'
import type { Command, NoFlags } from './command.js'
import { completionScript, SHELLS, type Shell } from './completion-scripts.js'
import { UsageError } from './usage-error.js'

interface Checked {
  readonly shell: Shell
}

export const command: Command<NoFlags, Checked> = {
  summary: 'print a script that completes commands and flags in a shell',
  details: 'For every shell: source <(lowrank completion bash) in ~/.bashrc, with zsh in ~/.zshrc behind compinit.',
  arguments: [{ name: 'shell', help: 'bash, zsh or fish', choices: SHELLS }],
  flags: {},
  examples: [
    { text: 'In bash, for this shell', line: 'completion bash > lowrank.bash && source lowrank.bash' },
    { text: 'In fish, for this shell', line: 'completion fish | source' },
  ],
  check({ words: [name] }) {
    const shell = SHELLS.find((known) => known === name)
    if (shell) return { shell }
    const got = name === undefined ? 'nothing' : describeValue(name)
    throw new UsageError(`[completion] expected bash, zsh or fish, got ${got}; lowrank completion --help says more`)
  },
  async run({ shell }, program) {
    process.stdout.write(await completionScript(shell, program))
  },
}
