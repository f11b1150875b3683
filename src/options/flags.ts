/** @file How the command line spells the options of a table: flags, their help and their values. Knows no option. */

import type { JsonSchema } from './rules.js'
import type { OptionEntry, OptionFlag, OptionTable } from './table.js'

/** A flag and the option that it sets. */
export interface TableFlag extends OptionFlag {
  /** Path of the option, from the table down: `['training', 'learningRate']`. */
  readonly path: readonly string[]
  readonly entry: OptionEntry
}

/** The flags of a table and of the tables in it, in the order of the options. */
export function flagsOf(table: OptionTable, path: readonly string[] = []): readonly TableFlag[] {
  return Object.entries(table).flatMap(([name, entry]) => {
    const own = [...path, name]
    return [
      ...(entry.flag ? [{ ...entry.flag, path: own, entry }] : []),
      ...(entry.table ? flagsOf(entry.table, own) : []),
    ]
  })
}

/** How a flag is written: `--rank COUNT`. */
export function usageOf({ name, argument }: OptionFlag): string {
  return argument === undefined ? name : `${name} ${argument.toUpperCase()}`
}

/** A line of help: what the option does, and what happens without it where the flag takes a value. */
export function flagHelp({ argument, help, isRepeatable, entry }: TableFlag): string {
  const shown = argument === undefined ? undefined : (entry.otherwise ?? describeDefault(entry.default))
  const repeated = isRepeatable ? '; may be repeated' : ''
  return `${help ?? entry.help}${repeated}${shown === undefined ? '' : ` (default: ${shown})`}`
}

/**
 * A default as one writes it: `16`, `2e-4`, `all-linear`; undefined for none and for what stands for it, null and -1.
 */
export function describeDefault(value: unknown): string | undefined {
  if (value === undefined || value === null || value === -1) return undefined
  if (typeof value === 'object') return JSON.stringify(value)
  return typeof value === 'number' && value !== 0 && Math.abs(value) < 0.01 ? value.toExponential() : String(value)
}

/**
 * The value that the text behind a flag means: a number where the option takes one, a list where the flag takes names
 * between commas. Everything else stays text: a path, or what the rule refuses.
 */
export function flagValue({ argument, entry: { rule, default: fallback } }: TableFlag, text: string): unknown {
  if (text.trim() === '') return text
  const number = Number(text)
  if (Number.isFinite(number) && takes(rule.schema, 'number', 'integer')) return number
  // Names of columns have blanks and any letters. Where an option also takes text, such text is no list.
  const isList = (rule.schema as { type?: unknown } | undefined)?.type === 'array'
  const isNames = isList || (/^[\w.-]+(?:,\s*[\w.-]+)*$/.test(text) && text.toLowerCase() !== fallback)
  return isNames && argument === 'names' ? text.split(',').map((name) => name.trim()) : text
}

/** Whether a schema, or one of those that it offers, is of one of these types. */
function takes(schema: JsonSchema | undefined, ...types: readonly string[]): boolean {
  if (!schema) return false
  const { anyOf = [] } = schema as { anyOf?: readonly JsonSchema[] }
  return types.includes(schema.type as string) || anyOf.some((inner) => takes(inner, ...types))
}
