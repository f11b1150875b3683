/** @file What a value of an option must be, in words and as a check. and how names are spelled. Knows no option. */

/** What is expected, as an error message says it, and whether a value is that. */
export interface Rule {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
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
