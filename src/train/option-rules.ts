/** @file What a value of an option must be, in words and as a check, and how names are spelled. Knows no option. */

import { describeKind, describeValue } from '../errors.js'
import type { OptionProblems } from './option-problems.js'

/** What is expected, as an error message says it, and whether a value is that. */
export interface Rule {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
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
  return { expected: `a number${words(range)}`, accepts: (value) => isNumber(value) && inside(value, range) }
}

/** A number that is in its range in float32 too, in which training computes. */
export function float32(range: Range): Rule {
  const isInRange = (value: unknown): value is number => isNumber(value) && inside(value, range)
  return {
    expected: `a number${words(range)}`,
    accepts: (value) => isInRange(value) && isHeld(value) && inside(Math.fround(value), range),
    hint: (value) => (isInRange(value) ? `; in float32, in which it is computed, it is ${Math.fround(value)}` : ''),
  }
}

export function integer(range: Range): Rule {
  return {
    expected: `a whole number${words(range)}`,
    accepts: (value) => Number.isSafeInteger(value) && inside(value as number, range),
  }
}

export function oneOf(values: readonly string[]): Rule {
  return {
    expected: values.map((value) => `'${value}'`).join(', '),
    accepts: (value) => values.includes(value as string),
  }
}

export const boolean: Rule = { expected: 'true or false', accepts: (value) => typeof value === 'boolean' }

export const text: Rule = {
  expected: 'text',
  accepts: (value) => typeof value === 'string' && value.trim() !== '',
}

/** What either rule accepts. */
export function either(first: Rule, second: Rule): Rule {
  return {
    expected: `${first.expected} or ${second.expected}`,
    accepts: (value) => first.accepts(value) || second.accepts(value),
  }
}

/** Exactly `value`; `meaning` tells what it stands for. */
export function exactly(value: unknown, meaning: string): Rule {
  return {
    expected: `${typeof value === 'string' ? `'${value}'` : String(value)} (${meaning})`,
    accepts: (given) => given === value,
  }
}

/** `num_train_epochs` as this library spells it; names in camelCase stay as they are. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[a-zA-Z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** How the caller spelled each option, so that messages show what was written. */
export type Spelling = ReadonlyMap<string, string>

/**
 * Keys as this library spells them. Values left undefined count as not given; an option that comes twice is a problem.
 * @param path of the options themselves: empty at the top
 */
export function camelCaseKeys(
  problems: OptionProblems,
  path: readonly string[],
  raw: object,
  oldNames: Readonly<Record<string, string>>,
): [Record<string, unknown>, Spelling] {
  const spelledBy = new Map<string, string>()
  const values = new Map<string, unknown>()
  for (const [key, value] of Object.entries(raw)) {
    if (value === undefined) continue
    const camel = camelCase(key)
    const name = (Object.hasOwn(oldNames, camel) ? oldNames[camel] : undefined) ?? camel
    const earlier = spelledBy.get(name)
    if (earlier !== undefined) {
      const where = path.at(-1) ?? 'train'
      problems.add(
        [earlier, key].map((spelled) => [...path, spelled]),
        `[${where}] expected ${name} once, got it as ${earlier} and as ${key}; remove one`,
      )
      continue
    }
    spelledBy.set(name, key)
    values.set(name, value)
  }
  return [Object.fromEntries(values), spelledBy]
}

/** @throws saying what was expected for `name`. */
export function check(where: string, name: string, value: unknown, rule: Rule): void {
  if (rule.accepts(value)) return
  const hint = hintFor(value, rule)
  const got = rule.isSecret ? describeKind(value) : describeValue(value)
  throw new Error(`[${where}] expected ${rule.expected} for ${name}, got ${got}${hint}`)
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
