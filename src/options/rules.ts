/** @file What a value of an option must be: in words, as a check, and as JSON Schema. Knows no option. */

import { describeKind, describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { isPlainObject } from '../values.js'

/** A schema in the words of https://json-schema.org/draft/2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** What is expected, as an error message says it, and whether a value is that. */
export interface Rule {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
  /** The same for editors; absent: no file can hold such a value. */
  readonly schema?: JsonSchema
  /** Whether the value must not be shown, right or wrong. */
  readonly isSecret?: boolean
  /** More to say of a wrong value: `; why`. */
  readonly hint?: (value: unknown) => string
}

interface Range {
  /** Smallest allowed value. */
  readonly min?: number
  /** Values must be larger than this. */
  readonly above?: number
  /** Largest allowed value. */
  readonly max?: number
  /** Values must be smaller than this. */
  readonly below?: number
}

export function number(range: Range): Rule {
  return {
    expected: `a number${words(range)}`,
    accepts: (value) => isNumber(value) && inside(value, range),
    schema: { type: 'number', ...bounds(range) },
  }
}

/** A number that is in its range in float32 too, in which training computes. */
export function float32(range: Range): Rule {
  const isInRange = (value: unknown): value is number => isNumber(value) && inside(value, range)
  return {
    ...number(range),
    accepts: (value) => isInRange(value) && isHeld(value) && inside(Math.fround(value), range),
    hint: (value) => (isInRange(value) ? `; in float32, in which it is computed, it is ${Math.fround(value)}` : ''),
  }
}

export function integer(range: Range): Rule {
  return {
    expected: `a whole number${words(range)}`,
    accepts: (value) => Number.isSafeInteger(value) && inside(value as number, range),
    schema: { type: 'integer', ...bounds(range) },
  }
}

export function oneOf(values: readonly string[]): Rule {
  return {
    expected: values.map((value) => `'${value}'`).join(', '),
    accepts: (value) => values.includes(value as string),
    schema: { enum: values },
  }
}

export const boolean: Rule = {
  expected: 'true or false',
  accepts: (value) => typeof value === 'boolean',
  schema: { type: 'boolean' },
}

export const text: Rule = {
  expected: 'text',
  accepts: (value) => typeof value === 'string' && value.trim() !== '',
  schema: { type: 'string', minLength: 1 },
}

/** Text of a given meaning, which may be what an error message expects instead. */
export function textOf(expected: string): Rule {
  return { ...text, expected }
}

/** A value that only a program can give. */
export function instance(expected: string, accepts: (value: unknown) => boolean): Rule {
  return { expected, accepts }
}

export const callback: Rule = instance('a function', (value) => typeof value === 'function')

/** What no file system goes beyond. */
const LONGEST_PATH = 4096

/** Text that a path can be. */
export const path: Rule = {
  expected: 'a path',
  accepts: (value) =>
    typeof value === 'string' && value !== '' && value.length <= LONGEST_PATH && !value.includes('\0'),
  hint: (value) =>
    typeof value === 'string' && value.length > LONGEST_PATH
      ? `; no path is longer than ${LONGEST_PATH} characters`
      : '',
  schema: { type: 'string', minLength: 1, maxLength: LONGEST_PATH },
}

/** A list of what `item` accepts. */
export function listOf(item: Rule, expected: string, { minItems = 0 }: { minItems?: number } = {}): Rule {
  return {
    expected,
    accepts: (value) => Array.isArray(value) && value.length >= minItems && value.every((entry) => item.accepts(entry)),
    ...(item.schema && { schema: { type: 'array', items: item.schema, ...(minItems > 0 && { minItems }) } }),
  }
}

/** An object with any keys whose values `item` accepts. */
export function objectOf(item: Rule, expected: string): Rule {
  return {
    expected,
    accepts: (value) => isPlainObject(value) && Object.values(value).every((entry) => item.accepts(entry)),
    ...(item.schema && { schema: { type: 'object', additionalProperties: item.schema } }),
  }
}

/** Any value. */
export const anything: Rule = { expected: 'a value', accepts: () => true, schema: {} }

/** What either rule accepts. */
export function either(first: Rule, second: Rule): Rule {
  return {
    expected: `${first.expected} or ${second.expected}`,
    accepts: (value) => first.accepts(value) || second.accepts(value),
    ...(first.schema && second.schema && { schema: { anyOf: [first.schema, second.schema] } }),
  }
}

/** Exactly `value`; `meaning` tells what it stands for. */
export function exactly(value: unknown, meaning: string): Rule {
  return {
    expected: `${typeof value === 'string' ? `'${value}'` : String(value)} (${meaning})`,
    accepts: (given) => given === value,
    schema: { const: value },
  }
}

/** @throws saying what was expected for `name`. */
export function check(where: string, name: string, value: unknown, rule: Rule): void {
  if (rule.accepts(value)) return
  throw wrongOption(name, `${mismatch(where, name, value, rule)}${hintFor(value, rule)}`)
}

/** The message for a value that a rule does not accept, without the rule's hint. */
export function mismatch(where: string, name: string, value: unknown, { expected, isSecret }: Rule): string {
  return `[${where}] expected ${expected} for ${name}, got ${isSecret ? describeKind(value) : describeValue(value)}`
}

/** The error for one option that is wrong. */
export function wrongOption(name: string, message: string): OptionError {
  return new OptionError(message, { problems: [{ message, options: [[name]] }] })
}

function hintFor(value: unknown, rule: Rule): string {
  if (typeof value === 'string' && rule.accepts(Number(value))) return '; write it without quotes'
  return rule.hint?.(value) ?? ''
}

/** Whether float32, in which training computes, holds the value as neither 0 nor infinite. */
function isHeld(value: number): boolean {
  const rounded = Math.fround(value)
  return Number.isFinite(rounded) && (rounded === 0) === (value === 0)
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function inside(value: number, { min, above, max, below }: Range): boolean {
  return !(
    (min !== undefined && value < min) ||
    (above !== undefined && value <= above) ||
    (max !== undefined && value > max) ||
    (below !== undefined && value >= below)
  )
}

function words({ min, above, max, below }: Range): string {
  const low = min !== undefined ? `of at least ${min}` : above !== undefined ? `above ${above}` : ''
  const high = max !== undefined ? `at most ${max}` : below !== undefined ? `below ${below}` : ''
  return [low, high]
    .filter((part) => part !== '')
    .reduce((all, part) => (all === '' ? ` ${part}` : `${all} and ${part}`), '')
}

function bounds({ min, above, max, below }: Range): JsonSchema {
  return {
    ...(min !== undefined && { minimum: min }),
    ...(above !== undefined && { exclusiveMinimum: above }),
    ...(max !== undefined && { maximum: max }),
    ...(below !== undefined && { exclusiveMaximum: below }),
  }
}
