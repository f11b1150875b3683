/**
 * @file Numbers of JSON as expressions over their digits: whole numbers and decimal fractions between two bounds.
 * Comparing decimal texts is comparing the numbers that JSON.parse makes of them, as rounding keeps their order.
 */

import { OptionError } from '../lowrank-error.js'

/** Digits behind the point of a number with bounds; without bounds, too. */
const FRACTION = 24
const DIGITS = 21

/** Any whole number of at most 20 digits. */
export const ANY_INTEGER = '0|-?[1-9][0-9]{0,19}'

/** Any number that JSON.parse makes finite: with an exponent only one digit stands before the point. */
export const ANY_NUMBER =
  `-?(?:0|[1-9][0-9]{0,${DIGITS - 1}})(?:\\.[0-9]{1,${FRACTION}})?|` +
  `-?[1-9](?:\\.[0-9]{1,${FRACTION}})?[eE](?:\\+?(?:[0-9]{1,2}|[12][0-9]{2}|30[0-7])|-(?:[0-9]{1,2}|[12][0-9]{2}|3[01][0-9]))`

/** Bounds of a number, both included; infinite where there is none. */
export interface Bounds {
  readonly low: number
  readonly high: number
}

const LARGEST = 10n ** BigInt(DIGITS) - 1n

/** The whole numbers between bounds; undefined where there are none. */
export function integersBetween({ low, high }: Bounds): string | undefined {
  const first = low === Number.NEGATIVE_INFINITY ? -LARGEST : max(BigInt(Math.ceil(low)), -LARGEST)
  const last = high === Number.POSITIVE_INFINITY ? LARGEST : min(BigInt(Math.floor(high)), LARGEST)
  const ways: string[] = []
  if (first < 0n && first <= last) ways.push(`-(?:${naturals(max(1n, -last), -first)})`)
  if (last >= 0n && first <= last) ways.push(naturals(max(0n, first), last))
  return joined(ways)
}

/** The numbers between bounds, written without an exponent; undefined where there are none. */
export function numbersBetween({ low, high }: Bounds): string | undefined {
  const largest = (LARGEST + 1n) * 10n ** BigInt(FRACTION) - 1n
  const first = low === Number.NEGATIVE_INFINITY ? -largest : max(scaled(low, true), -largest)
  const last = high === Number.POSITIVE_INFINITY ? largest : min(scaled(high, false), largest)
  if (first > last) return undefined
  const ways: string[] = []
  const below = decimals(max(1n, -last), -first)
  if (first < 0n && below !== undefined) ways.push(`-(?:${below})`)
  const above = decimals(max(0n, first), last)
  if (last >= 0n && above !== undefined) ways.push(above)
  return joined(ways)
}

/** The next number that a double holds, above or below. */
export function neighbour(value: number, isAbove: boolean): number {
  if (value === 0) return isAbove ? Number.MIN_VALUE : -Number.MIN_VALUE
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  view.setBigInt64(0, view.getBigInt64(0) + (value > 0 === isAbove ? 1n : -1n))
  return view.getFloat64(0)
}

/** A number in units of the last digit that is written, rounded into the bounds. */
function scaled(value: number, isLow: boolean): bigint {
  const [, sign = '', whole = '', fraction = '', power = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? []
  const shift = FRACTION - fraction.length + Number(power)
  const digits = BigInt(`${sign}${whole}${fraction}`)
  if (shift >= 0) return digits * 10n ** BigInt(shift)
  const unit = 10n ** BigInt(-shift)
  const quotient = digits / unit
  const rest = digits % unit
  if (rest > 0n && isLow) return quotient + 1n
  return rest < 0n && !isLow ? quotient - 1n : quotient
}

/** Whole numbers from `first` to `last`, neither negative, without leading zeros. */
function naturals(first: bigint, last: bigint): string {
  const ways: string[] = []
  for (let length = String(first).length; length <= String(last).length; length++) {
    const low = max(first, length === 1 ? 0n : 10n ** BigInt(length - 1))
    const high = min(last, 10n ** BigInt(length) - 1n)
    if (low <= high) ways.push(between(String(low), String(high)))
  }
  return joined(ways)!
}

/** Digits between two texts of the same length. */
function between(low: string, high: string): string {
  const { length } = low
  if (length === 0) return ''
  if (/^0*$/.test(low) && /^9*$/.test(high)) return `[0-9]{${length}}`
  const [first, last] = [Number(low[0]), Number(high[0])]
  if (first === last) return `${first}${between(low.slice(1), high.slice(1))}`
  const ways = [`${first}${between(low.slice(1), '9'.repeat(length - 1))}`]
  if (first + 1 < last) ways.push(`[${first + 1}-${last - 1}][0-9]{${length - 1}}`)
  ways.push(`${last}${between('0'.repeat(length - 1), high.slice(1))}`)
  return `(?:${ways.join('|')})`
}

/** Decimal fractions between two numbers of units, neither negative. */
function decimals(first: bigint, last: bigint): string | undefined {
  if (first > last) return undefined
  const unit = 10n ** BigInt(FRACTION)
  const [low, high] = [first / unit, last / unit]
  const digits = (value: bigint): string => String(value % unit).padStart(FRACTION, '0')
  const zeros = '0'.repeat(FRACTION)
  const nines = '9'.repeat(FRACTION)
  if (low === high) return `${low}${fraction(digits(first), digits(last))}`
  const ways = [`${low}${fraction(digits(first), nines)}`, `${high}${fraction(zeros, digits(last))}`]
  if (low + 1n < high) ways.push(`(?:${naturals(low + 1n, high - 1n)})${fraction(zeros, nines)}`)
  return joined(ways)
}

/** A point with digits; none where nothing stands for zeros. */
function fraction(low: string, high: string): string {
  const inner = padded(low, high)
  const isOptional = /^0*$/.test(low)
  return inner === undefined ? '' : `(?:\\.${inner})${isOptional ? '?' : ''}`
}

/** One digit or more that stand between two texts once zeros fill them up. */
function padded(low: string, high: string): string | undefined {
  const { length } = low
  if (length === 0) return undefined
  if (/^0*$/.test(low) && /^9*$/.test(high)) return `[0-9]{1,${length}}`
  const [first, last] = [Number(low[0]), Number(high[0])]
  const way = (digit: number, from: string, until: string): string => {
    const rest = padded(from, until)
    if (rest === undefined) return String(digit)
    return `${digit}(?:${rest})${/^0*$/.test(from) ? '?' : ''}`
  }
  const [restLow, restHigh] = [low.slice(1), high.slice(1)]
  if (first === last) return way(first, restLow, restHigh)
  const ways = [way(first, restLow, '9'.repeat(length - 1)), way(last, '0'.repeat(length - 1), restHigh)]
  if (first + 1 < last) ways.push(`[${first + 1}-${last - 1}][0-9]{0,${length - 1}}`)
  return `(?:${ways.join('|')})`
}

function joined(ways: readonly string[]): string | undefined {
  return ways.length === 0 ? undefined : `(?:${ways.join('|')})`
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

/** @throws OptionError for what cannot be followed exactly */
export function expectWhole(divisor: number, path: string): number {
  if (Number.isSafeInteger(divisor) && divisor > 0) return divisor
  throw new OptionError(
    `[json schema] expected a whole number above 0 for multipleOf at ${path}, got ${divisor}; fractions have no exact ` +
      'remainder in binary numbers, and are not supported',
  )
}
