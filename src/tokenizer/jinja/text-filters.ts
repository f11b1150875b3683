/** @file Filters that make text. */

import { bind, plainText } from './arguments.js'
import { attributeGetter } from './attributes.js'
import { capitalized } from './casing.js'
import { fail, typeError, unsupported } from './errors.js'
import type { Filter } from './filters.js'
import { asCount } from './numbers.js'
import { binary } from './operators.js'
import { percentFormat } from './percent-format.js'
import { str } from './repr.js'
import type { Runtime } from './runtime.js'
import { center, replaced } from './string-methods.js'
import { codePointLength, codePoints, SPACE_CLASS, splitAt, splitLines, strip } from './text.js'
import { Dict, isTrue, iterate, lengthOf, Markup, Tuple, textOf, typeName, Undefined, type Value } from './values.js'
import { wordWrap } from './wrap-filter.js'

/** Changes the text of anything; escaped text stays such. */
function change(rt: Runtime, value: Value, by: (text: string) => string): Value {
  const text = textOf(value) ?? str(rt, value)
  rt.step(text.length >> 4)
  return value instanceof Markup ? new Markup(by(text)) : by(text)
}

const TITLE_WORDS = new RegExp(`([-${SPACE_CLASS}({[<]+)`)

const indent: Filter = (rt, value, given) => {
  const [width = 4, first = false, blank = false] = bind('indent', given, 'width?', 'first?', 'blank?')
  const by = typeof width === 'string' ? width : binary(rt, '*', ' ', width)
  const text = plainText(value)
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
  const text = plainText(value)
  rt.step(text.length >> 4)
  const cut = codePoints(text)
    .slice(0, length - endLength)
    .join('')
  return (isTrue(killWords) ? cut : (splitAt(cut, ' ', 1, true)[0] as string)) + end
}

export const TEXT_FILTERS: Readonly<Record<string, Filter>> = {
  capitalize(rt, value, given) {
    bind('capitalize', given)
    rt.step(textOf(value)?.length ?? 0)
    return change(rt, value, capitalized)
  },
  center(rt, value, given) {
    const [width = 80] = bind('center', given, 'width?')
    return change(rt, value, (text) => center(rt, text, asCount(width, typeName(width))))
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
  string(rt, value, given) {
    bind('string', given)
    return value instanceof Markup ? value : str(rt, value)
  },
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
  wordcount(rt, value, given) {
    bind('wordcount', given)
    const text = textOf(value) ?? str(rt, value)
    rt.step(text.length >> 4)
    return text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0
  },
  wordwrap: wordWrap,
}
