/** @file Commands of several words, as `data show`: how they are found; help, completion and docs know groups. */

import { spawnSync } from 'node:child_process'
import { afterEach, expect, it, vi } from 'vitest'
import type { AnyCommand, CommandList, Given, Program } from '../../src/cli/command.js'
import { COMMANDS, GROUPS } from '../../src/cli/commands.js'
import { completionScript } from '../../src/cli/completion-scripts.js'
import { groupsOf } from '../../src/cli/find-command.js'
import { command as help } from '../../src/cli/help.js'
import { argumentHelp, commandUsage, flagGroups, sentence, summaries, summariesOf } from '../../src/cli/help-text.js'
import { runProgram } from '../../src/cli/run-program.js'
import { flagHelp, usageOf } from '../../src/options/flags.js'
import { boolean, oneOf } from '../../src/options/rules.js'

const { commandPage } = (await import(new URL('../../scripts/command-page.mjs', import.meta.url).href)) as {
  commandPage: (parts: object) => Promise<string>
}

const ran: unknown[] = []

function made(name: string, details: Partial<AnyCommand> = {}): AnyCommand {
  return {
    summary: `${name} something`,
    flags: { loud: { rule: boolean, help: 'say more', flag: { name: '--loud' } } },
    examples: [{ text: 'Do it', line: name }],
    ...details,
    check: ({ flags, words }: Given<object>) => ({ flags, words }),
    run: (checked) => {
      ran.push([name, checked])
    },
  }
}

const FILE = [{ name: 'file', help: 'the rows' }]
const LIST: Record<string, AnyCommand> = {
  train: made('train'),
  'data show': made('data show', { arguments: FILE }),
  generate: made('generate'),
  'data generate': made('data generate', {
    flags: { to: { rule: oneOf(['csv', 'parquet']), help: 'what', flag: { name: '--to', argument: 'format' } } },
  }),
  'hub pull': made('hub pull'),
  'hub cache list': made('hub cache list'),
  'hub cache clear': made('hub cache clear', { arguments: FILE }),
}
const commands: CommandList = new Map([
  ...Object.entries(LIST).map(([name, command]) => [name, async () => ({ command })] as const),
  ['help', async () => ({ command: help as unknown as AnyCommand })],
])
const groups = new Map([
  ['data', 'look at data sets'],
  ['hub', 'fetch models'],
  ['hub cache', 'look at what was fetched'],
])
const program: Program = { version: '0', commands, groups }

afterEach(() => {
  vi.restoreAllMocks()
  ran.length = 0
})

/** What is written, and the message of the error. */
async function typed(...words: string[]): Promise<{ stdout: string; stderr: string; message?: string }> {
  const written = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += text
      return true
    })
  const message = await runProgram(program, words, async () => {}).then(
    () => undefined,
    (error: Error) => error.message,
  )
  vi.restoreAllMocks()
  return { ...written, ...(message !== undefined && { message }) }
}

it('every group of the list has its line of summary', () => {
  for (const group of groupsOf({ commands: COMMANDS })) expect(GROUPS.get(group), group).toMatch(/^[a-z].*[^.]$/)
  expect([...GROUPS.keys()].filter((group) => !groupsOf({ commands: COMMANDS }).includes(group))).toEqual([])
})

it('two words name a command of a group, beside a command whose name is its second word', async () => {
  expect(await typed('data', 'show', '--loud', 'rows.jsonl')).toEqual({ stdout: '', stderr: '' })
  await typed('data', 'generate', '--to', 'csv')
  await typed('generate')
  expect(ran).toEqual([
    ['data show', { flags: { loud: true }, words: ['rows.jsonl'] }],
    ['data generate', { flags: { to: 'csv' }, words: [] }],
    ['generate', { flags: {}, words: [] }],
  ])
})

it('a group may stand within a group, and is shown, misspelled and asked for help as one', async () => {
  await typed('hub', 'cache', 'clear', 'x')
  expect(ran).toEqual([['hub cache clear', { flags: {}, words: ['x'] }]])
  expect((await typed('hub', 'cahce', 'list')).message).toBe('[hub] unknown command "cahce"; did you mean hub cache?')
  expect((await typed('hub', 'cache', 'lst')).message).toBe(
    '[hub cache] unknown command "lst"; did you mean hub cache list?',
  )
  const { stdout } = await typed('help', 'hub')
  expect(stdout).toContain('  hub pull           hub pull something\n  hub cache COMMAND  look at what was fetched\n')
  const page = await typed('hub', 'cache', '--help')
  expect(page.stdout).toContain('Usage: lowrank hub cache COMMAND [flags]\n\nLook at what was fetched.\n')
  expect(await typed('help', 'hub', 'cache')).toEqual(page)
  expect((await typed('help', 'hub', 'cache', 'clear')).stdout).toContain('Usage: lowrank hub cache clear [FILE]')
  expect((await typed('help', 'hub', 'cache', 'clear', 'x')).message).toMatch(/hub cache clear has none within it/)
})

it('mistakes in a nested command are told with its full name', async () => {
  expect((await typed('data', 'show', '--lout')).message).toBe(
    '[data show] unknown flag "--lout"; did you mean --loud?',
  )
  expect((await typed('data', 'generate', 'a')).message).toContain(
    '[data generate] expected flags alone, got "a"; put quotes',
  )
})

it('a misspelled word is compared with the names that could stand there', async () => {
  for (const [words, message] of [
    [['data', 'shwo'], '[data] unknown command "shwo"; did you mean data show?'],
    [['data', 'xyzzy'], '[data] unknown command "xyzzy"; there are data show, data generate'],
    [['dta', 'show'], '[lowrank] unknown command "dta"; did you mean data?'],
    [['show', 'rows.jsonl'], '[lowrank] unknown command "show"; did you mean data show?'],
    [['generat'], '[lowrank] unknown command "generat"; did you mean generate?'],
    [['xyzzy'], '[lowrank] unknown command "xyzzy"; there are train, data, generate, hub, help'],
    [['help', 'data', 'shwo'], '[help] unknown command "shwo"; did you mean data show?'],
    [['help', 'dta'], '[help] unknown command "dta"; did you mean data?'],
    [['help', 'train', 'show'], '[help] expected a command, got "train show"; train has none within it'],
    [['data', '--jsno'], '[data] expected the name of a command, got "--jsno"'],
  ] as const)
    expect((await typed(...words)).message).toBe(message)
})

const GROUP_PAGE = `Usage: lowrank data COMMAND [flags]

Look at data sets.

Commands
  data show      data show something
  data generate  data generate something

lowrank help data COMMAND shows the flags of a command, with examples.
`

it('a group shows its commands where it is asked, and beside the error where it stands alone', async () => {
  for (const words of [
    ['data', '--help'],
    ['data', '-h'],
    ['help', 'data'],
  ])
    expect(await typed(...words)).toEqual({ stdout: GROUP_PAGE, stderr: '' })
  expect(await typed('data')).toEqual({
    stdout: '',
    stderr: GROUP_PAGE,
    message: '[data] expected the name of a command, got nothing',
  })
})

it('help of the program has one line for a group, where its first command stands', async () => {
  const { stdout } = await typed('--help')
  expect(stdout).toContain(
    'Commands\n  train         train something\n  data COMMAND  look at data sets\n  generate      generate something\n  hub COMMAND   fetch models\n  help ',
  )
})

it('help of a nested command is the same page by both ways', async () => {
  const { stdout } = await typed('help', 'data', 'show')
  expect(stdout).toContain('Usage: lowrank data show [FILE] [flags]')
  expect(await typed('data', 'show', '--help')).toEqual({ stdout, stderr: '' })
})

it('the page of commands has a section for a group, with its commands below it', async () => {
  const words = { argumentHelp, commandUsage, flagGroups, sentence, summaries, summariesOf, flagHelp, usageOf }
  const page = await commandPage({ ...words, COMMANDS: commands, GROUPS: groups })
  expect(page).toContain('| `data COMMAND` | look at data sets |\n| `generate` | generate something |')
  expect(page).toContain(
    '## lowrank data\n\nLook at data sets.\n\n| Command | |\n| --- | --- |\n| `data show` | data show something |',
  )
  expect([...page.matchAll(/^##+ .*/gm)].map(([heading]) => heading)).toEqual([
    '## lowrank train',
    '## lowrank data',
    '### lowrank data show',
    '### lowrank data generate',
    '## lowrank generate',
    '## lowrank hub',
    '### lowrank hub pull',
    '### lowrank hub cache',
    '### lowrank hub cache list',
    '### lowrank hub cache clear',
    '## lowrank help',
  ])
})

/** Words, the last of which is being typed, and what is offered for it. */
const OFFERED: readonly (readonly [words: readonly string[], offered: readonly string[]])[] = [
  [['d'], ['data']],
  [
    ['data', ''],
    ['show', 'generate'],
  ],
  [['data', 'sh'], ['show']],
  [
    ['data', 'show', '--'],
    ['--loud', '--verbose', '--help'],
  ],
  [['data', 'show', 'package-l'], ['package-lock.json']],
  [
    ['data', 'generate', '--to', ''],
    ['csv', 'parquet'],
  ],
  [['generate', '--to'], []],
  [['generate', '--l'], ['--loud']],
  [['help', 'da'], ['data']],
  [
    ['help', 'data', ''],
    ['show', 'generate'],
  ],
  [
    ['help', 'hub', ''],
    ['pull', 'cache'],
  ],
  [['help', 'hub', 'cache', 'c'], ['clear']],
  [['hub', 'c'], ['cache']],
  [
    ['hub', 'cache', ''],
    ['list', 'clear'],
  ],
  [
    ['hub', 'cache', 'list', '--'],
    ['--loud', '--verbose', '--help'],
  ],
  [['hub', 'cache', 'clear', 'package-l'], ['package-lock.json']],
]

it('bash completes groups, their commands, and the flags of these', async () => {
  const script = await completionScript('bash', program)
  for (const [words, offered] of OFFERED) {
    const line = words.map((word) => `'${word}'`).join(' ')
    const ask = `COMP_WORDS=(lowrank ${line}); COMP_CWORD=${words.length}; _lowrank; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', `${script}\n${ask}`], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(stdout.split('\n').filter(Boolean), words.join(' ')).toEqual(offered)
  }
})

it('the scripts for zsh and fish tell a nested command from one that has its last word for a name', async () => {
  const zsh = await completionScript('zsh', program)
  expect(zsh).toContain("    data) commands=('show:data show something' 'generate:data generate something') ;;")
  expect(zsh).toMatch(/^ {4}'data generate'\)\n {6}_arguments \\\n {8}'--to=\[what\]:format:\(csv parquet\)'/m)
  expect(zsh).toMatch(/^ {4}'generate'\)\n {6}_arguments \\\n {8}'--loud\[say more\]'/m)
  const fish = await completionScript('fish', program)
  for (const line of [
    "complete -c lowrank -n __fish_use_subcommand -a data -d 'look at data sets'",
    "complete -c lowrank -n '__lowrank_behind data' -a show -d 'data show something'",
    "complete -c lowrank -n '__lowrank_in data generate' -l to -xa 'csv parquet' -d 'what'",
    "complete -c lowrank -n '__lowrank_in generate' -l loud -d 'say more'",
    "complete -c lowrank -n '__lowrank_behind help data' -a 'show generate'",
    "complete -c lowrank -n '__lowrank_behind hub' -a cache -d 'look at what was fetched'",
    "complete -c lowrank -n '__lowrank_behind hub cache' -a list -d 'hub cache list something'",
    "complete -c lowrank -n '__lowrank_in hub cache list' -l loud -d 'say more'",
  ])
    expect(fish.split('\n')).toContain(line)
})

it('the help of every command has each heading once', async () => {
  for (const [name, load] of COMMANDS) {
    const headings = flagGroups((await load()).command).map(({ heading }) => heading)
    expect(headings, name).toEqual([...new Set(headings)])
  }
})
