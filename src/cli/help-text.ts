/** @file The help of the program and of a command, as lines for a terminal. Knows no command. */

import { flagHelp, flagsOf, type TableFlag, usageOf } from '../options/flags.js'
import { type Output, type Paint, paintFor } from '../progress/terminal.js'
import { breakLine } from '../progress/text-width.js'
import type { Argument, CommandDescription, Program } from './command.js'
import { commandsOf, firstWords } from './find-command.js'
import { COMMON_FLAGS } from './parse.js'

/** How a page is laid out. */
export interface Page {
  /** Columns of the longest line; examples are not broken, so that they can be copied. */
  readonly columns: number
  readonly paint: Paint
}

const WIDEST = 80
/** Below this, what a flag does stands under it. */
const LEAST_FOR_TWO_COLUMNS = 60
const LEFT_COLUMN = 27

/** How help is laid out on a stream: as wide as the terminal, and at most 80 columns. */
export function pageFor(stream: Output): Page {
  return { columns: Math.min(stream.columns ?? WIDEST, WIDEST), paint: paintFor(stream) }
}

/** Flags under the heading that they share. */
interface FlagGroup {
  readonly heading: string
  readonly flags: readonly TableFlag[]
}

/** The flags of a command and those of every command, in order. */
export function flagGroups({ settings = {}, flags }: CommandDescription): FlagGroup[] {
  const groups: { heading: string; flags: TableFlag[] }[] = []
  for (const flag of [settings, flags, COMMON_FLAGS].flatMap((table) => flagsOf(table))) {
    const { group } = flag
    const isNew = group !== undefined && group !== groups.at(-1)?.heading
    if (groups.length === 0 || isNew) groups.push({ heading: group ?? 'Flags', flags: [] })
    groups.at(-1)?.flags.push(flag)
  }
  return groups
}

export function argumentHelp({ help, default: value, otherwise = value }: Argument): string {
  return otherwise === undefined ? help : `${help} (default: ${otherwise})`
}

/** `lowrank train [CONFIG] [flags]` */
export function commandUsage(name: string, { arguments: words = [] }: CommandDescription): string {
  const shown = words.map(({ name: word, isRepeatable }) => `[${word.toUpperCase()}${isRepeatable ? '...' : ''}]`)
  return ['lowrank', name, ...shown, '[flags]'].join(' ')
}

/** `Continue a text.` of `continue a text`. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`
}

export function commandHelp(name: string, command: CommandDescription, page: Page): string {
  const { summary, details, arguments: words = [], examples } = command
  const { columns, paint } = page
  const lines = [
    ...breakLine(`${paint('bold', 'Usage')}: ${commandUsage(name, command)}`, columns, '  '),
    '',
    ...breakLine(sentence(summary), columns, ''),
    ...(details === undefined ? [] : breakLine(details, columns, '')),
  ]
  const section = (heading: string, body: readonly string[]): void => {
    lines.push('', paint('bold', heading), ...body)
  }
  const sections: [string, Row[]][] = flagGroups(command).map(({ heading, flags }) => [
    heading,
    flags.map((flag): Row => [usageOf(flag), flagHelp(flag)]),
  ])
  if (words.length > 0)
    sections.unshift(['Arguments', words.map((word): Row => [word.name.toUpperCase(), argumentHelp(word)])])
  const width = leftWidth(sections.flatMap(([, rows]) => rows))
  for (const [heading, rows] of sections) section(heading, inColumns(rows, width, page))
  section(
    'Examples',
    examples.flatMap(({ text, line }) => [
      ...breakLine(`  ${text}:`, columns, '  '),
      `    ${paint('cyan', `lowrank ${line}`)}`,
    ]),
  )
  return `${lines.join('\n')}\n`
}

const EXIT_CODES =
  'Exit codes: 0 done, 1 failed, 2 wrong usage. With --json an error is also a line of JSON on stdout: ' +
  '{"type":"error","code":"...","message":"...","exitCode":1}, with file, row, needed, budget, step or checkpoint where the ' +
  'error has them.'

/** What the first word of a command line may be: a command, or a group in a line of its own. */
export async function summaries(program: Pick<Program, 'commands' | 'groups'>): Promise<Row[]> {
  return await rowsOf(firstWords(program), program)
}

/** The commands and groups within a group by their full names. */
export async function summariesOf(group: string, program: Pick<Program, 'commands' | 'groups'>): Promise<Row[]> {
  return await rowsOf(commandsOf(group, program), program)
}

async function rowsOf(
  names: readonly string[],
  { commands, groups }: Pick<Program, 'commands' | 'groups'>,
): Promise<Row[]> {
  return await Promise.all(
    names.map(async (name): Promise<Row> => {
      const load = commands.get(name)
      return load ? [name, (await load()).command.summary] : [`${name} COMMAND`, groups.get(name) ?? '']
    }),
  )
}

export async function groupHelp(group: string, program: Program, page: Page): Promise<string> {
  const { columns, paint } = page
  const rows = await summariesOf(group, program)
  const lines = [
    `${paint('bold', 'Usage')}: lowrank ${group} COMMAND [flags]`,
    '',
    ...breakLine(sentence(program.groups.get(group) ?? ''), columns, ''),
    '',
    paint('bold', 'Commands'),
    ...inColumns(rows, leftWidth(rows), page),
    '',
    ...breakLine(`lowrank help ${group} COMMAND shows the flags of a command, with examples.`, columns, ''),
  ]
  return `${lines.join('\n')}\n`
}

export async function programHelp(program: Program, page: Page): Promise<string> {
  const { columns, paint } = page
  const rows = await summaries(program)
  const lines = [
    `${paint('bold', 'Usage')}: lowrank COMMAND [flags]`,
    '',
    ...breakLine(`lowrank ${program.version} fine-tunes language models with LoRA.`, columns, ''),
    '',
    paint('bold', 'Commands'),
    ...inColumns(rows, leftWidth(rows), page),
    '',
    ...breakLine(
      'lowrank help COMMAND shows the flags of a command, with examples, and lowrank --version the version.',
      columns,
      '',
    ),
    ...breakLine(EXIT_CODES, columns, ''),
  ]
  return `${lines.join('\n')}\n`
}

/** A name, and what it is. */
type Row = readonly [left: string, right: string]

function leftWidth(rows: readonly Row[]): number {
  return Math.min(Math.max(...rows.map(([left]) => left.length)), LEFT_COLUMN)
}

function inColumns(rows: readonly Row[], width: number, { columns, paint }: Page): string[] {
  const isNarrow = columns < LEAST_FOR_TWO_COLUMNS
  return rows.flatMap(([left, right]) => {
    const name = `  ${paint('cyan', left)}`
    if (isNarrow) return [name, ...breakLine(`      ${right}`, columns, '      ')]
    const [first = '', ...more] = breakLine(right, columns - width - 4, '')
    const indented = more.map((line) => ' '.repeat(width + 4) + line)
    if (left.length > width) return [name, ' '.repeat(width + 4) + first, ...indented]
    return [name + ' '.repeat(width - left.length + 2) + first, ...indented]
  })
}
