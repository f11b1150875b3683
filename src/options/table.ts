/**
 * @file A table of options: for each the rule of its values, its default and a line of help. Everything that must know
 * the options of a function reads its table: checks, defaults, `--help`, configuration files, JSON Schema,
 * documentation, and what resuming compares.
 */

import { expectObject, unknownOption } from '../errors.js'
import { check, type JsonSchema, type Rule, wrongOption } from './rules.js'

/** The flag of the command line that sets an option. */
export interface OptionFlag {
  /** As it is typed: `--rank`. */
  readonly name: `--${string}`
  /** What it takes, as help shows it in capitals. Absent: nothing, the flag means true. */
  readonly argument?: string
  /** Help in place of the option's own, where that does not fit the flag. */
  readonly help?: string
  /** What the flags from this one on are about, where help shows them. */
  readonly group?: string
  /** Whether it may be given several times: the option is a list of texts. */
  readonly isRepeatable?: true
  /** Values that a shell offers, where the rule does not list them. */
  readonly choices?: readonly string[]
}

/** One option. */
export interface OptionEntry<Value = unknown> {
  readonly rule: Rule
  /** The value where none is given. Absent: there is none, and `otherwise` says what happens then. */
  readonly default?: Value
  /** What happens where no value is given and `default` cannot say it: `the model's`. */
  readonly otherwise?: string
  /** One line: what the option does, without its default. */
  readonly help: string
  /** A value that shows how it is written, for an option without a default. */
  readonly example?: unknown
  /** What the options from this one on are about, where files show them. */
  readonly heading?: string
  /** Whether there must be a value. */
  readonly isRequired?: true
  /**
   * Whether a run that is resumed must have the value that it began with. 'fromDefault': its default is not written
   * down, so that checkpoints which are older than the option go on.
   */
  readonly changesRun?: true | 'fromDefault'
  /** Earlier and other libraries' names of it, in camelCase. */
  readonly aliases?: readonly string[]
  /** Absent: the command line sets it by `--set` or not at all. */
  readonly flag?: OptionFlag
  /** The options that the value holds. */
  readonly table?: OptionTable
}

/** The options of a function by name, in the order in which they are shown. */
export type OptionTable<Options = Readonly<Record<string, unknown>>> = {
  readonly [Name in keyof Required<Options>]: OptionEntry<Options[Name]>
}

/** Every default of a table; undefined where an option has none. */
export type Defaults<Table> = {
  -readonly [Name in keyof Table]: Table[Name] extends { readonly default: infer Value } ? Value : undefined
}

/** Options of a call once they are read: only those without a default, and not required, may be undefined. */
export type Resolved<Options, Table extends OptionTable<Options>> = {
  -readonly [Name in keyof Required<Options>]: Table[Name] extends
    | { readonly default: unknown }
    | { readonly isRequired: true }
    ? Exclude<Options[Name], undefined>
    : Options[Name] | undefined
}

/** The names of a table, in its order. */
export function namesOf<Table extends object>(table: Table): readonly (keyof Table & string)[] {
  return Object.keys(table) as (keyof Table & string)[]
}

/** Every default of a table. */
export function defaultsOf<Table extends OptionTable>(table: Table): Defaults<Table> {
  return Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, entry.default])) as Defaults<Table>
}

/** The part of `values` that a resumed run must share. */
export function changingRun<Values extends object>(table: OptionTable, values: Values): Partial<Values> {
  const given = (name: string): unknown => values[name as keyof Values]
  const names = Object.keys(table).filter((name) => {
    const { changesRun, default: otherwise } = table[name] ?? {}
    return changesRun === true || (changesRun === 'fromDefault' && given(name) !== otherwise)
  })
  return Object.fromEntries(names.map((name) => [name, given(name)])) as Partial<Values>
}

/** What a table says of a name; undefined for names that it does not have, `constructor` among them. */
export function entryOf(table: OptionTable, name: string): OptionEntry | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}

/** The present name of every earlier or foreign one. */
export function aliasesOf(table: OptionTable): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(table).flatMap(([name, { aliases = [] }]) => aliases.map((alias) => [alias, name] as const)),
  )
}

/**
 * The options of a call, completed with the defaults. A value left undefined counts as not given.
 * @param where names the call in error messages
 * @throws as `expectOptions`
 */
export function readOptions<Options extends object, Table extends OptionTable<Options>>(
  where: string,
  given: Options,
  table: Table,
): Resolved<Options, Table> {
  expectOptions(where, given, table)
  return completeOptions(given, table)
}

/**
 * Options that `expectOptions` has checked, completed with the defaults.
 * @param preferred defaults that come before those of the table
 */
export function completeOptions<Options extends object, Table extends OptionTable<Options>>(
  given: Options,
  table: Table,
  preferred: Partial<Options> = {},
): Resolved<Options, Table> {
  const values = Object.entries(given).filter(([, value]) => value !== undefined)
  return { ...defaultsOf(table as OptionTable), ...preferred, ...Object.fromEntries(values) } as Resolved<
    Options,
    Table
  >
}

/**
 * Checks the options of a call without completing them, for a function that passes them on.
 * @throws on what is no object, an unknown option (naming the nearest), a value that its rule does not accept, and a
 * required one that is missing
 */
export function expectOptions<Options extends object>(
  where: string,
  given: Options,
  table: OptionTable<Options>,
): void {
  expectObject(where, 'options', given)
  const entries: OptionTable = table
  for (const [name, value] of Object.entries(given)) {
    const entry = entryOf(entries, name)
    if (!entry) throw unknownOption(where, name, namesOf(table))
    if (value !== undefined) check(where, name, value, entry.rule)
  }
  for (const [name, { isRequired, rule }] of Object.entries(entries)) {
    if (isRequired && (given as Record<string, unknown>)[name] === undefined)
      throw wrongOption(name, `[${where}] expected ${rule.expected} for ${name}, got nothing`)
  }
}

/**
 * JSON Schema of a file that holds these options. Options that no file can hold are left out.
 * @param spellings further names of an option that are accepted, such as snake_case
 */
export function schemaOf(
  table: OptionTable,
  spellings: (name: string, aliases?: readonly string[]) => readonly string[],
): JsonSchema {
  const properties: Record<string, JsonSchema> = {}
  for (const [name, entry] of Object.entries(table)) {
    const schema = entry.table ? schemaOf(entry.table, spellings) : entry.rule.schema
    if (!schema) continue
    const described = {
      ...schema,
      description: entry.otherwise === undefined ? entry.help : `${entry.help} (default: ${entry.otherwise})`,
      ...(entry.default !== undefined && { default: entry.default }),
    }
    properties[name] = described
    for (const other of spellings(name, entry.aliases)) {
      if (other !== name) properties[other] = { ...described, description: `${entry.help}; the same as ${name}` }
    }
  }
  return { type: 'object', properties, additionalProperties: false }
}
