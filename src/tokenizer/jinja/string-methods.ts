/** @file The methods of str. */

import { bind } from './arguments.js'
import { capitalized, folded, swapped, titled } from './casing.js'
import { typeError, unsupported, valueError } from './errors.js'
import { formatText, type LookUp } from './format.js'
import { asCount } from './numbers.js'
import type { Runtime } from './runtime.js'
import {
  codePointLength,
  codePoints,
  isSpace,
  pointIndex,
  replaceText,
  rsplitSpace,
  splitAt,
  splitLines,
  splitSpace,
  strip,
  unitIndex,
} from './text.js'
import { CLASSES, isLower, isTitle, isUpper } from './unicode.js'
import {
  type CallArguments,
  Callable,
  Dict,
  iterate,
  Markup,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

type Method = (rt: Runtime, text: string, given: CallArguments, name: string, look: LookUp) => Value

/** The attribute `name` of a text, or undefined where Python's str has none. */
export function stringAttribute(text: string, name: string, look: LookUp): Value | undefined {
  const method = METHODS.get(name)
  if (method !== undefined) {
    return new Callable(name, (rt, given) => {
      rt.step(text.length >> 6)
      return method(rt, text, given, name, look)
    })
  }
  return UNSUPPORTED.has(name) ? unsupported(`the method ${name} of text`) : undefined
}

const UNSUPPORTED = new Set(['encode', 'maketrans', 'translate'])

function plain(value: Value | undefined, what: string): string {
  if (value instanceof Undefined) value.fail()
  if (value instanceof Markup) return unsupported('escaped text as an argument of a method')
  return typeof value === 'string' ? value : typeError(`${what} must be str, not ${typeName(value ?? null)}`)
}

const stripWith =
  (left: boolean, right: boolean): Method =>
  (_, text, given, name) => {
    const [chars] = bind(name, given, '/chars?')
    return strip(text, left, right, chars === undefined || chars === null ? undefined : plain(chars, `${name} arg`))
  }

const splitWith =
  (fromRight: boolean): Method =>
  (rt, text, given, name) => {
    const [separator, most] = bind(name, given, 'sep?', 'maxsplit?')
    const maxSplit = most === undefined ? -1 : asCount(most, typeName(most))
    rt.items(text.length >> 2)
    if (separator === undefined || separator === null) {
      return fromRight ? rsplitSpace(text, maxSplit) : splitSpace(text, maxSplit)
    }
    const by = plain(separator, name)
    return by === '' ? valueError('empty separator') : splitAt(text, by, maxSplit, fromRight)
  }

/** Start and end in UTF-16 units, from arguments in characters; undefined where the start lies beyond the end. */
function window(text: string, first: Value | undefined, last: Value | undefined): [number, number] | undefined {
  const length = codePointLength(text)
  const place = (value: Value | undefined, absent: number): number => {
    if (value === undefined || value === null) return absent
    const index = asCount(value, typeName(value))
    return index < 0 ? Math.max(0, index + length) : index
  }
  const start = place(first, 0)
  const end = Math.min(length, place(last, length))
  return start > end || start > length ? undefined : [unitIndex(text, start), unitIndex(text, end)]
}

const findWith =
  (fromRight: boolean, mustFind: boolean): Method =>
  (_, text, given, name) => {
    const [part, first, last] = bind(name, given, '/sub', '/start?', '/end?')
    const wanted = plain(part, 'argument 1')
    const [start, end] = window(text, first, last) ?? [1, 0]
    const within = text.slice(start, end)
    const at = start > end ? -1 : fromRight ? within.lastIndexOf(wanted) : within.indexOf(wanted)
    if (at < 0) return mustFind ? valueError('substring not found') : -1
    return pointIndex(text, start + at)
  }

const affixWith =
  (atEnd: boolean): Method =>
  (_, text, given, name) => {
    const [affix, first, last] = bind(name, given, '/prefix', '/start?', '/end?')
    const window_ = window(text, first, last)
    const within = window_ === undefined ? undefined : text.slice(window_[0], window_[1])
    const affixes = affix instanceof Tuple ? affix.items : [affix as Value]
    return affixes.some((part) => {
      const wanted = typeof part === 'string' ? part : affixError(name, part)
      return within !== undefined && (atEnd ? within.endsWith(wanted) : within.startsWith(wanted))
    })
  }

function affixError(name: string, part: Value): never {
  if (part instanceof Markup) return unsupported('escaped text as an argument of a method')
  return typeError(`${name} first arg must be str or a tuple of str, not ${typeName(part)}`)
}

const justify =
  (side: 'left' | 'right' | 'both'): Method =>
  (rt, text, given, name) => {
    const [width, fill] = bind(name, given, '/width', '/fillchar?')
    const by = fill === undefined ? ' ' : plain(fill, 'The fill character')
    if (codePointLength(by) !== 1) return typeError('The fill character must be exactly one character long')
    return justified(rt, text, asCount(width as Value, typeName(width as Value)), by, side)
  }

function justified(rt: Runtime, text: string, width: number, fill: string, side: 'left' | 'right' | 'both'): string {
  const length = codePointLength(text)
  const missing = width - length
  if (missing <= 0) return text
  rt.room(width)
  // Python's own rule for where the odd blank goes.
  const left = side === 'left' ? 0 : side === 'right' ? missing : (missing >> 1) + (missing & width & 1)
  return fill.repeat(left) + text + fill.repeat(missing - left)
}

/** `text.center(width)`. */
export function center(rt: Runtime, text: string, width: number): string {
  return justified(rt, text, width, ' ', 'both')
}

const partitionWith =
  (fromRight: boolean): Method =>
  (_, text, given, name) => {
    const [separator] = bind(name, given, '/sep')
    const by = plain(separator, name)
    if (by === '') return valueError('empty separator')
    const at = fromRight ? text.lastIndexOf(by) : text.indexOf(by)
    if (at < 0) return new Tuple(fromRight ? ['', '', text] : [text, '', ''])
    return new Tuple([text.slice(0, at), by, text.slice(at + by.length)])
  }

const classTest =
  (pattern: RegExp): Method =>
  (rt, text, given, name) => {
    bind(name, given)
    rt.step(text.length >> 4)
    return pattern.test(text)
  }

/** `str.islower()` or `str.isupper()`. */
function hasCase(
  text: string,
  isThis: (character: string) => boolean,
  isOther: (character: string) => boolean,
): boolean {
  let found = false
  for (const character of text) {
    if (isOther(character) || isTitle(character)) return false
    found ||= isThis(character)
  }
  return found
}

export function isUpperText(text: string): boolean {
  return hasCase(text, isUpper, isLower)
}

export function isLowerText(text: string): boolean {
  return hasCase(text, isLower, isUpper)
}

function isTitleText(text: string): boolean {
  let found = false
  let inWord = false
  for (const character of text) {
    if (isUpper(character) || isTitle(character)) {
      if (inWord) return false
      found = inWord = true
    } else if (isLower(character)) {
      if (!inWord) return false
      found = true
    } else inWord = false
  }
  return found
}

/** `separator.join(items)`. */
function joinTexts(rt: Runtime, separator: string, items: Value): string {
  const parts: string[] = []
  let length = 0
  const iterator = iterate(items)
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    if (next.value instanceof Markup) return unsupported('joining escaped text')
    if (typeof next.value !== 'string') {
      return typeError(`sequence item ${parts.length}: expected str instance, ${typeName(next.value)} found`)
    }
    length += next.value.length + separator.length
    rt.fits(length)
    rt.step()
    parts.push(next.value)
  }
  return parts.join(separator)
}

function expandTabs(rt: Runtime, text: string, size: number): string {
  let column = 0
  let result = ''
  for (const character of text) {
    if (character === '\t') {
      const blanks = size > 0 ? size - (column % size) : 0
      rt.step()
      rt.fits(result.length + blanks)
      result += ' '.repeat(blanks)
      column += blanks
    } else {
      result += character
      column = character === '\n' || character === '\r' ? 0 : column + 1
    }
  }
  return result
}

/** Changes the case of each letter by itself, so that each is a step. */
function caseChange(change: (text: string) => string): Method {
  return (rt, text, given, name) => {
    bind(name, given)
    rt.step(text.length)
    return change(text)
  }
}

function withoutArguments(change: (text: string) => Value): Method {
  return (rt, text, given, name) => {
    bind(name, given)
    rt.step(text.length >> 4)
    return change(text)
  }
}

const METHODS = new Map<string, Method>(
  Object.entries({
    capitalize: caseChange(capitalized),
    casefold: caseChange(folded),
    center: justify('both'),
    count(_, text, given, name) {
      const [part, first, last] = bind(name, given, '/sub', '/start?', '/end?')
      const wanted = plain(part, 'argument 1')
      const bounds = window(text, first, last)
      if (bounds === undefined) return 0
      const within = text.slice(...bounds)
      return wanted === '' ? codePointLength(within) + 1 : within.split(wanted).length - 1
    },
    endswith: affixWith(true),
    expandtabs(rt, text, given, name) {
      const [size] = bind(name, given, 'tabsize?')
      return expandTabs(rt, text, size === undefined ? 8 : asCount(size, typeName(size)))
    },
    find: findWith(false, false),
    format: (rt, text, given, _, look) => formatText(rt, text, given, look),
    format_map(rt, text, given, _, look) {
      if (given.kwargs.size > 0 || given.args.length !== 1) return typeError('format_map() takes exactly one argument')
      const mapping = given.args[0]
      if (!(mapping instanceof Dict)) return unsupported('format_map with something else than a dict')
      const named = new Map<string, Value>()
      for (const [key, value] of mapping.entries()) if (typeof key === 'string') named.set(key, value)
      return formatText(rt, text, { args: [], kwargs: named }, look)
    },
    index: findWith(false, true),
    isalnum: classTest(CLASSES.isalnum as RegExp),
    isalpha: classTest(CLASSES.isalpha as RegExp),
    isascii: withoutArguments((text) => !/[^\0-\x7f]/.test(text)),
    isdecimal: classTest(CLASSES.isdecimal as RegExp),
    isdigit: classTest(CLASSES.isdigit as RegExp),
    isidentifier: withoutArguments((text) => /^[\p{XIDS}_]\p{XIDC}*$/u.test(text)),
    islower: withoutArguments(isLowerText),
    isnumeric: classTest(CLASSES.isnumeric as RegExp),
    isprintable: withoutArguments((text) => !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(text)),
    isspace: withoutArguments(
      (text) => text !== '' && codePoints(text).every((point) => isSpace(point.codePointAt(0) as number)),
    ),
    istitle: withoutArguments(isTitleText),
    isupper: withoutArguments(isUpperText),
    join(rt, text, given, name) {
      const [items] = bind(name, given, '/iterable')
      return joinTexts(rt, text, items as Value)
    },
    ljust: justify('left'),
    lower: withoutArguments((text) => text.toLowerCase()),
    lstrip: stripWith(true, false),
    partition: partitionWith(false),
    removeprefix(_, text, given, name) {
      const [part] = bind(name, given, '/prefix')
      const prefix = plain(part, `${name}() argument`)
      return text.startsWith(prefix) ? text.slice(prefix.length) : text
    },
    removesuffix(_, text, given, name) {
      const [part] = bind(name, given, '/suffix')
      const suffix = plain(part, `${name}() argument`)
      return suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text
    },
    replace(rt, text, given, name) {
      const [old, by, count] = bind(name, given, '/old', '/new', '/count?')
      return replaced(rt, text, plain(old, 'replace() argument 1'), plain(by, 'replace() argument 2'), count)
    },
    rfind: findWith(true, false),
    rindex: findWith(true, true),
    rjust: justify('right'),
    rpartition: partitionWith(true),
    rsplit: splitWith(true),
    rstrip: stripWith(false, true),
    split: splitWith(false),
    splitlines(rt, text, given, name) {
      const [keep] = bind(name, given, 'keepends?')
      rt.items(text.length >> 4)
      return splitLines(text, keep !== undefined && asCount(keep, typeName(keep)) !== 0)
    },
    startswith: affixWith(false),
    strip: stripWith(true, true),
    swapcase: caseChange(swapped),
    title: caseChange(titled),
    upper: withoutArguments((text) => text.toUpperCase()),
    zfill(rt, text, given, name) {
      const [width] = bind(name, given, '/width')
      const size = asCount(width as Value, typeName(width as Value))
      const missing = size - codePointLength(text)
      if (missing <= 0) return text
      rt.room(size)
      const sign = /^[+-]/.test(text) ? text[0] : ''
      return `${sign}${'0'.repeat(missing)}${text.slice((sign as string).length)}`
    },
  } satisfies Record<string, Method>),
)

/** `text.replace(old, by, count)` with room asked for. */
export function replaced(rt: Runtime, text: string, old: string, by: string, count: Value | undefined): string {
  const most = count === undefined ? -1 : asCount(count, typeName(count))
  const times = old === '' ? text.length + 1 : by.length > old.length ? text.split(old).length - 1 : 0
  rt.room(text.length + times * Math.max(0, by.length - old.length))
  return replaceText(text, old, by, most)
}
