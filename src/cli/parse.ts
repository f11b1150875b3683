/**
 * @file The words of a command line as values of its flags. Everything that is wrong is collected, where parsers of
 * libraries end at the first mistake. Knows no command.
 */

import { describeValue, isSecretName, nearestName } from '../errors.js'
import { OptionError, type OptionProblem } from '../lowrank-error.js'
import { flagsOf, flagValue, type TableFlag, usageOf } from '../options/flags.js'
import { boolean, check } from '../options/rules.js'
import { defaultsOf } from '../options/table.js'
import type { CommandDescription, FlagTable, Given } from './command.js'
import type { FlagValue } from './config.js'

/** What every command takes. */
export const COMMON_FLAGS = {
  verbose: {
    rule: boolean,
    help: 'show where an error comes from; the same as DEBUG=1',
    flag: { name: '--verbose', group: 'Every command' },
  },
  help: { rule: boolean, help: 'show this page; the same as -h', flag: { name: '--help' } },
} as const satisfies FlagTable

export interface Parsed extends Given<Readonly<Record<string, unknown>>> {
  readonly problems: readonly OptionProblem[]
  /** Whether it is known what every word was meant to be, so that it can also be told what is missing. */
  readonly isUnderstood: boolean
  readonly wantsHelp: boolean
}

/** Reads the words behind the name of a command. */
export function parseWords(command: string, description: CommandDescription, words: readonly string[]): Parsed {
  return new Parser(command, description, words).parse()
}

class Parser {
  readonly #command: string
  readonly #description: CommandDescription
  readonly #settings: readonly TableFlag[]
  /** All flags, settings first. */
  readonly #flags: readonly TableFlag[]
  /** Words that are not read yet. */
  readonly #rest: string[]
  readonly #words: string[] = []
  readonly #given = new Map<TableFlag, unknown>()
  readonly #problems: OptionProblem[] = []
  #isUnderstood = true

  constructor(command: string, description: CommandDescription, words: readonly string[]) {
    this.#command = command
    this.#description = description
    this.#settings = flagsOf(description.settings ?? {})
    this.#flags = [...this.#settings, ...flagsOf(description.flags), ...flagsOf(COMMON_FLAGS)]
    this.#rest = [...words]
  }

  parse(): Parsed {
    for (let word = this.#rest.shift(); word !== undefined; word = this.#rest.shift()) {
      if (word === '--') this.#words.push(...this.#rest.splice(0))
      else if (word.startsWith('-') && word !== '-') this.#readFlag(word)
      else this.#words.push(word)
    }
    this.#expectFewWords()
    const { flags: table, arguments: expected = [] } = this.#description
    const flags: Record<string, unknown> = Object.fromEntries(
      Object.entries(defaultsOf(table)).filter(([, value]) => value !== undefined),
    )
    const settings: FlagValue[] = []
    for (const [flag, value] of this.#given) {
      const { name, path } = flag
      if (this.#settings.includes(flag)) settings.push({ flag: name, path, value })
      else {
        this.#check(flag, value)
        // What every command takes is dealt with for all of them; some hand the rest on as options.
        if (!(flag.path.join('.') in COMMON_FLAGS)) flags[path.join('.')] = value
      }
    }
    return {
      flags,
      settings,
      words: [...this.#words, ...expected.slice(this.#words.length).flatMap((argument) => argument.default ?? [])],
      problems: this.#problems,
      isUnderstood: this.#isUnderstood,
      wantsHelp: this.#find('--help', this.#given.keys()) !== undefined,
    }
  }

  #readFlag(word: string): void {
    const [, typed = '', inline] = /^([^=]*)(?:=(.*))?$/s.exec(word) ?? []
    const flag = this.#find(typed === '-h' ? '--help' : typed) ?? this.#guess(typed)
    if (flag) this.#readValue(flag, inline)
    else {
      this.#isUnderstood = false
      // It may be the value of a flag that nobody knows.
      if (inline === undefined && this.#rest[0]?.startsWith('-') === false) this.#rest.shift()
    }
  }

  #find(name: string | undefined, flags: Iterable<TableFlag> = this.#flags): TableFlag | undefined {
    return [...flags].find((flag) => flag.name === name)
  }

  /** What a flag that does not exist was meant to be: its value is checked too. */
  #guess(typed: string): TableFlag | undefined {
    const word = typed.replace(/^-+/, '')
    const unknown = `unknown flag ${describeValue(typed)}`
    if (isSecretName(word)) {
      this.#refuse(
        `${unknown}; others can read the command line: set HF_TOKEN, or HF_TOKEN_PATH to a file with the token`,
      )
      return undefined
    }
    const instead = this.#description.instead?.(word)
    if (instead !== undefined) {
      this.#refuse(`${unknown}; write ${instead}`)
      return this.#find(instead.split(' ')[0])
    }
    const nearest = nearestName(
      word,
      this.#flags.map(({ name }) => name.slice(2)),
    )
    this.#refuse(nearest === undefined ? unknown : `${unknown}; did you mean --${nearest}?`)
    // Whoever misspells --help is told so, and has nothing else checked.
    return nearest === 'help' ? undefined : this.#find(`--${nearest}`)
  }

  /** Reads what a flag takes, from behind its = or from the next word. */
  #readValue(flag: TableFlag, inline: string | undefined): void {
    const { name, argument, path, isRepeatable } = flag
    if (argument === undefined) {
      this.#given.set(flag, true)
      if (inline === undefined) return
      const isOff = this.#settings.includes(flag) && !/^(?:true|yes|on|1)$/i.test(inline)
      const remedy = isOff ? `write --set ${path.join('.')}=false` : 'leave it out'
      this.#refuse(`expected ${name} without a value, got ${describeValue(inline)}; ${remedy}`)
      return
    }
    const next = this.#find(this.#rest[0])
    const text = inline ?? (next ? undefined : this.#rest.shift())
    if (text === undefined) {
      this.#isUnderstood = false
      const got = next
        ? `the flag ${next.name}; write ${name}=${next.name} where that is meant`
        : `nothing; write ${usageOf(flag)}`
      this.#refuse(`expected a value for ${name}, got ${got}`)
      return
    }
    const earlier = (this.#given.get(flag) ?? []) as readonly string[]
    this.#given.set(flag, isRepeatable ? [...earlier, text] : flagValue(flag, text))
  }

  #check({ name, entry }: TableFlag, value: unknown): void {
    try {
      check(this.#command, name, value, entry.rule)
    } catch (error) {
      if (!(error instanceof OptionError)) throw error
      this.#problems.push(...error.problems)
    }
  }

  /** Refuses words that belong to no flag, as of a path with blanks or a flag that was left out. */
  #expectFewWords(): void {
    const { arguments: expected = [] } = this.#description
    if (this.#words.length <= expected.length || expected.at(-1)?.isRepeatable) return
    this.#isUnderstood = false
    const names = expected.map(({ name }) => name.toUpperCase())
    const wanted = names.length === 0 ? 'flags alone' : `${new Intl.ListFormat('en').format([...names, 'flags'])} alone`
    this.#refuse(
      `expected ${wanted}, got ${this.#words.map((word) => describeValue(word)).join(', ')}; put quotes around a value with ` +
        `blanks or * in it, and its flag before each value: lowrank ${this.#command} --help lists them`,
    )
  }

  #refuse(what: string): void {
    this.#problems.push({ message: `[${this.#command}] ${what}`, options: [] })
  }
}
