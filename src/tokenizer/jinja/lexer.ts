/**
 * @file From the source of a template to tokens, with the white space control that transformers sets: `trim_blocks` and
 * `lstrip_blocks`. Line ends become `\n`, and one at the end of the source is dropped.
 */

import { PythonFloat } from '../../lossless-json.js'
import { fail, unsupported } from './errors.js'
import { int, parseInteger } from './numbers.js'
import { hexEscape } from './repr.js'
import { hasLoneSurrogate, isSpace, strip } from './text.js'

export type TokenType =
  | 'data'
  | 'variable_begin'
  | 'variable_end'
  | 'block_begin'
  | 'block_end'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'eof'

export interface Token {
  type: TokenType
  /** The text of data, names and strings, and the sign of operators. */
  text: string
  /** The value of numbers. */
  value: number | bigint | PythonFloat
  line: number
}

const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y
const FLOAT = /(?:[0-9]+_)*[0-9]+(?:(?:\.(?:[0-9]+_)*[0-9]+)?[eE][+-]?(?:[0-9]+_)*[0-9]+|\.(?:[0-9]+_)*[0-9]+)/y
const INTEGER = /0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|[1-9](?:_?[0-9])*|0(?:_?0)*/y
const NAME = /[\p{L}\p{N}\p{M}_\u00b7]+/uy
const CLOSING: Readonly<Record<string, string>> = { '{': '}', '(': ')', '[': ']' }
const LINE_FEED = 10
/** Longest source of a template, in UTF-16 units. */
const MAX_SOURCE = 1 << 22

/** @throws TemplateFailure for source that no token fits */
export function tokenize(original: string): Token[] {
  if (original.length > MAX_SOURCE) fail('Bounds', `expected a template of at most ${MAX_SOURCE} characters`, 1)
  if (hasLoneSurrogate(original)) unsupported('half of a surrogate pair in the source', 1)
  const source = original.replace(/\r\n?/g, '\n').replace(/\n$/, '')
  const tokens: Token[] = []
  let at = 0
  let line = 1
  let counted = 0
  let lineStarting = true
  const lineAt = (place: number): number => {
    // Not by indexOf, which would search a source without line ends to its end each time.
    for (; counted < place; counted++) if (source.charCodeAt(counted) === LINE_FEED) line++
    return line
  }
  const push = (type: TokenType, text: string, place: number, value: number | bigint | PythonFloat = 0): void => {
    tokens.push({ type, text, value, line: lineAt(place) })
  }
  const skipSpace = (place: number): number => {
    let end = place
    while (end < source.length && isSpace(source.charCodeAt(end))) end++
    return end
  }
  /** Text before a tag, without what the tag strips of it. */
  const data = (start: number, end: number, sign: string, isVariable: boolean): void => {
    let text = source.slice(start, end)
    if (sign === '-') text = strip(text, false, true)
    else if (sign !== '+' && !isVariable) {
      const lineStart = text.lastIndexOf('\n') + 1
      if (
        (lineStart > 0 || lineStarting) &&
        lineStart < text.length &&
        strip(text.slice(lineStart), true, false) === ''
      ) {
        text = text.slice(0, lineStart)
      }
    }
    if (text !== '') push('data', text, start)
  }
  /** The place after an end tag that begins at `place` with `+`, `-` or nothing, or -1 where none does. */
  const endTag = (place: number, mark: string, plus: boolean): number => {
    const sign = source[place]
    if (source.startsWith(mark, place)) {
      const end = place + mark.length
      return plus && source[end] === '\n' ? end + 1 : end
    }
    if (sign === '-' && source.startsWith(mark, place + 1)) return skipSpace(place + 1 + mark.length)
    if (plus && sign === '+' && source.startsWith(mark, place + 1)) return place + 1 + mark.length
    return -1
  }
  /** The place after `word` and its end tag, for `raw` and `endraw`, or -1. */
  const rawTag = (place: number, word: string, trim: boolean): number => {
    const start = skipSpace('+-'.includes(source[place] ?? ' ') ? place + 1 : place)
    if (!source.startsWith(word, start)) return -1
    return endTag(skipSpace(start + word.length), '%}', trim)
  }
  const raw = (begin: number): number => {
    const from = rawTag(begin + 2, 'raw', false)
    lineStarting = source[from - 1] === '\n'
    for (let tag = source.indexOf('{%', from); tag >= 0; tag = source.indexOf('{%', tag + 2)) {
      const after = rawTag(tag + 2, 'endraw', true)
      if (after < 0) continue
      data(from, tag, source[tag + 2] ?? '', false)
      return after
    }
    return fail('TemplateSyntaxError', 'Missing end of raw directive', lineAt(begin))
  }
  const comment = (begin: number): number => {
    let close = source.indexOf('#}', begin + 2)
    // The sign before the end belongs to the tag, also right after the beginning.
    if (close < 0) return fail('TemplateSyntaxError', 'Missing end of comment tag', lineAt(begin))
    const sign = close > begin + 2 + signWidth(begin) ? (source[close - 1] ?? '') : ''
    if (sign === '+' || sign === '-') close--
    return endTag(close, '#}', true)
  }
  const signWidth = (begin: number): number => ('+-'.includes(source[begin + 2] ?? ' ') ? 1 : 0)
  /** Tokens of a tag up to its end; gives the place after it. */
  const code = (begin: number, isVariable: boolean): number => {
    const open: string[] = []
    push(isVariable ? 'variable_begin' : 'block_begin', source.slice(begin, begin + 2), begin)
    let place = begin + 2 + signWidth(begin)
    for (;;) {
      if (open.length === 0) {
        const after = endTag(place, isVariable ? '}}' : '%}', !isVariable)
        if (after >= 0) {
          push(isVariable ? 'variable_end' : 'block_end', '', place)
          return after
        }
      }
      if (place >= source.length) {
        push('eof', '', place)
        return place
      }
      const start = skipSpace(place)
      if (start > place) place = start
      else place = token(place, open)
    }
  }
  const take = (pattern: RegExp, place: number): string | undefined => {
    pattern.lastIndex = place
    return pattern.exec(source)?.[0]
  }
  const token = (place: number, open: string[]): number => {
    const float = source[place - 1] === '.' ? undefined : take(FLOAT, place)
    if (float !== undefined) {
      push('float', float, place, new PythonFloat(Number(float.replaceAll('_', ''))))
      return place + float.length
    }
    const integer = take(INTEGER, place)
    if (integer !== undefined) {
      push('integer', integer, place, int(BigInt(parseInteger(integer.replaceAll('_', ''), 0))))
      return place + integer.length
    }
    const name = take(NAME, place)
    if (name !== undefined) {
      if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) {
        if (!/^[\p{XIDS}_]\p{XIDC}*$/u.test(name)) {
          fail('TemplateSyntaxError', 'Invalid character in identifier', lineAt(place))
        }
        unsupported(`the name ${name} with characters beyond ASCII`, lineAt(place))
      }
      push('name', name, place)
      return place + name.length
    }
    const text = source[place] === '"' || source[place] === "'" ? stringEnd(source, place) : -1
    if (text > 0) {
      push('string', literalText(source.slice(place + 1, text - 1), lineAt(place)), place)
      return text
    }
    const operator = take(OPERATOR, place)
    if (operator === undefined) {
      return fail('TemplateSyntaxError', `unexpected char ${JSON.stringify(source[place])}`, lineAt(place))
    }
    if (operator in CLOSING) open.push(CLOSING[operator] as string)
    else if (operator === '}' || operator === ')' || operator === ']') {
      const expected = open.pop()
      if (expected !== operator) fail('TemplateSyntaxError', `unexpected '${operator}'`, lineAt(place))
    }
    push('operator', operator, place)
    return place + operator.length
  }

  while (at < source.length) {
    let begin = source.indexOf('{', at)
    while (begin >= 0 && !'{%#'.includes(source[begin + 1] ?? ' ')) begin = source.indexOf('{', begin + 1)
    if (begin < 0) {
      push('data', source.slice(at), at)
      at = source.length
      break
    }
    const kind = source[begin + 1] as string
    const sign = source[begin + 2] ?? ''
    data(at, begin, sign === '-' || sign === '+' ? sign : '', kind === '{')
    if (kind === '#') at = comment(begin)
    else if (kind === '%' && rawTag(begin + 2, 'raw', false) >= 0) at = raw(begin)
    else at = code(begin, kind === '{')
    lineStarting = source[at - 1] === '\n'
  }
  push('eof', '', source.length)
  return tokens
}

/** The place after a string that begins at `start`, or -1 where it does not end. */
function stringEnd(source: string, start: number): number {
  const quote = source[start]
  for (let at = start + 1; at < source.length; at++) {
    if (source[at] === '\\') at++
    else if (source[at] === quote) return at + 1
  }
  return -1
}

const SIMPLE: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\n': '',
}
const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|([\s\S]|$))/g

/** The text of a literal: Python's `unicode-escape` of its ASCII form. */
function literalText(body: string, line: number): string {
  if (!body.includes('\\')) return body
  // jinja2 writes other characters as escapes first, which shows where a backslash stands before one of them.
  const ascii = body.replace(/\\?[^\0-\x7f]/gu, (found) =>
    found.startsWith('\\') ? `\\${hexEscape(found.slice(1))}` : found,
  )
  return ascii.replace(ESCAPE, (all, x?: string, u?: string, long?: string, octal?: string, other?: string) => {
    const hex = x ?? u ?? long
    if (hex !== undefined || octal !== undefined) {
      const code = hex === undefined ? Number.parseInt(octal as string, 8) : Number.parseInt(hex, 16)
      if (code > 0x10ffff) return fail('TemplateSyntaxError', 'illegal Unicode character', line)
      if (code >= 0xd800 && code <= 0xdfff) return unsupported('half of a surrogate pair', line)
      return String.fromCodePoint(code)
    }
    if (other === 'N') return unsupported('a character by its name (\\N{...})', line)
    if (other === '' || other === 'x' || other === 'u' || other === 'U') {
      return fail('TemplateSyntaxError', 'truncated escape in a string', line)
    }
    return SIMPLE[other as string] ?? all
  })
}
