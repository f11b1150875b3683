// @ts-check
/**
 * @file Writes docs/command-line.md from the commands of the built command line; run it after a build. A test fails where the page is not what
 * this makes.
 */

import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * What the page is made of: the list of commands, and what help says of them.
 * @typedef {{ COMMANDS: ReadonlyMap<string, () => Promise<{ command: any }>>, GROUPS: ReadonlyMap<string, string> }} Commands
 * @typedef {{ summaries(program: any): Promise<(readonly [string, string])[]>, summariesOf(group: string, program: any): Promise<(readonly [string, string])[]>, flagGroups(command: any): any[], commandUsage(name: string, command: any): string, argumentHelp(argument: any): string, sentence(text: string): string }} Help
 * @typedef {{ usageOf(flag: any): string, flagHelp(flag: any): string }} Flags
 */

const HEAD = `# Command line

<!-- Written by scripts/command-page.mjs from the commands, as their --help. Change the commands. -->

\`lowrank COMMAND [flags]\` trains models, talks with them and says what a machine can do. \`lowrank help COMMAND\` shows what stands here on a
terminal. A value follows its flag, as in \`--rank 8\` or \`--rank=8\`. If a flag comes twice, its last value
counts, so a script can add to a command line; flags that collect their values say that they may be repeated. Everything that is wrong with a
command line is told at once.

Exit codes: 0 done, 1 failed, 2 wrong usage. With \`--json\` an error is also a line of JSON on standard output, with \`code\`, \`message\` and \`exitCode\`.
`

/** @param {string} text in a cell of a table */
const cell = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

/** @param {readonly (readonly [string, string])[]} rows of names and what they are */
const table = (heading, rows) =>
  [`| ${heading} | |`, '| --- | --- |', ...rows.map(([name, what]) => `| \`${name}\` | ${cell(what)} |`)].join('\n')

/**
 * The section of one command.
 * @param {'##' | '###'} level
 * @param {string} name
 * @param {any} command
 * @param {Help & Flags} parts
 */
function section(level, name, command, { flagGroups, commandUsage, argumentHelp, sentence, usageOf, flagHelp }) {
  const { summary, details, arguments: words = [], examples } = command
  const parts = [
    `${level} lowrank ${name}`,
    `${sentence(summary)}${details === undefined ? '' : ` ${details}`}`,
    `\`${commandUsage(name, command)}\``,
  ]
  if (words.length > 0)
    parts.push(
      table(
        'Arguments',
        words.map((/** @type {any} */ word) => /** @type {const} */ ([word.name.toUpperCase(), argumentHelp(word)])),
      ),
    )
  for (const { heading, flags } of flagGroups(command).slice(0, -1))
    parts.push(
      table(
        heading,
        flags.map((/** @type {any} */ flag) => /** @type {const} */ ([usageOf(flag), flagHelp(flag)])),
      ),
    )
  const lines = examples.map((/** @type {any} */ { text, line }) => `# ${text}\nlowrank ${line}`)
  return [...parts, `\`\`\`sh network\n${lines.join('\n')}\n\`\`\``].join('\n\n')
}

/**
 * The text of docs/command-line.md.
 * @param {Commands & Help & Flags} parts
 */
export async function commandPage(parts) {
  const { COMMANDS: commands, GROUPS: groups, summaries, summariesOf, flagGroups, sentence, usageOf, flagHelp } = parts
  const program = { commands, groups }
  const rows = await summaries(program)
  /** @type {(shown: string) => Promise<string>} */
  const part = async (shown) => {
    const name = shown.replace(/ COMMAND$/, '')
    const load = commands.get(name)
    const level = name.includes(' ') ? '###' : '##'
    if (load) return section(level, name, (await load()).command, parts)
    const nested = await summariesOf(name, program)
    const head = [`${level} lowrank ${name}`, sentence(groups.get(name) ?? ''), table('Command', nested)]
    return [...head, ...(await Promise.all(nested.map(([row]) => part(row))))].join('\n\n')
  }
  const sections = await Promise.all(rows.map(([shown]) => part(shown)))
  const common = flagGroups({ flags: {} })[0]
  const every = table(
    'Every command',
    common.flags.map((/** @type {any} */ flag) => /** @type {const} */ ([usageOf(flag), flagHelp(flag)])),
  )
  return `${[HEAD, table('Command', rows), every, ...sections].join('\n\n').replace(/\n{3,}/g, '\n\n')}\n`
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const built = (/** @type {string} */ file) => import(new URL(`../dist/${file}.js`, import.meta.url).href)
  const parts = await Promise.all(['cli/commands', 'cli/help-text', 'options/flags'].map(built))
  const page = fileURLToPath(new URL('../docs/command-line.md', import.meta.url))
  writeFileSync(page, await commandPage(Object.assign({}, ...parts)))
}
