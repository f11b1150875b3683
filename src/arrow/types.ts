/** @file The types of Arrow columns, as the metadata of a file or stream has them. Knows no values. */

import { DataError } from '../lowrank-error.js'
import type { FlatTable } from './flat-buffers.js'

/** A type of Arrow, as apache-arrow has it too. */
export interface ArrowType {
  readonly typeId: number
  readonly children?: readonly ArrowField[] | null
  readonly unit?: number
  readonly timezone?: string | null
  readonly scale?: number
  readonly precision?: number
  readonly bitWidth?: number
  readonly isSigned?: boolean
  readonly listSize?: number
  readonly byteWidth?: number
}

/** A column, or a field of one. */
export interface ArrowField {
  readonly name: string
  readonly type: ArrowType
}

/** The type of a column that holds places in a dictionary. */
export interface DictionaryType extends ArrowType {
  readonly id: bigint
  readonly indices: ArrowType
  readonly dictionary: ArrowType
}

/** Numbers of types in the format; apache-arrow calls a column with a dictionary -1. */
export const TYPE = {
  dictionary: -1,
  null: 1,
  int: 2,
  float: 3,
  binary: 4,
  utf8: 5,
  bool: 6,
  decimal: 7,
  date: 8,
  time: 9,
  timestamp: 10,
  list: 12,
  struct: 13,
  fixedSizeBinary: 15,
  fixedSizeList: 16,
  map: 17,
  largeBinary: 19,
  largeUtf8: 20,
  largeList: 21,
  binaryView: 23,
  utf8View: 24,
} as const

/** Types that the format has, but that no row has a value for. */
const NOT_READ: Readonly<Record<number, string>> = {
  11: 'Interval',
  14: 'Union',
  18: 'Duration',
  22: 'RunEndEncoded',
  25: 'ListView',
  26: 'LargeListView',
}

/** The unit `day` of dates. */
export const DAY = 0

const BIG_ENDIAN = 1
// Deeper ones are damage: schemas of people have a dozen levels.
const MOST_LEVELS = 64
// A decimal of 256 bits has 76 digits.
const MOST_DIGITS = 76

/** The columns of a schema. @throws DataError for what is damaged or not read */
export function decodeSchema(schema: FlatTable): readonly ArrowField[] {
  if (schema.short(0) === BIG_ENDIAN) throw new DataError('numbers whose highest byte comes first, which are not read')
  return schema.tables(1).map((field) => fieldOf(field, 0))
}

/** Types of all dictionaries by their numbers, also those within others. */
export function dictionaryTypes(fields: readonly ArrowField[]): ReadonlyMap<bigint, ArrowType> {
  const types = new Map<bigint, ArrowType>()
  const collect = (type: ArrowType): void => {
    if (isDictionary(type)) {
      types.set(type.id, type.dictionary)
      collect(type.dictionary)
    }
    for (const child of type.children ?? []) collect(child.type)
  }
  for (const { type } of fields) collect(type)
  return types
}

export function isDictionary(type: ArrowType): type is DictionaryType {
  return type.typeId === TYPE.dictionary
}

function fieldOf(field: FlatTable, level: number): ArrowField {
  const name = field.text(0) ?? ''
  if (level > MOST_LEVELS) throw new DataError(`columns of more than ${MOST_LEVELS} levels`)
  const children = field.tables(5).map((child) => fieldOf(child, level + 1))
  try {
    const type = typeOf(field.byte(2), field.table(3), children)
    const encoding = field.table(4)
    if (encoding === undefined) return { name, type }
    const keys = encoding.table(1)
    const indices = keys === undefined ? { typeId: TYPE.int, bitWidth: 32, isSigned: true } : intOf(keys)
    const encoded: DictionaryType = { typeId: TYPE.dictionary, id: encoding.bigint(0), indices, dictionary: type }
    return { name, type: encoded }
  } catch (error) {
    if (!(error instanceof DataError) || error.message.includes(' in the column ')) throw error
    throw new DataError(`${error.message} in the column ${JSON.stringify(name)}`, { cause: error })
  }
}

function typeOf(typeId: number, table: FlatTable | undefined, children: readonly ArrowField[]): ArrowType {
  const notRead = NOT_READ[typeId]
  if (notRead !== undefined) throw new DataError(`values of the Arrow type ${notRead}, which is not read`)
  if (table === undefined && typeId !== 0) throw new DataError('a type without its description')
  const type = (table === undefined ? undefined : plainType(typeId, table)) ?? nestedType(typeId, table, children)
  if (type === undefined) throw new DataError(`values of a type that Arrow does not have (number ${typeId})`)
  if (type.children === undefined && children.length > 0) throw new DataError(`fields in a type without any`)
  return type
}

/** A type that holds no others. */
function plainType(typeId: number, table: FlatTable): ArrowType | undefined {
  switch (typeId) {
    case TYPE.null:
    case TYPE.binary:
    case TYPE.utf8:
    case TYPE.bool:
    case TYPE.largeBinary:
    case TYPE.largeUtf8:
    case TYPE.binaryView:
    case TYPE.utf8View:
      return { typeId }
    case TYPE.int:
      return intOf(table)
    case TYPE.float:
      return { typeId, precision: among(table.short(0), [0, 1, 2], 'the precision of a float') }
    case TYPE.decimal: {
      const scale = table.int(1)
      if (Math.abs(scale) > MOST_DIGITS) throw new DataError(`decimals with a scale of ${scale}`)
      return { typeId, scale, bitWidth: among(table.int(2, 128), [32, 64, 128, 256], 'the bits of a decimal') }
    }
    case TYPE.date:
      return { typeId, unit: among(table.short(0, 1), [0, 1], 'the unit of a date') }
    case TYPE.time: {
      const unit = among(table.short(0, 1), [0, 1, 2, 3], 'the unit of a time')
      return { typeId, unit, bitWidth: among(table.int(1, 32), [unit < 2 ? 32 : 64], 'the bits of a time') }
    }
    case TYPE.timestamp: {
      const unit = among(table.short(0), [0, 1, 2, 3], 'the unit of a timestamp')
      return { typeId, unit, timezone: table.text(1) ?? null }
    }
    case TYPE.fixedSizeBinary:
      return { typeId, byteWidth: natural(table.int(0), 'the width of bytes') }
    default:
      return undefined
  }
}

function nestedType(
  typeId: number,
  table: FlatTable | undefined,
  children: readonly ArrowField[],
): ArrowType | undefined {
  switch (typeId) {
    case TYPE.struct:
      return { typeId, children }
    case TYPE.list:
    case TYPE.largeList:
      expectChildren(children, 1)
      return { typeId, children }
    case TYPE.fixedSizeList:
      expectChildren(children, 1)
      return { typeId, children, listSize: natural(table?.int(0) ?? 0, 'the length of lists') }
    case TYPE.map: {
      expectChildren(children, 1)
      const [entries] = children as readonly [ArrowField]
      if (entries.type.typeId !== TYPE.struct) throw new DataError('a map without keys and values')
      expectChildren(entries.type.children ?? [], 2)
      return { typeId, children }
    }
    default:
      return undefined
  }
}

function intOf(table: FlatTable): ArrowType {
  const bitWidth = among(table.int(0), [8, 16, 32, 64], 'the bits of an integer')
  return { typeId: TYPE.int, bitWidth, isSigned: table.boolean(1) }
}

function among(value: number, values: readonly number[], what: string): number {
  if (values.includes(value)) return value
  throw new DataError(`${value} for ${what}`)
}

function natural(value: number, what: string): number {
  if (value >= 0) return value
  throw new DataError(`${value} for ${what}`)
}

function expectChildren(children: readonly ArrowField[], count: number): void {
  if (children.length !== count) throw new DataError(`${children.length} fields in a type that has ${count}`)
}
