/**
 * @file Partitions of Delta tables: the text that the log has of a value, and the folder of its files
 * (https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization). Opens no file.
 */

import { describeValue } from '../../errors.js'
import { floatText, PythonFloat } from '../../lossless-json.js'
import { DataError } from '../../lowrank-error.js'
import { expectText } from '../writers/row-schema.js'
import type { DeltaType } from './delta-fields.js'

/** Values of partition columns as the log has them, by the names of the columns. */
export type PartitionValues = Readonly<Record<string, string | null>>

const BITS: Readonly<Record<string, bigint>> = { byte: 8n, short: 16n, integer: 32n, long: 64n }
/** Types of columns by which tables are divided. */
const TYPES = [...Object.keys(BITS), 'string', 'boolean', 'float', 'double', 'date', 'timestamp', 'timestamp_ntz']
const DATE = /^\d{4}-\d\d-\d\d$/
const TIME = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,6})?(Z?)$/
const DECIMAL = /^decimal\((\d+),\s*(\d+)\)$/

/** @throws DataError for a type by which no table is divided */
export function expectPartitionType(type: DeltaType): void {
  if (typeof type === 'string' && (TYPES.includes(type) || DECIMAL.test(type))) return
  throw new DataError(`a column of one value a row, other than bytes, got one of the type ${nameOf(type)}`)
}

function nameOf(type: DeltaType): string {
  return typeof type === 'string' ? type : type.type
}

/**
 * The text of a value.
 * @throws DataError for what the type does not have, and for an empty text, which readers take for null
 */
export function partitionText(type: DeltaType, value: unknown): string | null {
  if (value === null || value === undefined) return null
  const text = textOf(String(type), value)
  if (text !== undefined && text !== '') return text
  throw new DataError(`${expectedOf(String(type))}, got ${describeValue(value)}`)
}

function textOf(type: string, value: unknown): string | undefined {
  const bits = BITS[type]
  if (bits !== undefined) {
    const isInteger = typeof value === 'bigint' || Number.isSafeInteger(value)
    return isInteger && BigInt.asIntN(Number(bits), BigInt(value as number)) === BigInt(value as number)
      ? String(BigInt(value as number))
      : undefined
  }
  const decimal = DECIMAL.exec(type)
  if (decimal !== null) return decimalOf(value, Number(decimal[1]), Number(decimal[2]))
  switch (type) {
    case 'string':
      return typeof value === 'string' ? expectText(value) : undefined
    case 'boolean':
      return typeof value === 'boolean' ? String(value) : undefined
    case 'float':
    case 'double': {
      const number = value instanceof PythonFloat ? value.value : typeof value === 'bigint' ? Number(value) : value
      if (typeof number !== 'number') return undefined
      return Number.isFinite(number) ? floatText(number) : String(number)
    }
    case 'date':
      return dateOf(value)
    default:
      return timeOf(value, type === 'timestamp')
  }
}

function decimalOf(value: unknown, digits: number, scale: number): string | undefined {
  const [, sign, whole = '', fraction = ''] = /^(-?)0*(\d+)(?:\.(\d*))?$/.exec(String(value)) ?? []
  if (sign === undefined || fraction.length > scale || whole.replace(/^0$/, '').length > digits - scale)
    return undefined
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${fraction.padEnd(scale, '0')}`
}

function dateOf(value: unknown): string | undefined {
  const text = value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : value
  if (typeof text !== 'string') return undefined
  const day = text.replace(/T00:00:00(?:\.000)?Z$/, '')
  return DATE.test(day) && isDay(day) ? day : undefined
}

/** Instants are in UTC; local times say no zone. */
function timeOf(value: unknown, isInstant: boolean): string | undefined {
  const given = value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : value
  const [, day = '', time, fraction = '', zone] = TIME.exec(String(given)) ?? []
  if (time === undefined || !isDay(day) || (zone === 'Z') !== isInstant) return undefined
  return `${day} ${time}${fraction.replace(/\.0*$/, '')}`
}

function isDay(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

function expectedOf(type: string): string {
  if (BITS[type] !== undefined) return `an integer of ${BITS[type]} bits`
  switch (type) {
    case 'string':
      return 'a text that is not empty, which a partition cannot tell from null'
    case 'boolean':
      return 'a boolean'
    case 'float':
    case 'double':
      return 'a number'
    case 'date':
      return 'a day such as 2024-01-31'
    case 'timestamp':
      return 'a Date, or a text such as 2024-01-31T12:00:00Z'
    case 'timestamp_ntz':
      return 'a text such as 2024-01-31T12:00:00'
    default:
      return `a number that fits ${type}`
  }
}

const NULL_FOLDER = '__HIVE_DEFAULT_PARTITION__'
// File systems hold names of 255 bytes.
const LONGEST_PART = 100

/**
 * The folder of a partition, as Hive calls it: `day=2024-01-31/kind=a%2Fb`. Readers take values from the log, so that
 * names may be cut.
 */
export function partitionFolder(values: PartitionValues): string {
  return Object.entries(values)
    .map(([name, text]) => `${escaped(name)}=${text === null ? NULL_FOLDER : escaped(text)}`)
    .join('/')
}

/** What file systems and Hive take for something else becomes `%` and its number. */
function escaped(text: string): string {
  const safe = encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return safe.slice(0, LONGEST_PART)
}

/** The path of a file within its table as the log has it: an address, in which `%` of a name is escaped again. */
export function pathInLog(path: string): string {
  return path.split('/').map(encodePart).join('/')
}

function encodePart(part: string): string {
  return part.split('=').map(encodeURIComponent).join('=')
}
