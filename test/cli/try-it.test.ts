/** @file Commands to copy: quoted for a shell, begun as the program was. */

import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { commandLine, programName, quoted } from '../../src/cli/try-it.js'

describe('a command to copy', () => {
  it.each([
    'out/mine',
    'a b',
    "it's",
    '$HOME',
    '`x`',
    '"',
    '\\',
    '*',
    '~',
    '',
    'a;b',
    '#x',
    'ä',
    'a\nb',
    '-x',
    '!',
    '{a,b}',
  ])('gives a shell the argument %j as it is', (argument) => {
    const { stdout } = spawnSync('sh', ['-c', `printf '%s|' ${quoted(argument)} end`], { encoding: 'utf8' })
    expect(stdout).toBe(`${argument}|end|`)
  })

  it('leaves plain paths and ids without quotes', () => {
    expect(commandLine(['--model', 'org/name@main', '--adapter', './out/a-b_1.gguf'], { argv: [], env: {} })).toContain(
      ' --model org/name@main --adapter ./out/a-b_1.gguf',
    )
  })

  it.each<[string, string, NodeJS.ProcessEnv, string]>([
    ['by npx', '/p/node_modules/.bin/lowrank', { npm_command: 'exec' }, 'npx lowrank'],
    ['by a script of the project', '/p/node_modules/.bin/lowrank', { npm_lifecycle_event: 'train' }, 'npx lowrank'],
    ['as a package of the project', '/p/node_modules/.bin/lowrank', { PATH: '/usr/bin' }, 'npx lowrank'],
    ['from the path', '/usr/local/bin/lowrank', { PATH: '/usr/bin:/usr/local/bin' }, 'lowrank'],
    ['from elsewhere', '/opt/my tools/lowrank', { PATH: '/usr/bin' }, "'/opt/my tools/lowrank'"],
    ['as a script of Node', '/opt/lowrank/dist/cli/main.js', {}, 'node /opt/lowrank/dist/cli/main.js'],
    ['in its own folder', `${process.cwd()}/dist/cli/main.js`, {}, 'node dist/cli/main.js'],
  ])('begins as the program was started: %s', (_, script, env, name) => {
    expect(programName({ argv: ['node', script], env })).toBe(name)
  })
})
