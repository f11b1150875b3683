/**
 * @file Python regular expressions (module re) for JavaScript: the common ones mean the same, and the others are
 * errors.
 */

import { describeValue, listNames } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { toError } from '../values.js'
import { BoundedRegExp, TooManySteps } from './bounded-regexp.js'

// Characters of all expressions of a setting together. The longest that people have list the modules of a model.
const LONGEST = 100_000

// Steps of matching. Module paths are short, and a hundred steps are usual for one: what takes far more never ends
// (nested quantifiers).
const STEPS = 10_000_000
const STEPS_PER_PATH = 1000

/** What a pattern is a part of. */
interface Frame {
  readonly around: (source: string) => string
  /** Python takes flags, as (?i), only where an expression begins. */
  readonly hasFlags: boolean
}

const WHOLE: Frame = { around: (source) => `(?:${source})$`, hasFlags: true }
const END: Frame = { around: (source) => `(.*\\.)?(${source})$`, hasFlags: false }
const NUMBERED: Frame = { around: (source) => `(?:(?:^|.*?\\.)${source}\\.(?<idx>\\d+)\\.)`, hasFlags: false }

/**
 * The texts that `pattern` matches as a whole, as `re.fullmatch` does.
 * @throws when the pattern is no Python expression, uses what JavaScript lacks, or takes too long
 */
export function fullMatches(where: string, pattern: string, texts: readonly string[]): string[] {
  return matches(where, [pattern], WHOLE, texts)[0] as string[]
}

/**
 * For each pattern the dotted paths of which it matches all or an end: PEFT's `re.match(rf"(.*\.)?({pattern})$",
 * path)`.
 * @throws as `fullMatches`
 */
export function endMatches(where: string, patterns: readonly string[], paths: readonly string[]): string[][] {
  return matches(where, patterns, END, paths)
}

/**
 * For each path the number that stands behind the first of the patterns that it has, as 3 in `model.layers.3.mlp`
 * behind `layers`: PEFT's `re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", path)`.
 * @throws as `fullMatches`
 */
export function numbersBehind(
  where: string,
  patterns: readonly string[],
  paths: readonly string[],
): (number | undefined)[] {
  return evaluate(where, patterns, NUMBERED, paths, (expressions) =>
    paths.map((path) => {
      const digits = expressions.find((expression) => expression.test(path))?.group('idx')
      return digits === undefined ? undefined : Number(digits)
    }),
  )
}

function matches(where: string, patterns: readonly string[], frame: Frame, texts: readonly string[]): string[][] {
  return evaluate(where, patterns, frame, texts, (expressions) =>
    expressions.map((expression) => texts.filter((text) => expression.test(text))),
  )
}

/** What `run` finds with the expressions that the patterns mean, within the steps that `texts` may take. */
function evaluate<T>(
  where: string,
  patterns: readonly string[],
  frame: Frame,
  texts: readonly string[],
  run: (expressions: readonly BoundedRegExp[]) => T,
): T {
  const length = patterns.reduce((sum, pattern) => sum + pattern.length, 0)
  if (length > LONGEST) {
    throw new OptionError(
      `[${where}] expected regular expressions of at most ${LONGEST} characters together, got ${length} in ` +
        `${listNames(patterns.map((pattern) => describeValue(pattern)))}; name the modules in a list`,
    )
  }
  const steps = { left: STEPS + STEPS_PER_PATH * patterns.length * texts.length }
  const sources = patterns.map((pattern) => compile(where, pattern, frame))
  try {
    return run(sources.map(({ source, flags }) => new BoundedRegExp(source, flags, steps)))
  } catch (error) {
    if (!(error instanceof TooManySteps)) throw error
    const shown = listNames(patterns.map((pattern) => describeValue(pattern)))
    throw new OptionError(
      `[${where}] the regular expression ${shown} takes too long (${error.message}); avoid nested quantifiers`,
      { cause: error },
    )
  }
}

function compile(where: string, pattern: string, { around, hasFlags }: Frame): RegExp {
  const fail = (problem: string, cause?: unknown) =>
    new OptionError(`[${where}] expected a Python regular expression, got ${describeValue(pattern)}: ${problem}`, {
      cause,
    })
  const { flags, rest } = takeFlags(pattern, fail)
  if (flags !== '' && !hasFlags) throw fail('flags are not supported here, where it is a part of an expression')
  const source = translate(rest, fail)
  try {
    return new RegExp(`^${around(source)}`, `u${flags}`)
  } catch (error) {
    throw fail(toError(error).message.replace(/^.*\/\w*: /, ''), error)
  }
}

type Fail = (problem: string) => Error

/** Leading `(?i)`: the flags that both languages have. */
function takeFlags(pattern: string, fail: Fail): { flags: string; rest: string } {
  const [all = '', letters = ''] = /^\(\?([a-zA-Z]+)\)/.exec(pattern) ?? []
  const unknown = letters.replace(/[imsau]/g, '')
  if (unknown !== '') throw fail(`the flag "${unknown}" is not supported`)
  return { flags: [...new Set(letters.replace(/[au]/g, ''))].join(''), rest: pattern.slice(all.length) }
}

/**
 * Rewrites what the two languages spell differently. JavaScript's strict mode (u) then refuses what it does not know.
 */
function translate(pattern: string, fail: Fail): string {
  let out = ''
  let inClass = false
  for (let at = 0; at < pattern.length; ) {
    const rest = pattern.slice(at)
    const [token, result] = inClass ? translateInClass(rest, fail) : translateOutside(rest, fail)
    if (!inClass && token.startsWith('[')) inClass = true
    else if (inClass && token === ']') inClass = false
    out += result
    at += token.length
  }
  return out
}

function translateOutside(rest: string, fail: Fail): [token: string, result: string] {
  const [head = ''] = rest
  if (head === '\\') return translateEscape(rest, fail)
  if (head === '[') {
    // A bracket in first place is itself: []a] and [^]a].
    const [token = ''] = /^\[\^?\]?/.exec(rest) ?? []
    return [token, token.endsWith(']') ? `${token.slice(0, -1)}\\]` : token]
  }
  if (head === '{') {
    const [token, least, comma = '', most = ''] = /^\{(\d*)(,?)(\d*)\}/.exec(rest) ?? []
    const isQuantifier = token !== undefined && (least !== '' || comma !== '')
    return isQuantifier ? [token, `{${least || '0'}${comma}${most}}`] : ['{', '\\{']
  }
  if (head === '}' || head === ']') return [head, `\\${head}`]
  if (rest.startsWith('(?#')) {
    const end = rest.indexOf(')')
    if (end < 0) throw fail('a comment (?# has no end')
    return [rest.slice(0, end + 1), '']
  }
  const group = /^\(\?P(?:<(\w+)>|=(\w+)\))/.exec(rest)
  if (group) return [group[0], group[1] === undefined ? `\\k<${group[2]}>` : `(?<${group[1]}>`]
  if (/^\(\?[a-zA-Z-]+[:)]/.test(rest)) throw fail('flags inside of the expression are not supported; put (?i) first')
  return [head, head]
}

function translateInClass(rest: string, fail: Fail): [token: string, result: string] {
  const [head = ''] = rest
  if (head === '\\') return translateEscape(rest, fail)
  return head === '[' ? ['[', '\\['] : [head, head]
}

function translateEscape(rest: string, fail: Fail): [token: string, result: string] {
  const character = [...rest.slice(1, 3)][0]
  if (character === undefined) throw fail('it ends in a backslash')
  const token = `\\${character}`
  if (character === 'A') return [token, '^']
  if (character === 'Z') return [token, '$']
  if (character === 'a') return [token, '\\x07']
  if (/[bBdDsSwWnrtfvxu0-9]/.test(character)) return [token, token]
  if (/[a-zA-Z]/.test(character)) throw fail(`the escape ${token} is not supported`)
  // Python lets any other character be escaped; JavaScript only those that mean something.
  return [token, /[\^$\\.*+?()[\]{}|/-]/.test(character) ? `\\x${hex(character)}` : character]
}

function hex(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(2, '0')
}
