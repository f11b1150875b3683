/**
 * @file What a command of the command line is: one file that exports it, and one line in commands.ts. Knows no command.
 */

import type { OptionEntry, OptionFlag, OptionTable } from '../options/table.js'
import type { FlagValue } from './config.js'

/** Options that a command takes as flags, by name, in the order of its help. */
export type FlagTable<Flags = Readonly<Record<string, unknown>>> = {
  readonly [Name in keyof Required<Flags>]: OptionEntry<Flags[Name]> & { readonly flag: OptionFlag }
}

/** The flags of a command that takes none. */
export type NoFlags = Readonly<Record<never, never>>

/** A word that is no flag. None is required: a command that needs one says so itself. */
export interface Argument {
  readonly name: string
  readonly help: string
  /** What takes its place. */
  readonly default?: string
  /** What happens without it where `default` cannot say it. */
  readonly otherwise?: string
  /** Words that a shell offers: `subcommands` are those of the group before it; absent: files. */
  readonly choices?: readonly string[] | 'commands' | 'subcommands'
  /** Whether any number of words may stand here, as a shell makes of a glob. Only of the last argument. */
  readonly isRepeatable?: true
}

/** A command line that works once its names fit. */
export interface Example {
  readonly text: string
  /** What is typed, without `lowrank`. */
  readonly line: string
}

/** What help, completion and documentation show of a command. */
export interface CommandDescription {
  /** One line that begins with a verb. */
  readonly summary: string
  /** What else is worth knowing before the flags. */
  readonly details?: string
  readonly arguments?: readonly Argument[]
  readonly flags: FlagTable
  /** Options whose flags go over a configuration file. They are checked with it, not one by one. */
  readonly settings?: OptionTable
  readonly examples: readonly [Example, ...Example[]]
  /** What to write in place of a flag that does not exist; undefined: nothing is known. */
  readonly instead?: (flag: string) => string | undefined
}

/** What was typed. */
export interface Given<Flags> {
  /** Flags that were given or have a default. Each is what its rule accepts. */
  readonly flags: Flags
  /** Arguments, with the defaults of those that were not given. */
  readonly words: readonly string[]
  readonly settings: readonly FlagValue[]
}

/** @template Flags the values of its flags, @template Checked what `run` works with */
export interface Command<Flags extends object, Checked = Flags> extends CommandDescription {
  readonly flags: FlagTable<Flags>
  /**
   * Finds what is wrong before anything begins, so that it is told at once.
   * @throws UsageError
   */
  check(given: Given<Flags>, program: Program): Checked | Promise<Checked>
  run(checked: Checked, program: Program): void | Promise<void>
}

/** A command whatever its flags are. */
export interface AnyCommand extends CommandDescription {
  check(given: Given<never>, program: Program): unknown
  run(checked: never, program: Program): void | Promise<void>
}

/** The commands by name, each loaded when it is needed. `data show` is the command `show` of the group `data`. */
export type CommandList = ReadonlyMap<string, () => Promise<{ readonly command: AnyCommand }>>

/** What a command is part of. */
export interface Program {
  readonly version: string
  readonly commands: CommandList
  /** What the commands of a group do together, by its name: one line that begins with a verb. */
  readonly groups: ReadonlyMap<string, string>
}
