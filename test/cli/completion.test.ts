/** @file Completion in shells: what bash offers, and that every script knows every command and flag. */

import { spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, it } from 'vitest'
import { COMMANDS, GROUPS } from '../../src/cli/commands.js'
import { completionScript, SHELLS } from '../../src/cli/completion-scripts.js'
import { firstWords } from '../../src/cli/find-command.js'
import { flagsOf } from '../../src/options/flags.js'
import { lowrank } from './run-cli.js'

const program = { version: '0', commands: COMMANDS, groups: GROUPS }
let bash: string

beforeAll(async () => {
  bash = await completionScript('bash', program)
})

/** What bash offers for the last of the words. */
function offered(...words: string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ')
  const ask = `COMP_WORDS=(lowrank ${line}); COMP_CWORD=${words.length}; _lowrank; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', `${bash}\n${ask}`], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return stdout.split('\n').filter((word) => word !== '')
}

describe('completion in bash', () => {
  it('offers commands, flags, and values that an option lists', () => {
    expect(offered('')).toEqual([...firstWords({ commands: COMMANDS }), '--help', '--version'])
    expect(offered('ge')).toEqual(['generate'])
    expect(offered('train', '--le')).toEqual([])
    expect(offered('train', '--ma')).toEqual(['--max-steps', '--max-length'])
    expect(offered('generate', '--dtype', '')).toEqual(['float32', 'bfloat16', 'float16'])
    expect(offered('generate', '--dtype', '=', 'b')).toEqual(['bfloat16'])
    expect(offered('plan', '--device', 'c')).toEqual(['cpu', 'cuda'])
    expect(offered('help', 'com')).toEqual(['completion'])
    expect(offered('completion', '')).toEqual([...SHELLS])
  })

  it('offers files where a path is wanted, and nothing where a number is', () => {
    expect(offered('train', 'packa').sort()).toEqual(['package-lock.json', 'package.json', 'packages'])
    expect(offered('train', '--dataset', 'READ')).toEqual(['README.md'])
    expect(offered('train', '--rank', '')).toEqual([])
    expect(offered('doctor', '')).toEqual([])
  })
})

describe('the script', () => {
  it.each(SHELLS)('the script for %s knows every command and every flag', async (shell) => {
    const script = await completionScript(shell, program)
    for (const [name, load] of COMMANDS) {
      const { command } = await load()
      expect(script).toContain(name)
      for (const flag of [command.settings ?? {}, command.flags].flatMap((table) => flagsOf(table)))
        expect(script).toContain(shell === 'fish' ? ` -l ${flag.name.slice(2)} ` : flag.name)
    }
  })

  it('is refused for other shells', async () => {
    expect(await lowrank(['completion', 'tcsh'])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'error: [completion] expected bash, zsh or fish, got "tcsh"; lowrank completion --help says more\n',
    })
  })
})
