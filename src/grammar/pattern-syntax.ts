/**
 * @file Regular expressions of ECMA-262 with the flag u, as far as a finite automaton can follow them. What it cannot,
 * such as looking ahead, is refused by name.
 */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { toError } from '../values.js'
import {
  ANY_CODE,
  type CodeRange,
  type CodeSet,
  codeSet,
  complement,
  DIGIT,
  LINE_TERMINATOR,
  SPACE,
  WORD,
} from './code-points.js'

export type Regex =
  | { readonly kind: 'set'; readonly set: CodeSet }
  | { readonly kind: 'sequence'; readonly parts: readonly Regex[] }
  | { readonly kind: 'choice'; readonly parts: readonly Regex[] }
  | { readonly kind: 'repeat'; readonly part: Regex; readonly min: number; readonly max: number }
  /** The beginning of the text. */
  | { readonly kind: 'start' }
  /** The end of the text. */
  | { readonly kind: 'end' }

const LONGEST = 10_000
const DEEPEST = 200

/**
 * @param path where the pattern stands, for error messages
 * @throws OptionError for a pattern that is no regular expression, or not a regular one
 */
export function parsePattern(source: string, path: string): Regex {
  const fail = (what: string): Error =>
    new OptionError(`[json schema] expected ${what} for pattern at ${path}, got ${describeValue(source)}`)
  if (source.length > LONGEST) throw fail(`at most ${LONGEST} characters`)
  try {
    new RegExp(source, 'u')
  } catch (error) {
    throw fail(`a regular expression of ECMA-262 with the flag u (${toError(error).message})`)
  }
  return new PatternParser(source, fail).parse()
}

const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, '0': 0 }

/** Reads what RegExp has accepted: only what is not regular is an error. */
class PatternParser {
  readonly #chars: readonly string[]
  readonly #fail: (what: string) => Error
  #at = 0
  #depth = 0

  constructor(source: string, fail: (what: string) => Error) {
    this.#chars = Array.from(source)
    this.#fail = fail
  }

  parse(): Regex {
    return this.#choice()
  }

  #choice(): Regex {
    if (++this.#depth > DEEPEST) throw this.#fail(`groups that are at most ${DEEPEST} deep`)
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    this.#depth--
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts }
  }

  #sequence(): Regex {
    const parts: Regex[] = []
    while (this.#at < this.#chars.length && !'|)'.includes(this.#chars[this.#at]!)) parts.push(this.#repeated())
    return { kind: 'sequence', parts }
  }

  #repeated(): Regex {
    const part = this.#atom()
    const bounds = this.#quantifier()
    if (bounds === undefined) return part
    // What a lazy quantifier matches first does not change which texts match.
    this.#take('?')
    return { kind: 'repeat', part, ...bounds }
  }

  #quantifier(): { min: number; max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Number.POSITIVE_INFINITY }
    if (this.#take('+')) return { min: 1, max: Number.POSITIVE_INFINITY }
    if (this.#take('?')) return { min: 0, max: 1 }
    if (!this.#take('{')) return undefined
    const [low = '', high] = this.#until('}').split(',')
    const min = Number(low)
    return { min, max: high === undefined ? min : high === '' ? Number.POSITIVE_INFINITY : Number(high) }
  }

  #atom(): Regex {
    const char = this.#chars[this.#at++]!
    switch (char) {
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '.':
        return { kind: 'set', set: complement(LINE_TERMINATOR) }
      case '(':
        return this.#group()
      case '[':
        return { kind: 'set', set: this.#class() }
      case '\\':
        return { kind: 'set', set: codeSet(this.#escape(false)) }
      default:
        return { kind: 'set', set: codeSet(single(char.codePointAt(0)!)) }
    }
  }

  #group(): Regex {
    if (this.#take('?')) {
      const kind = this.#chars[this.#at++]
      const next = this.#chars[this.#at]
      if (kind === '=' || kind === '!') throw this.#fail('no look-ahead, which is not supported,')
      if (kind === '<' && (next === '=' || next === '!')) throw this.#fail('no look-behind, which is not supported,')
      if (kind === '<') this.#until('>')
      else if (kind !== ':') throw this.#fail('no flags in groups, which are not supported,')
    }
    const inner = this.#choice()
    this.#take(')')
    return inner
  }

  #class(): CodeSet {
    const isNegated = this.#take('^')
    const ranges: CodeRange[] = []
    while (!this.#take(']')) {
      const low = this.#classAtom()
      if (this.#chars[this.#at] === '-' && this.#chars[this.#at + 1] !== ']') {
        this.#at++
        ranges.push([low[0]![0], this.#classAtom()[0]![1]])
      } else ranges.push(...low)
    }
    const set = codeSet(ranges)
    return isNegated ? complement(set) : set
  }

  #classAtom(): CodeSet {
    const char = this.#chars[this.#at++]!
    return char === '\\' ? this.#escape(true) : single(char.codePointAt(0)!)
  }

  #escape(isInClass: boolean): CodeSet {
    const char = this.#chars[this.#at++]!
    switch (char) {
      case 'd':
        return DIGIT
      case 'D':
        return complement(DIGIT)
      case 'w':
        return WORD
      case 'W':
        return complement(WORD)
      case 's':
        return SPACE
      case 'S':
        return complement(SPACE)
      case 'b':
        if (isInClass) return single(8)
        throw this.#fail('no \\b, which is not supported,')
      case 'B':
        throw this.#fail('no \\B, which is not supported,')
      case 'p':
      case 'P':
        return this.#property(char)
      case 'x':
        return single(this.#hex(2))
      case 'u':
        return single(this.#unicode())
      case 'c':
        return single(this.#chars[this.#at++]!.codePointAt(0)! % 32)
      default:
        if (char in CONTROLS) return single(CONTROLS[char]!)
        if (/[1-9k]/.test(char)) throw this.#fail('no references to groups, which are not supported,')
        return single(char.codePointAt(0)!)
    }
  }

  #property(letter: string): CodeSet {
    this.#take('{')
    return propertySet(`\\${letter}{${this.#until('}')}}`)
  }

  #unicode(): number {
    if (this.#take('{')) return Number.parseInt(this.#until('}'), 16)
    const high = this.#hex(4)
    const isPair = (high & 0xfc00) === 0xd800 && this.#chars[this.#at] === '\\' && this.#chars[this.#at + 1] === 'u'
    if (!isPair) return high
    const low = Number.parseInt(this.#chars.slice(this.#at + 2, this.#at + 6).join(''), 16)
    if ((low & 0xfc00) !== 0xdc00) return high
    this.#at += 6
    return ((high - 0xd800) << 10) + (low - 0xdc00) + 0x10000
  }

  #hex(digits: number): number {
    const text = this.#chars.slice(this.#at, this.#at + digits).join('')
    this.#at += digits
    return Number.parseInt(text, 16)
  }

  #until(end: string): string {
    const from = this.#at
    while (this.#chars[this.#at] !== end) this.#at++
    return this.#chars.slice(from, this.#at++).join('')
  }

  #take(char: string): boolean {
    if (this.#chars[this.#at] !== char) return false
    this.#at++
    return true
  }
}

/** One code point, which may be a surrogate: they can be borders of ranges. */
function single(code: number): CodeSet {
  return [[code, code]]
}

const PROPERTIES = new Map<string, CodeSet>()
const BLOCK = 0x4000

/** The code points with a property of Unicode, `\p{L}` or `\P{L}`. */
function propertySet(source: string): CodeSet {
  const known = PROPERTIES.get(source)
  if (known !== undefined) return known
  const runs = new RegExp(`(?:${source})+`, 'gu')
  const ranges: CodeRange[] = []
  for (const [low, high] of ANY_CODE) {
    for (let from = low; from <= high; from += BLOCK) {
      const codes = Array.from({ length: Math.min(BLOCK, high - from + 1) }, (_, at) => from + at)
      for (const { 0: run } of String.fromCodePoint(...codes).matchAll(runs)) {
        ranges.push([run.codePointAt(0)!, Array.from(run).at(-1)!.codePointAt(0)!])
      }
    }
  }
  const set = codeSet(ranges)
  PROPERTIES.set(source, set)
  return set
}
