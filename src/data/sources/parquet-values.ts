/**
 * @file What the values of Parquet columns become: numbers, texts, lists and objects as a JSON file of the same rows
 * has them. How they are decoded is hyparquet's to know; parquet-columns.ts calls it.
 */

import type { SchemaElement, SchemaTree } from 'hyparquet'
import {
  bigintOf,
  dateText,
  decimalText,
  floatOf,
  integerOf,
  textOf,
  timestampText,
  timeText,
} from '../../arrow/columnar-values.js'
import { parseLosslessJson } from '../../lossless-json.js'
import { DataError } from '../../lowrank-error.js'

/** Changes a decoded value into that of the row. It may change lists and objects in place. */
export type Convert = (value: unknown) => unknown

/**
 * Prepares a column for decoding, and says what is left to do with its values: nothing where it is undefined. Takes
 * from the schema the annotations of types that hyparquet would round, such as decimals as floats.
 *
 * @throws DataError for types that have no form in a row
 */
export function prepareColumn(tree: SchemaTree): Convert | undefined {
  const { element, children } = tree
  const inner = children.length === 0 ? prepareLeaf(element) : prepareGroup(tree)
  // A field that is repeated by itself is a list; that of a list or map is part of its form.
  return element.repetition_type === 'REPEATED' && inner !== undefined ? listOf(inner) : inner
}

function prepareGroup(tree: SchemaTree): Convert | undefined {
  const { element, children } = tree
  const [first] = children
  if (isList(tree) && first !== undefined) {
    const { children: fields, element: repeated } = first
    // The middle one of three levels holds the element; the inner one of two is the element.
    if (fields.length === 0) return optionalList(prepareLeaf(repeated))
    if (fields.length === 1) return optionalList(prepareColumn(fields[0] as SchemaTree))
    // The decoder takes such a list for a struct.
    const inner = prepareGroup(first) ?? same
    return orNull((value) => listOf(inner)((value as Record<string, unknown>)[repeated.name]))
  }
  if (isMap(tree) && first !== undefined) {
    // Decoded as entries: an object could not hold all keys.
    delete element.converted_type
    delete element.logical_type
    const [key, value] = first.children as [SchemaTree, SchemaTree]
    return mapOf(first.element.name, key.element.name, value.element.name, prepareColumn(key), prepareColumn(value))
  }
  // The decoder of variants makes their values.
  if (element.logical_type?.type === 'VARIANT') return undefined
  const fields = children.flatMap((child) => {
    if (child.element.name === '__proto__') throw new DataError('a field that is called __proto__')
    const convert = prepareColumn(child)
    return convert === undefined ? [] : [[child.element.name, convert] as const]
  })
  return fields.length === 0 ? undefined : structOf(fields)
}

function prepareLeaf(element: SchemaElement): Convert | undefined {
  const { type, converted_type: converted, logical_type: logical } = element
  const annotation = logical?.type ?? converted
  const plain = (): void => {
    delete element.converted_type
    delete element.logical_type
  }
  if (converted === 'DECIMAL' || logical?.type === 'DECIMAL') {
    const scale = element.scale ?? (logical?.type === 'DECIMAL' ? logical.scale : 0)
    plain()
    return orNull((value) =>
      decimalText(value instanceof Uint8Array ? bigintOf(value) : BigInt(value as number), scale),
    )
  }
  if (annotation === 'DATE') {
    plain()
    return orNull((value) => dateText(value as number))
  }
  if (logical?.type === 'TIMESTAMP' || converted === 'TIMESTAMP_MILLIS' || converted === 'TIMESTAMP_MICROS') {
    const isUtc = logical?.type === 'TIMESTAMP' ? logical.isAdjustedToUTC : true
    const digits = logical?.type === 'TIMESTAMP' ? DIGITS[logical.unit] : converted === 'TIMESTAMP_MILLIS' ? 3 : 6
    plain()
    return orNull((value) => timestampText(value as bigint, digits, isUtc))
  }
  if (logical?.type === 'TIME' || converted === 'TIME_MILLIS' || converted === 'TIME_MICROS') {
    const digits = logical?.type === 'TIME' ? DIGITS[logical.unit] : converted === 'TIME_MILLIS' ? 3 : 6
    plain()
    return orNull((value) => timeText(BigInt(value as bigint), digits))
  }
  // The decoder gives nanoseconds, see `PARSERS`.
  if (type === 'INT96') return orNull((value) => timestampText(value as bigint, 9, false))
  if (annotation === 'JSON' || annotation === 'BSON' || annotation === 'INTERVAL') {
    if (annotation !== 'JSON') throw new DataError(`values of the type ${annotation}`)
    plain()
    return orNull((value) => parseLosslessJson(textOf(value as Uint8Array)))
  }
  if (annotation === 'GEOMETRY' || annotation === 'GEOGRAPHY') {
    plain()
    return undefined
  }
  if (annotation === 'ENUM') {
    delete element.logical_type
    element.converted_type = 'UTF8'
    return undefined
  }
  if (annotation === 'FLOAT16' || type === 'FLOAT' || type === 'DOUBLE')
    return orNull((value) => floatOf(value as number))
  if (type === 'INT64') return orNull((value) => integerOf(value as bigint))
  return undefined
}

const DIGITS = { MILLIS: 3, MICROS: 6, NANOS: 9 } as const

function isList({ element, children: [first, ...others] }: SchemaTree): boolean {
  const isNamed = element.converted_type === 'LIST' || element.logical_type?.type === 'LIST'
  if (!isNamed || others.length > 0 || first?.element.repetition_type !== 'REPEATED') return false
  // The decoder asks for this annotation alone.
  element.converted_type = 'LIST'
  return true
}

function isMap({ element, children: [first, ...others] }: SchemaTree): boolean {
  const { converted_type: converted, logical_type: logical } = element
  const isNamed = converted === 'MAP' || converted === 'MAP_KEY_VALUE' || logical?.type === 'MAP'
  return isNamed && others.length === 0 && first?.element.repetition_type === 'REPEATED' && first.children.length === 2
}

function optionalList(inner: Convert | undefined): Convert | undefined {
  return inner && listOf(inner)
}

function orNull(convert: Convert): Convert {
  return (value) => (value === null || value === undefined ? null : convert(value))
}

function listOf(convert: Convert): Convert {
  return (value) => {
    if (Array.isArray(value)) {
      for (let index = 0; index < value.length; index++) value[index] = convert(value[index])
      return value as unknown[]
    }
    return ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<unknown>, convert) : value
  }
}

function structOf(fields: readonly (readonly [string, Convert])[]): Convert {
  return (value) => {
    if (typeof value !== 'object' || value === null) return value
    const struct = value as Record<string, unknown>
    for (const [name, convert] of fields) struct[name] = convert(struct[name])
    return struct
  }
}

function mapOf(entries: string, key: string, value: string, ...converts: (Convert | undefined)[]): Convert {
  const [convertKey = same, convertValue = same] = converts
  return (given) => {
    if (typeof given !== 'object' || given === null) return null
    const pairs = ((given as Record<string, Record<string, unknown>[] | null>)[entries] ?? []).map(
      (entry) => [String(convertKey(entry[key])), convertValue(entry[value])] as const,
    )
    return pairs.some(([name]) => name === '__proto__') ? new Map(pairs) : Object.fromEntries(pairs)
  }
}

function same(value: unknown): unknown {
  return value
}
