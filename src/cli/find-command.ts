/** @file From words to the command, or the group of commands, that they name. Knows no command. */

import { describeValue, listNames, nearestName } from '../errors.js'
import type { AnyCommand, Program } from './command.js'
import { UsageError } from './usage-error.js'

/** What words begin with. */
export type Found =
  | { readonly command: AnyCommand; readonly name: string; readonly rest: readonly string[] }
  | { readonly command?: undefined; readonly name: string; readonly rest: readonly string[] }

/** The names that may stand first, in order: of commands, and of groups where their first command stands. */
export function firstWords({ commands }: Pick<Program, 'commands'>): string[] {
  return [...new Set([...commands.keys()].map((name) => name.split(' ', 1)[0] as string))]
}

/** Full names of the commands of a group; none where a command has that name, or nothing. */
export function commandsOf(group: string, { commands }: Pick<Program, 'commands'>): string[] {
  return [...commands.keys()].filter((name) => name.startsWith(`${group} `))
}

/**
 * @param where names the asker in errors
 * @returns a command, or a group with no `command`, and the words behind its name
 * @throws UsageError naming the nearest command
 */
export async function findCommand(
  where: string,
  [first = '', second, ...rest]: readonly string[],
  program: Program,
): Promise<Found> {
  const { commands } = program
  const behind = second === undefined ? [] : [second, ...rest]
  const load = commands.get(first)
  if (load) return { command: (await load()).command, name: first, rest: behind }
  const within = commandsOf(first, program)
  if (within.length === 0) throw unknownCommand(where, first, firstWords(program), program)
  if (second === undefined || second.startsWith('-')) return { name: first, rest: behind }
  const name = `${first} ${second}`
  const loadNested = commands.get(name)
  if (loadNested === undefined) throw unknownCommand(where === 'lowrank' ? first : where, second, within, program)
  return { command: (await loadNested()).command, name, rest }
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
