/** @file Python's `%` on text, and the fixed and exponent forms of floats that `%` and `format` share. */

import { PythonFloat } from '../../lossless-json.js'
import { fail, typeError, unsupported, valueError } from './errors.js'
import { fractionOf, type Int, int, intOf, isNumeric, roundHalfEven, toFloat, truncate } from './numbers.js'
import { ascii, intText, repr, str } from './repr.js'
import type { Runtime } from './runtime.js'
import { codePointLength, codePoints } from './text.js'
import { Dict, isInt, Range, Tuple, typeName, Undefined, type Value } from './values.js'

const MAX_WIDTH = 1 << 20

const DIRECTIVE = /%(?:\(((?:[^()])*)\))?([-+ #0]*)(\*|[0-9]+)?(?:\.(\*|[0-9]*))?[hlL]?(.?)/suy

/** `text % value`. */
export function percentFormat(rt: Runtime, text: string, value: Value): string {
  const isTuple = value instanceof Tuple
  const args: readonly Value[] = isTuple ? value.items : [value]
  let used = 0
  let named = false
  let result = ''
  const next = (): Value => {
    if (used >= args.length) return typeError('not enough arguments for format string')
    return args[used++] as Value
  }
  const size = (spec: string | undefined): number | undefined => {
    if (spec === undefined) return undefined
    if (spec !== '*') return checkWidth(Number(spec || 0))
    const given = next()
    return isInt(given) ? checkWidth(Number(intOf(given))) : typeError('* wants int')
  }
  let start = 0
  for (let at = text.indexOf('%'); at >= 0; at = text.indexOf('%', start)) {
    result += text.slice(start, at)
    rt.step()
    DIRECTIVE.lastIndex = at
    const match = DIRECTIVE.exec(text)
    if (match === null) return valueError('incomplete format key')
    start = DIRECTIVE.lastIndex
    const [, key, flags = '', widthSpec, precisionSpec, type = ''] = match
    if (key === undefined && text[at + 1] === '(') return unsupported('a format key with parentheses in it')
    if (key !== undefined && !(value instanceof Dict)) return typeError('format requires a mapping')
    let width = size(widthSpec) ?? 0
    const precision = size(precisionSpec)
    let flag = flags
    if (width < 0) {
      flag += '-'
      width = -width
    }
    if (match[0] === '%%') {
      result += '%'
      continue
    }
    if (type === '') return valueError('incomplete format')
    if (!'diouxXeEfFgGcrsa'.includes(type)) return valueError(`unsupported format character '${type}'`)
    let given: Value
    if (key === undefined) given = next()
    else {
      named = true
      const entry = (value as Dict).get(key)
      given = entry === undefined ? fail('KeyError', key) : entry
    }
    const piece = convert(rt, type, given, flag, precision === undefined ? undefined : Math.max(0, precision))
    result += padded(piece, flag, width, 'diouxXeEfFgG'.includes(type))
    rt.fits(result.length)
  }
  // Python does not count what it takes for a mapping: anything that has items by key.
  const isMapping =
    value instanceof Dict || Array.isArray(value) || value instanceof Undefined || value instanceof Range
  if (!named && used < args.length && !isMapping) {
    return typeError('not all arguments converted during string formatting')
  }
  return result + text.slice(start)
}

function checkWidth(width: number): number {
  if (Math.abs(width) > MAX_WIDTH) fail('Bounds', `expected a width of at most ${MAX_WIDTH}, got ${width}`)
  return width
}

function padded(piece: string, flags: string, width: number, isNumber: boolean): string {
  const missing = width - codePointLength(piece)
  if (missing <= 0) return piece
  if (flags.includes('-')) return piece + ' '.repeat(missing)
  if (!flags.includes('0') || !isNumber || /inf|nan/i.test(piece)) {
    return (flags.includes('0') && isNumber ? '0' : ' ').repeat(missing) + piece
  }
  const sign = /^[+\- ]?(?:0[xXo])?/.exec(piece)?.[0] ?? ''
  return sign + '0'.repeat(missing) + piece.slice(sign.length)
}

function convert(rt: Runtime, type: string, value: Value, flags: string, precision: number | undefined): string {
  if (type === 's' || type === 'r' || type === 'a') {
    const text = type === 's' ? str(rt, value) : type === 'r' ? repr(rt, value) : ascii(rt, value)
    return precision === undefined ? text : codePoints(text).slice(0, precision).join('')
  }
  if (type === 'c') return character(value)
  if (value instanceof Undefined) value.fail()
  if (!isNumeric(value)) {
    const wanted = 'diu'.includes(type)
      ? 'a real number is required'
      : 'oxX'.includes(type)
        ? 'an integer is required'
        : 'must be real number'
    return typeError(`%${type} format: ${wanted}, not ${typeName(value)}`)
  }
  const plus = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''
  if ('eEfFgG'.includes(type)) {
    const number = toFloat(value)
    const negative = number < 0 || Object.is(number, -0)
    return (negative ? '-' : plus) + floatDigits(Math.abs(number), type, precision ?? 6, flags.includes('#'))
  }
  let whole: Int
  if (value instanceof PythonFloat) {
    if ('oxX'.includes(type)) return typeError(`%${type} format: an integer is required, not float`)
    whole = truncate(value.value)
  } else whole = intOf(value)
  const base = { o: 8, x: 16, X: 16 }[type] ?? 10
  const size = whole < 0 ? int(-BigInt(whole)) : whole
  let digits = (base === 10 ? intText(size) : size.toString(base)).padStart(precision ?? 0, '0')
  if (type === 'X') digits = digits.toUpperCase()
  const prefix = flags.includes('#') && base !== 10 ? `0${type}` : ''
  return (whole < 0 ? '-' : plus) + prefix + digits
}

function character(value: Value): string {
  if (typeof value === 'string') {
    return codePointLength(value) === 1 ? value : typeError('%c requires int or char')
  }
  if (!isInt(value)) return typeError('%c requires int or char')
  return fromCodePoint(intOf(value))
}

/** The character of a number. @throws OverflowError for what is none */
export function fromCodePoint(code: Int): string {
  if (typeof code === 'bigint' || code < 0 || code > 0x10ffff)
    return fail('OverflowError', '%c arg not in range(0x110000)')
  if (code >= 0xd800 && code <= 0xdfff) return unsupported('half of a surrogate pair')
  return String.fromCodePoint(code)
}

/**
 * A float that is not negative in the form of a conversion letter.
 *
 * @param alternate keep the point and trailing zeros.
 */
export function floatDigits(value: number, type: string, precision: number, alternate = false): string {
  const upper = type === type.toUpperCase()
  if (!Number.isFinite(value)) return (upper ? ['INF', 'NAN'] : ['inf', 'nan'])[Number.isNaN(value) ? 1 : 0] as string
  const kind = type.toLowerCase()
  if (kind === 'f') return fixed(value, precision) + (alternate && precision === 0 ? '.' : '')
  if (kind === 'e') {
    const [digits, exponent] = scientific(value, precision)
    return exponentForm(digits, exponent, upper, alternate)
  }
  const wanted = precision === 0 ? 1 : precision
  const [digits, exponent] = scientific(value, wanted - 1)
  let text: string
  let tail = ''
  if (exponent < -4 || exponent >= wanted) {
    text = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits
    tail = exponentForm('', exponent, upper, false)
  } else if (exponent < 0) text = `0.${'0'.repeat(-exponent - 1)}${digits}`
  else {
    const whole = digits.slice(0, exponent + 1)
    text = digits.length > exponent + 1 ? `${whole}.${digits.slice(exponent + 1)}` : whole
  }
  if (!alternate && text.includes('.')) text = text.replace(/0+$/, '').replace(/\.$/, '')
  if (alternate && !text.includes('.')) text += '.'
  return text + tail
}

/** Digits of the value rounded to `precision` places, exactly. */
function fixed(value: number, precision: number): string {
  const [n, d] = fractionOf(value)
  const digits = String(roundHalfEven(n * 10n ** BigInt(precision), d)).padStart(precision + 1, '0')
  return precision === 0 ? digits : `${digits.slice(0, -precision)}.${digits.slice(-precision)}`
}

/** `precision + 1` digits and the exponent of ten of the first, rounded exactly. */
function scientific(value: number, precision: number): [string, number] {
  if (value === 0) return ['0'.repeat(precision + 1), 0]
  const [n, d] = fractionOf(value)
  let exponent = Number(floatExponent(value))
  for (;;) {
    const scale = precision - exponent
    const digits = String(
      scale >= 0 ? roundHalfEven(n * 10n ** BigInt(scale), d) : roundHalfEven(n, d * 10n ** BigInt(-scale)),
    )
    if (digits.length === precision + 1) return [digits, exponent]
    exponent += digits.length - (precision + 1)
  }
}

function floatExponent(value: number): string {
  return value.toExponential().split('e')[1] ?? '0'
}

function exponentForm(digits: string, exponent: number, upper: boolean, alternate: boolean): string {
  const point = digits.length > 1 || alternate ? '.' : ''
  const mantissa = digits === '' ? '' : `${digits[0]}${point}${digits.slice(1)}`
  return `${mantissa}${upper ? 'E' : 'e'}${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
}
