/** @file From words to the command, or the group of commands, that they name. Knows no command. */

import { describeValue, listNames, nearestName } from '../errors.js'
import type { AnyCommand, Program } from './command.js'
import { UsageError } from './usage-error.js'

/** What words begin with. */
export type Found =
  | { readonly command: AnyCommand; readonly name: string; readonly rest: readonly string[] }
  | { readonly command?: undefined; readonly name: string; readonly rest: readonly string[] }

/** The words that may stand behind a group, or first: commands, and groups where their first command stands. */
export function nextWords(group: string, { commands }: Pick<Program, 'commands'>): string[] {
  const before = group === '' ? '' : `${group} `
  const within = [...commands.keys()].filter((name) => name.startsWith(before))
  return [...new Set(within.map((name) => name.slice(before.length).split(' ', 1)[0] as string))]
}

/** The names that may stand first. */
export function firstWords(program: Pick<Program, 'commands'>): string[] {
  return nextWords('', program)
}

/** The groups, outer ones first: `databricks`, `databricks clusters`. */
export function groupsOf({ commands }: Pick<Program, 'commands'>): string[] {
  const groups = [...commands.keys()].flatMap((name) => {
    const words = name.split(' ').slice(0, -1)
    return words.map((_, index) => words.slice(0, index + 1).join(' '))
  })
  return [...new Set(groups)].filter((group) => !commands.has(group))
}

/** Full names of the commands and groups right within a group; none where a command has that name, or nothing. */
export function commandsOf(group: string, program: Pick<Program, 'commands'>): string[] {
  return nextWords(group, program).map((word) => `${group} ${word}`)
}

/**
 * @param where names the asker in errors
 * @returns a command, or a group with no `command`, and the words behind its name
 * @throws UsageError naming the nearest command
 */
export async function findCommand(where: string, words: readonly string[], program: Program): Promise<Found> {
  const { commands } = program
  let name = ''
  for (const [index, word] of words.entries()) {
    const within = name === '' ? firstWords(program) : commandsOf(name, program)
    if (name !== '' && word.startsWith('-')) return { name, rest: words.slice(index) }
    const longer = name === '' ? word : `${name} ${word}`
    const load = commands.get(longer)
    if (load) return { command: (await load()).command, name: longer, rest: words.slice(index + 1) }
    if (!within.includes(longer))
      throw unknownCommand(where === 'lowrank' ? name || where : where, word, within, program)
    name = longer
  }
  return { name, rest: [] }
}

/** @param valid the names that could stand there */
function unknownCommand(where: string, word: string, valid: readonly string[], { commands }: Program): UsageError {
  const typed = word.replace(/^-+/, '')
  // `shwo` within data is `data show`, and so is `show` before anybody says data.
  const byLastWord = new Map([...valid, ...commands.keys()].reverse().map((name) => [lastWord(name), name]))
  const nearest = nearestName(typed, valid.map(lastWord)) ?? (byLastWord.has(typed) ? typed : undefined)
  const remedy =
    nearest === undefined
      ? `there are ${listNames(valid, valid.length)}`
      : `did you mean ${byLastWord.get(nearest) ?? nearest}?`
  return new UsageError(`[${where}] unknown command ${describeValue(word)}; ${remedy}`)
}

function lastWord(name: string): string {
  return name.split(' ').at(-1) as string
}
