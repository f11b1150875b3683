/** @file Python's arithmetic: integers of any size beside floats, and reading and rounding of both. */

import { MAX_INTEGER_DIGITS, PythonFloat } from '../../lossless-json.js'
import { fail, typeError, unsupported, valueError } from './errors.js'
import { strip } from './text.js'
import { isInt, Undefined, type Value } from './values.js'

export type Int = number | bigint

// 2^300,000 has some 90,000 digits; products of such take microseconds.
const MAX_BITS = 300_000

/** An integer as a number where that is exact. */
export function int(value: bigint): Int {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

/** The integer that an int or bool stands for. */
export function intOf(value: Int | boolean): Int {
  return typeof value === 'boolean' ? Number(value) : value
}

export function float(value: number): PythonFloat {
  return new PythonFloat(value)
}

/** The number of a value that is an int, bool or float, as a float. @throws OverflowError for integers beyond floats */
export function toFloat(value: Int | boolean | PythonFloat): number {
  if (value instanceof PythonFloat) return value.value
  const number = Number(value)
  if (!Number.isFinite(number)) fail('OverflowError', 'int too large to convert to float')
  return number
}

export function isNumeric(value: Value): value is Int | boolean | PythonFloat {
  return isInt(value) || value instanceof PythonFloat
}

/** An argument that Python takes as an index or count. @throws TypeError for other values */
export function asIndex(value: Value, what = 'value'): Int {
  if (value instanceof Undefined) value.fail()
  if (!isInt(value)) return typeError(`'${what}' object cannot be interpreted as an integer`)
  return intOf(value)
}

/** An index or count, clamped to what JavaScript's numbers hold: Python clamps to the text or list anyway. */
export function asCount(value: Value, what?: string): number {
  const index = asIndex(value, what)
  if (typeof index === 'number') return index
  return index > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER
}

function bits(value: bigint): number {
  return (value < 0n ? -value : value).toString(16).length * 4
}

export function binaryNumber(operator: string, left: Int | boolean | PythonFloat, right: Int | boolean | PythonFloat) {
  if (left instanceof PythonFloat || right instanceof PythonFloat) {
    return operator === '**' ? floatPower(left, right) : float(floatBinary(operator, toFloat(left), toFloat(right)))
  }
  const a = intOf(left)
  const b = intOf(right)
  return operator === '/' ? float(divide(a, b)) : intBinary(operator, a, b)
}

function intBinary(operator: string, a: Int, b: Int): Value {
  if (typeof a === 'number' && typeof b === 'number') {
    const result = operator === '+' ? a + b : operator === '-' ? a - b : operator === '*' ? a * b : undefined
    if (result !== undefined && Number.isSafeInteger(result)) return result === 0 ? 0 : result
    if (operator === '%' && b !== 0) {
      const rest = a % b
      return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest === 0 ? 0 : rest
    }
  }
  const x = BigInt(a)
  const y = BigInt(b)
  switch (operator) {
    case '+':
      return int(x + y)
    case '-':
      return int(x - y)
    case '*':
      if (bits(x) + bits(y) > MAX_BITS) fail('Bounds', 'expected integers of less digits, got a product beyond them')
      return int(x * y)
    case '**':
      return intPower(x, y)
  }
  if (y === 0n) fail('ZeroDivisionError', 'integer division or modulo by zero')
  const rest = x % y
  const wrong = rest !== 0n && rest < 0n !== y < 0n
  return int(operator === '%' ? (wrong ? rest + y : rest) : x / y - (wrong ? 1n : 0n))
}

function intPower(base: bigint, exponent: bigint): Value {
  if (exponent < 0n) {
    if (base === 0n) fail('ZeroDivisionError', '0.0 cannot be raised to a negative power')
    return floatPower(int(base), int(exponent))
  }
  const small = base === 0n || base === 1n || base === -1n
  if (small) return int(exponent === 0n ? 1n : base === -1n ? (exponent % 2n === 0n ? 1n : -1n) : base)
  if (exponent > BigInt(MAX_BITS) || bits(base) * Number(exponent) > MAX_BITS + bits(base)) {
    fail('Bounds', 'expected integers of less digits, got a power beyond them')
  }
  return int(base ** exponent)
}

/** `a / b` of two integers, correctly rounded. */
function divide(a: Int, b: Int): number {
  if (b === 0) fail('ZeroDivisionError', 'division by zero')
  if (typeof a === 'number' && typeof b === 'number') return a / b
  return ratio(BigInt(a), BigInt(b))
}

/**
 * The float nearest to a fraction, ties to even.
 *
 * @param isPower Refuses a fraction that is nearly between two floats: C's `pow`, which Python asks, is no more exact
 * than that.
 * @throws OverflowError beyond the largest float
 */
function ratio(numerator: bigint, denominator: bigint, isPower = false): number {
  if (numerator === 0n) return 0
  const negative = numerator < 0n !== denominator < 0n
  let n = numerator < 0n ? -numerator : numerator
  let d = denominator < 0n ? -denominator : denominator
  // Scale so that the quotient has 64 to 65 bits, or as many as a subnormal leaves.
  let shift = d.toString(2).length - n.toString(2).length + 64
  shift = Math.min(shift, 1074 + 12)
  if (shift > 0) n <<= BigInt(shift)
  else d <<= BigInt(-shift)
  let quotient = n / d
  if (n % d !== 0n) quotient |= 1n
  // Bits that go: down to 53, or down to the smallest subnormal's.
  const drop = Math.max(quotient.toString(2).length - 53, shift - 1074)
  if (drop > 0) {
    const half = 1n << BigInt(drop - 1)
    const rest = quotient & ((1n << BigInt(drop)) - 1n)
    const toTie = rest > half ? rest - half : half - rest
    if (isPower && toTie * 12n < half) unsupported('a power that is nearly between two floats')
    quotient >>= BigInt(drop)
    if (rest > half || (rest === half && (quotient & 1n) === 1n)) quotient += 1n
  }
  const scale = Math.max(drop, 0) - shift
  // In two steps, since 2 ** -1074 and 2 ** 1023 are the ends of what a factor can be.
  const result = Number(quotient) * 2 ** Math.max(scale, -1000) * 2 ** Math.min(0, scale + 1000)
  if (!Number.isFinite(result)) fail('OverflowError', 'integer division result too large for a float')
  return negative ? -result : result
}

function floatBinary(operator: string, x: number, y: number): number {
  switch (operator) {
    case '+':
      return x + y
    case '-':
      return x - y
    case '*':
      return x * y
  }
  if (y === 0) fail('ZeroDivisionError', operator === '/' ? 'float division by zero' : 'float floor division by zero')
  if (operator === '/') return x / y
  let rest = x % y
  let quotient = (x - rest) / y
  if (rest !== 0) {
    if (y < 0 !== rest < 0) {
      rest += y
      quotient -= 1
    }
  } else rest = y < 0 ? -0 : 0
  if (operator === '%') return rest
  if (quotient === 0) return x / y < 0 || Object.is(x / y, -0) ? -0 : 0
  const floor = Math.floor(quotient)
  return quotient - floor > 0.5 ? floor + 1 : floor
}

function floatPower(left: Int | boolean | PythonFloat, right: Int | boolean | PythonFloat): PythonFloat {
  const x = toFloat(left)
  const y = toFloat(right)
  if (x === 0 && y < 0) fail('ZeroDivisionError', '0.0 cannot be raised to a negative power')
  if (y === 0 || x === 1) return float(1)
  if (x === 0) return float(y % 2 === 1 ? x : 0)
  if (!Number.isFinite(x) || !Number.isFinite(y)) return x === -1 ? float(1) : float(x ** y)
  // Libraries of C and JavaScript differ in the last bit of other powers; those of whole and half exponents can be
  // exact.
  const isRoot = !Number.isInteger(y)
  if (!Number.isInteger(2 * y) || (isRoot && x < 0) || Math.abs(y) > 1100) {
    return unsupported(`a float raised to the power ${y}`)
  }
  const [n, d] = fractionOf(x)
  const power = BigInt(Math.abs(isRoot ? 2 * y : y))
  if (BigInt(bits(n) + bits(d)) * power > BigInt(MAX_BITS)) return unsupported('a large power of a float')
  const [top, bottom] = isRoot ? rootOf(n ** power, d ** power) : [n ** power, d ** power]
  return float(y > 0 ? ratio(top, bottom, true) : ratio(bottom, top, true))
}

/** The square root of a fraction, exactly or to so many digits that no float is closer than the other. */
function rootOf(n: bigint, d: bigint): [bigint, bigint] {
  const missing = BigInt(Math.max(0, 160 - bits(n) - bits(d)))
  const square = (n * d) << (2n * missing)
  let root = 1n << BigInt((bits(square) >> 1) + 1)
  for (let next = (root + square / root) >> 1n; next < root; next = (root + square / root) >> 1n) root = next
  // What is left over makes it no tie.
  return [2n * root + (root * root === square ? 0n : 1n), (2n * d) << missing]
}

/** A finite float as an exact fraction. */
export function fractionOf(value: number): [bigint, bigint] {
  let exponent = 0
  let mantissa = value
  while (!Number.isInteger(mantissa)) {
    mantissa *= 2
    exponent++
  }
  return [BigInt(mantissa), 1n << BigInt(exponent)]
}

export function negate(value: Int | boolean | PythonFloat): Value {
  if (value instanceof PythonFloat) return float(-value.value)
  const whole = intOf(value)
  return typeof whole === 'number' ? (whole === 0 ? 0 : -whole) : int(-whole)
}

/** `int(value)` of a float. */
export function truncate(value: number): Int {
  if (Number.isNaN(value)) valueError('cannot convert float NaN to integer')
  if (!Number.isFinite(value)) fail('OverflowError', 'cannot convert float infinity to integer')
  return int(BigInt(Math.trunc(value)))
}

const PREFIXES: Readonly<Record<string, number>> = { '0b': 2, '0o': 8, '0x': 16 }

/** `int(text, base)`. @throws ValueError for text that is no integer */
export function parseInteger(text: string, base: number): Int {
  const invalid = (): never => valueError(`invalid literal for int() with base ${base}`)
  let body = asciiDigits(strip(text, true, true)).toLowerCase()
  const negative = body.startsWith('-')
  if (negative || body.startsWith('+')) body = body.slice(1)
  const prefix = PREFIXES[body.slice(0, 2)]
  let radix = base
  if (base === 0) {
    radix = prefix ?? 10
    if (prefix === undefined && /^0[0_]*[1-9]/.test(body)) return invalid()
  }
  if (prefix !== undefined && prefix === radix) {
    body = body.slice(2)
    if (body.startsWith('_')) body = body.slice(1)
  }
  if (radix < 2 || radix > 36) return valueError('int() base must be >= 2 and <= 36, or 0')
  if (body.startsWith('_') || body.endsWith('_') || body.includes('__')) return invalid()
  body = body.replaceAll('_', '')
  if (body === '' || [...body].some((digit) => !/[0-9a-z]/.test(digit) || Number.parseInt(digit, 36) >= radix))
    return invalid()
  if (![2, 4, 8, 16, 32].includes(radix) && body.length > MAX_INTEGER_DIGITS) {
    return valueError(`Exceeds the limit (${MAX_INTEGER_DIGITS} digits) for integer string conversion`)
  }
  const prefixes: Readonly<Record<number, string>> = { 2: '0b', 8: '0o', 10: '', 16: '0x' }
  const known = prefixes[radix]
  const value = known === undefined ? anyBase(body, radix) : BigInt(known + body)
  return int(negative ? -value : value)
}

function anyBase(digits: string, radix: number): bigint {
  if (digits.length > MAX_INTEGER_DIGITS) return unsupported('an integer of many digits')
  let value = 0n
  for (const digit of digits) value = value * BigInt(radix) + BigInt(Number.parseInt(digit, 36))
  return value
}

const FLOAT = /^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)$/i

/** `float(text)`. @throws ValueError for text that is no number */
export function parseFloatText(text: string): number {
  let body = asciiDigits(strip(text, true, true))
  if (body.includes('_')) {
    if (!/^[^_]|[^_]$/.test(body) || !/^(?:[^_]|(?<=[0-9])_(?=[0-9]))+$/.test(body))
      valueError('could not convert string to float')
    body = body.replaceAll('_', '')
  }
  if (!FLOAT.test(body)) valueError('could not convert string to float')
  const word = body.replace(/^[+-]/, '').toLowerCase()
  const sign = body.startsWith('-') ? -1 : 1
  if (word === 'nan') return Number.NaN
  return word.startsWith('inf') ? sign * Number.POSITIVE_INFINITY : Number(body)
}

/** Digits of other scripts as Python reads them: their decimal value. */
function asciiDigits(text: string): string {
  if (!/[^\0-\x7f]/.test(text)) return text
  return text.replace(/\p{Nd}/gu, (digit) => String(decimalValue(digit)))
}

/** Value of a decimal digit of any script: they come in runs of ten. */
function decimalValue(digit: string): number {
  const code = digit.codePointAt(0) as number
  // Mathematical digits are five runs without a gap between them.
  if (code >= 0x1d7ce && code <= 0x1d7ff) return (code - 0x1d7ce) % 10
  let start = code
  while (code - start < 10 && /\p{Nd}/u.test(String.fromCodePoint(start - 1))) start--
  return (code - start) % 10
}

/** `round(value, digits)` of a float, exactly: half to even of the value that the float has. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 323) return value
  if (digits < -309) return value < 0 ? -0 : 0
  const [n, d] = fractionOf(Math.abs(value))
  const scale = 10n ** BigInt(Math.abs(digits))
  const [top, bottom] = digits >= 0 ? [n * scale, d] : [n, d * scale]
  const whole = roundHalfEven(top, bottom)
  const result = digits >= 0 ? ratio(whole, scale) : Number(whole * scale)
  if (!Number.isFinite(result)) fail('OverflowError', 'rounded value too large to represent')
  return value < 0 || Object.is(value, -0) ? -result : result
}

/** The integer nearest to a fraction of two that are not negative, ties to even. */
export function roundHalfEven(top: bigint, bottom: bigint): bigint {
  const whole = top / bottom
  const twice = (top % bottom) * 2n
  return twice > bottom || (twice === bottom && whole % 2n === 1n) ? whole + 1n : whole
}

/** `round(value, digits)` of an integer. */
export function roundInt(value: Int, digits: number): Int {
  if (digits >= 0) return value
  if (digits < -MAX_INTEGER_DIGITS) return 0
  const scale = 10n ** BigInt(-digits)
  const whole = BigInt(value)
  const rounded = roundHalfEven(whole < 0n ? -whole : whole, scale) * scale
  return int(whole < 0n ? -rounded : rounded)
}
