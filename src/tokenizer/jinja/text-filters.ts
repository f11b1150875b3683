/** @file Filters that make text. */

import { bind } from './arguments.js'
import { attributeGetter } from './attributes.js'
import { fail, typeError, unsupported, valueError } from './errors.js'
import type { Filter } from './filters.js'
import { escapeHtml } from './html.js'
import { asCount, float, isNumeric, toFloat, truncate } from './numbers.js'
import { binary } from './operators.js'
import { floatDigits, percentFormat } from './percent-format.js'
import { repr, str } from './repr.js'
import type { Runtime } from './runtime.js'
import { capitalized, center, replaced } from './string-methods.js'
import { codePointLength, codePoints, SPACE_CLASS, splitAt, splitLines, splitSpace, strip } from './text.js'
import {
  Dict,
  isTrue,
  iterate,
  lengthOf,
  listOf,
  Markup,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** Changes the text of anything; escaped text stays such. */
function change(rt: Runtime, value: Value, by: (text: string) => string): Value {
  const text = textOf(value) ?? str(rt, value)
  rt.step(text.length >> 4)
  return value instanceof Markup ? new Markup(by(text)) : by(text)
}

const TITLE_WORDS = new RegExp(`([-${SPACE_CLASS}({[<]+)`)

function needText(value: Value): string {
  if (value instanceof Undefined) return value.fail()
  if (value instanceof Markup) return unsupported('this filter on escaped text')
  return typeof value === 'string' ? value : typeError(`expected str, got ${typeName(value)}`)
}

const indent: Filter = (rt, value, given) => {
  const [width = 4, first = false, blank = false] = bind('indent', given, 'width?', 'first?', 'blank?')
  const by = typeof width === 'string' ? width : binary(rt, '*', ' ', width)
  const text = needText(value)
  if (typeof by !== 'string') return typeError('width must be int or str')
  const lines = splitLines(`${text}\n`)
  rt.room(text.length + lines.length * (by.length + 1))
  let result: string
  if (isTrue(blank)) result = lines.join(`\n${by}`)
  else {
    const [head = '', ...rest] = lines
    result = [head, ...rest.map((line) => (line === '' ? line : by + line))].join('\n')
  }
  return isTrue(first) ? by + result : result
}

const truncateFilter: Filter = (rt, value, given) => {
  const [lengthGiven = 255, killWords = false, endGiven = '...', leewayGiven = 5] = bind(
    'truncate',
    given,
    'length?',
    'killwords?',
    'end?',
    'leeway?',
  )
  const length = asCount(lengthGiven, typeName(lengthGiven))
  const leeway = asCount(leewayGiven ?? 5, typeName(leewayGiven))
  const end = typeof endGiven === 'string' ? endGiven : typeError('expected str for end')
  const endLength = codePointLength(end)
  if (length < endLength || leeway < 0) fail('AssertionError', `expected length >= ${endLength}, got ${length}`)
  const size = lengthOf(value, codePointLength)
  if (size === undefined) return typeError(`object of type '${typeName(value)}' has no len()`)
  if (size <= length + leeway) return value
  const text = needText(value)
  rt.step(text.length >> 4)
  const cut = codePoints(text)
    .slice(0, length - endLength)
    .join('')
  return (isTrue(killWords) ? cut : (splitAt(cut, ' ', 1, true)[0] as string)) + end
}

const WHITE = /([\t\n\v\f\r ]+)/

const wordWrap: Filter = (rt, value, given) => {
  const [widthGiven = 79, breakLong = true, wrapGiven = null, breakOnHyphens = true] = bind(
    'wordwrap',
    given,
    'width?',
    'break_long_words?',
    'wrapstring?',
    'break_on_hyphens?',
  )
  const width = asCount(widthGiven, typeName(widthGiven))
  const by = wrapGiven === null ? '\n' : needText(wrapGiven)
  const text = needText(value)
  rt.step(text.length)
  if (isTrue(breakOnHyphens) && text.includes('-')) {
    return unsupported('wordwrap of text with hyphens (unless break_on_hyphens=false)')
  }
  if (width <= 0) return splitLines(text).length === 0 ? '' : valueError(`invalid width ${width} (must be > 0)`)
  return splitLines(text)
    .map((line) => wrapLine(line, width, isTrue(breakLong)).join(by))
    .join(by)
}

function wrapLine(line: string, width: number, breakLong: boolean): string[] {
  const chunks = line
    .split(WHITE)
    .filter((chunk) => chunk !== '')
    .map(codePoints)
    .reverse()
  const lines: string[] = []
  while (chunks.length > 0) {
    const current: string[][] = []
    let length = 0
    if (lines.length > 0 && isBlank(chunks.at(-1))) chunks.pop()
    while (chunks.length > 0 && length + (chunks.at(-1)?.length ?? 0) <= width) {
      const chunk = chunks.pop() as string[]
      current.push(chunk)
      length += chunk.length
    }
    const next = chunks.at(-1)
    if (next !== undefined && next.length > width) {
      const room = width - length
      if (breakLong) {
        current.push(next.slice(0, room))
        chunks[chunks.length - 1] = next.slice(room)
      } else if (current.length === 0) current.push(chunks.pop() as string[])
    }
    if (isBlank(current.at(-1))) current.pop()
    if (current.length > 0) lines.push(current.flat().join(''))
  }
  return lines
}

function isBlank(chunk: readonly string[] | undefined): boolean {
  return chunk !== undefined && strip(chunk.join(''), true, true) === ''
}

function quoteUrl(rt: Runtime, value: Value, forQuery: boolean): string {
  const text = textOf(value) ?? str(rt, value)
  rt.room(text.length * 3)
  const quoted = encodeURIComponent(text).replace(
    /[!'()*]/g,
    (unit) => `%${unit.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return forQuery ? quoted.replaceAll('%20', '+') : quoted.replaceAll('%2F', '/')
}

const urlEncode: Filter = (rt, value, given) => {
  bind('urlencode', given)
  const isIterable = textOf(value) === undefined && !isNumeric(value) && value !== null
  if (!isIterable) return quoteUrl(rt, value, false)
  const items = value instanceof Dict ? Array.from(value.entries(), (pair) => new Tuple(pair)) : listOf(rt, value)
  return items
    .map((item) => {
      const pair = listOf(rt, item)
      if (pair.length !== 2) return valueError('expected pairs of key and value')
      return `${quoteUrl(rt, pair[0] as Value, true)}=${quoteUrl(rt, pair[1] as Value, true)}`
    })
    .join('&')
}

const PREFIXES = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y']

const fileSize: Filter = (_, value, given) => {
  const [binaryGiven = false] = bind('filesizeformat', given, 'binary?')
  if (value instanceof Undefined) return value.fail()
  if (typeof value === 'string') return unsupported('filesizeformat of text')
  if (!isNumeric(value))
    return typeError(`float() argument must be a string or a real number, not '${typeName(value)}'`)
  const bytes = toFloat(value)
  const isBinary = isTrue(binaryGiven)
  const base = isBinary ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${truncate(bytes)} Bytes`
  let index = 0
  while (index < PREFIXES.length - 1 && bytes >= base ** (index + 2)) index++
  const scaled = float((base * bytes) / base ** (index + 2)).value
  const prefix = PREFIXES[index] as string
  return `${floatDigits(scaled, 'f', 1)} ${isBinary ? prefix.toUpperCase() : prefix}${isBinary ? 'iB' : 'B'}`
}

const stripTags: Filter = (rt, value, given) => {
  bind('striptags', given)
  let text = textOf(value) ?? str(rt, value)
  for (const [open, close] of [
    ['<!--', '-->'],
    ['<', '>'],
  ] as const) {
    let from = 0
    for (;;) {
      const start = text.indexOf(open, from)
      const end = start < 0 ? -1 : text.indexOf(close, start)
      if (end < 0) break
      rt.step(1 + (text.length >> 4))
      text = text.slice(0, start) + text.slice(end + close.length)
      from = Math.max(0, start - open.length)
    }
  }
  if (text.includes('&')) return unsupported('striptags of text with HTML entities')
  return splitSpace(text, -1).join(' ')
}

const xmlAttributes: Filter = (rt, value, given) => {
  const [autospace = true] = bind('xmlattr', given, 'autospace?')
  if (value instanceof Undefined) return value.fail()
  if (!(value instanceof Dict)) return fail('AttributeError', `'${typeName(value)}' object has no attribute 'items'`)
  const items: string[] = []
  for (const [key, item] of value.entries()) {
    if (item === null || item instanceof Undefined) continue
    const name = typeof key === 'string' ? key : typeError('expected string or bytes-like object')
    if (/[\s/>=]/.test(name)) valueError(`Invalid character in attribute name: ${repr(rt, name)}`)
    items.push(`${escapeHtml(name)}="${escaped(rt, item).text}"`)
  }
  const text = items.join(' ')
  return isTrue(autospace) && text !== '' ? ` ${text}` : text
}

function escaped(rt: Runtime, value: Value): Markup {
  if (value instanceof Markup) return value
  const text = str(rt, value)
  rt.room(text.length * 6)
  return new Markup(escapeHtml(text))
}

const escapeFilter: Filter = (rt, value, given) => {
  bind('escape', given)
  return escaped(rt, value)
}

export const TEXT_FILTERS: Readonly<Record<string, Filter>> = {
  capitalize(rt, value, given) {
    bind('capitalize', given)
    return change(rt, value, capitalized)
  },
  center(rt, value, given) {
    const [width = 80] = bind('center', given, 'width?')
    return change(rt, value, (text) => center(rt, text, asCount(width, typeName(width))))
  },
  e: escapeFilter,
  escape: escapeFilter,
  filesizeformat: fileSize,
  forceescape(rt, value, given) {
    bind('forceescape', given)
    return escaped(rt, textOf(value) ?? str(rt, value))
  },
  format(rt, value, given) {
    if (given.args.length > 0 && given.kwargs.size > 0) {
      return fail('FilterArgumentError', "can't handle positional and keyword arguments at the same time")
    }
    if (value instanceof Markup) return unsupported('formatting escaped text')
    const operand = given.kwargs.size > 0 ? Dict.of(given.kwargs) : new Tuple(given.args)
    return percentFormat(rt, str(rt, value), operand)
  },
  indent,
  join(rt, value, given) {
    const [separator = '', attribute = null] = bind('join', given, 'd?', 'attribute?')
    const by = str(rt, separator)
    const get = attributeGetter(rt, attribute)
    const parts: string[] = []
    let length = 0
    const iterator = iterate(value)
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      const part = str(rt, get(next.value))
      rt.step()
      length += part.length + by.length
      rt.fits(length)
      parts.push(part)
    }
    return parts.join(by)
  },
  lower(rt, value, given) {
    bind('lower', given)
    return change(rt, value, (text) => text.toLowerCase())
  },
  replace(rt, value, given) {
    const [old, by, count] = bind('replace', given, 'old', 'new', 'count?')
    const text = str(rt, value)
    return replaced(rt, text, str(rt, old as Value), str(rt, by as Value), count ?? undefined)
  },
  safe(rt, value, given) {
    bind('safe', given)
    return value instanceof Markup ? value : new Markup(str(rt, value))
  },
  string(rt, value, given) {
    bind('string', given)
    return value instanceof Markup ? value : str(rt, value)
  },
  striptags: stripTags,
  title(rt, value, given) {
    bind('title', given)
    const text = textOf(value) ?? str(rt, value)
    rt.step(text.length)
    return text
      .split(TITLE_WORDS)
      .map((word) => {
        const [first = '', ...rest] = Array.from(word)
        return first.toUpperCase() + rest.join('').toLowerCase()
      })
      .join('')
  },
  trim(rt, value, given) {
    const [chars = null] = bind('trim', given, 'chars?')
    if (chars instanceof Undefined) return chars.fail()
    if (chars !== null && typeof chars !== 'string') return typeError('strip arg must be None or str')
    return change(rt, value, (text) => strip(text, true, true, chars ?? undefined))
  },
  truncate: truncateFilter,
  upper(rt, value, given) {
    bind('upper', given)
    return change(rt, value, (text) => text.toUpperCase())
  },
  urlencode: urlEncode,
  urlize: () => unsupported('the filter urlize'),
  wordcount(rt, value, given) {
    bind('wordcount', given)
    const text = textOf(value) ?? str(rt, value)
    rt.step(text.length >> 4)
    return text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0
  },
  wordwrap: wordWrap,
  xmlattr: xmlAttributes,
}
