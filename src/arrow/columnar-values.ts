/**
 * @file Values of typed columns as rows have them, the same for Parquet, Arrow and Delta. What a number cannot hold
 * stays exact: integers beyond 2^53 are bigints, as in JSON files, decimals, dates and times are texts. Errors say what
 * is wrong alone: whoever knows the file puts it in words.
 */

import { PythonFloat } from '../lossless-json.js'
import { DataError } from '../lowrank-error.js'

const MOST_SAFE = BigInt(Number.MAX_SAFE_INTEGER)

/** An integer: a number where it holds it exactly. */
export function integerOf(value: bigint | number): number | bigint {
  if (typeof value === 'number') return value
  return value >= -MOST_SAFE && value <= MOST_SAFE ? Number(value) : value
}

/** A float: templates print 2.0 as Python does, which a number could not tell from 2. */
export function floatOf(value: number): number | PythonFloat {
  return Number.isInteger(value) ? new PythonFloat(value) : value
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @throws DataError for bytes that are not UTF-8 */
export function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (error) {
    throw new DataError('bytes that are not UTF-8 in a column of texts', { cause: error })
  }
}

/** A signed integer from its bytes, the highest first. */
export function bigintOf(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${Buffer.from(bytes).toString('hex')}`))
}

/** `12.30` of 1230 and a scale of 2. */
export function decimalText(unscaled: bigint, scale: number): string {
  if (scale <= 0) return String(unscaled * 10n ** BigInt(-scale))
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

const MS_PER_DAY = 86_400_000

/** `2024-01-31` of days since 1970. */
export function dateText(days: number): string {
  return isoText(days * MS_PER_DAY).slice(0, -'T00:00:00.000Z'.length)
}

/**
 * `2024-01-31T12:00:00.500Z` of a count since 1970; without the Z where the column has no time zone.
 *
 * @param digits of a second that one unit is: 3 for milliseconds
 */
export function timestampText(count: bigint, digits: number, isUtc: boolean): string {
  const unit = 10n ** BigInt(digits)
  let seconds = count / unit
  let rest = count % unit
  if (rest < 0n) {
    rest += unit
    seconds -= 1n
  }
  return `${isoText(Number(seconds) * 1000).slice(0, -'.000Z'.length)}${fraction(rest, digits)}${isUtc ? 'Z' : ''}`
}

/** `12:00:00.500` of a count since midnight. */
export function timeText(count: bigint, digits: number): string {
  return timestampText(count, digits, false).slice('1970-01-01T'.length)
}

function isoText(milliseconds: number): string {
  const date = new Date(milliseconds)
  if (Number.isNaN(date.getTime())) throw new DataError('a date that is out of range')
  return date.toISOString()
}

/** Thousandths, millionths or billionths: as few as say it. */
function fraction(rest: bigint, digits: number): string {
  if (digits === 0) return ''
  const text = String(rest)
    .padStart(digits, '0')
    .replace(/(?:000)+$/, '')
  return text === '' ? '' : `.${text}`
}
