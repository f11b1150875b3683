/** @file How columns of rows become those of a table: what files hold, what is selected from them. Sends nothing. */

import type { ColumnType, RowSchema } from '../../data/writers/row-schema.js'
import { describeValue, listNames, nearestName } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { quotedName } from '../client/sql.js'
import type { TableColumn } from '../client/unity-catalog.js'
import { catalogTypeText, naturalType, parseSqlType, type SqlType, sqlTypeText } from './sql-type.js'

/** The columns of a push. */
export interface PushColumns {
  /** What the files hold. */
  readonly schema: RowSchema
  /** Expressions that make the table's columns of those of the files, as SELECT lists them. */
  readonly select: string
  /** Names of the columns, as the table has them. */
  readonly names: readonly string[]
}

/** What Delta takes in names of columns only where they are mapped. */
const MAPPED = /[ ,;{}()\n\t=]/

/** Whether the names of a new table need the column mapping of Delta. */
export function needsMapping({ schema }: PushColumns): boolean {
  const isOdd = (type: ColumnType): boolean =>
    typeof type === 'object' && ('list' in type ? isOdd(type.list) : areOdd(type.struct))
  const areOdd = (fields: RowSchema): boolean => [...fields].some(([name, type]) => MAPPED.test(name) || isOdd(type))
  return areOdd(schema)
}

/**
 * The columns of a new table: those of the rows.
 * @param types Types of columns that are not to have the one that was found, by their names.
 * @throws DataError for names that differ in case alone, and for types that do not fit
 */
export function newColumns(table: string, found: RowSchema, types: Readonly<Record<string, string>> = {}): PushColumns {
  expectDifferent(table, found)
  const names = [...found.keys()]
  const strange = Object.keys(types).find((name) => !found.has(name))
  if (strange !== undefined)
    throw new DataError(
      `[databricks] expected columns of the rows (${listNames(names)}) for columnTypes, got ${describeValue(strange)}`,
    )
  const schema = new Map<string, ColumnType>()
  const select = names.map((name) => {
    const type = found.get(name) as ColumnType
    const wanted = Object.hasOwn(types, name) ? types[name] : undefined
    const column =
      wanted === undefined ? undefined : inColumn(table, name, () => castOf(parseSqlType(wanted), type, name))
    schema.set(name, column?.held ?? type)
    return column === undefined || column.value === quotedName([name])
      ? quotedName([name])
      : `${column.value} AS ${quotedName([name])}`
  })
  return { schema, names, select: select.join(', ') }
}

/** What files hold for a column of a type, and the expression that makes it of that. */
function castOf(
  wanted: SqlType,
  found: ColumnType,
  name: string,
): { readonly held: ColumnType; readonly value: string } {
  const held = heldFor(wanted, found)
  const quoted = quotedName([name])
  const isNatural = sqlTypeText(naturalType(held)) === sqlTypeText(wanted)
  return { held, value: isNatural ? quoted : `CAST(${quoted} AS ${sqlTypeText(wanted)})` }
}

/**
 * The columns of a table that is appended to, as far as the rows have them. Rows without a column have null in it.
 * @throws DataError that names the column which does not fit
 */
export function tableColumns(table: string, there: readonly TableColumn[], found: RowSchema): PushColumns {
  expectDifferent(table, found)
  const byName = new Map([...found].map(([name, type]) => [name.toLowerCase(), { name, type }]))
  const known = there.map(({ name }) => name)
  const extra = [...found.keys()].find((name) => !known.some((each) => same(each, name)))
  if (extra !== undefined) {
    const nearest = nearestName(extra, known)
    throw new DataError(
      `[databricks] expected columns of ${table} (${listNames(known)}), got also ${describeValue(extra)}; ` +
        `${nearest === undefined ? '' : `did you mean ${nearest}? Else `}leave it out of the rows, or add it first: ALTER TABLE ... ADD COLUMN`,
    )
  }
  const schema = new Map<string, ColumnType>()
  const select: string[] = []
  const names: string[] = []
  for (const { name, type_text: text, nullable } of there) {
    const column = byName.get(name.toLowerCase())
    if (column === undefined) {
      if (nullable !== false) continue
      throw new DataError(
        `[databricks] expected rows with the column ${describeValue(name)}, which is NOT NULL in ${table}, got none`,
      )
    }
    const natural = naturalType(column.type)
    const isSame = catalogTypeText(natural) === text
    const { held, value } = inColumn(table, name, () =>
      castOf(isSame ? natural : parseSqlType(text), column.type, column.name),
    )
    schema.set(column.name, held)
    names.push(name)
    const quoted = quotedName([column.name])
    select.push(value === quoted && column.name === name ? quoted : `${value} AS ${quotedName([name])}`)
  }
  return { schema, names, select: select.join(', ') }
}

/** What files hold for a column of a type, given what was found in the rows. @throws DataError where nothing fits */
function heldFor(wanted: SqlType, found: ColumnType): ColumnType {
  if (typeof wanted === 'string') return heldForPlain(wanted, found)
  if ('array' in wanted) {
    // Nothing but null, or but empty lists, was found of it.
    if (found === 'string') return { list: heldFor(wanted.array, 'string') }
    if (typeof found === 'object' && 'list' in found) return { list: heldFor(wanted.array, found.list) }
    throw new DataError(`${sqlTypeText(wanted)}, got ${wordsOf(found)}`)
  }
  if ('map' in wanted)
    throw new DataError(`a type that files of rows have, got ${sqlTypeText(wanted)}; make the column a struct`)
  const fields = found === 'string' || found === 'json' ? new Map<string, ColumnType>() : structOf(found)
  if (fields === undefined) throw new DataError(`${sqlTypeText(wanted)}, got ${wordsOf(found)}`)
  const extra = [...fields.keys()].find((name) => !wanted.struct.some((field) => same(field.name, name)))
  if (extra !== undefined) throw new DataError(`${sqlTypeText(wanted)}, got also the field ${describeValue(extra)}`)
  // A struct is cast by the places of its fields, not by their names: all are there, in the order of the table.
  return {
    struct: new Map(
      wanted.struct.map((field) => {
        const [name, type] = [...fields].find(([each]) => same(each, field.name)) ?? [field.name, 'string' as const]
        return [name, heldFor(field.type, type)]
      }),
    ),
  }
}

function structOf(found: ColumnType): RowSchema | undefined {
  return typeof found === 'object' && 'struct' in found ? found.struct : undefined
}

/** What files hold for each plain type, and what may have been found in the rows for it. */
const PLAIN: Readonly<Record<string, readonly [ColumnType, ...ColumnType[]]>> = {
  STRING: ['string', 'json'],
  BIGINT: ['integer'],
  DOUBLE: ['float', 'integer'],
  BOOLEAN: ['boolean'],
  BINARY: ['bytes'],
}
const LIKE: Readonly<Record<string, string>> = {
  VARCHAR: 'STRING',
  CHAR: 'STRING',
  INT: 'BIGINT',
  SMALLINT: 'BIGINT',
  TINYINT: 'BIGINT',
  FLOAT: 'DOUBLE',
}
/** What is read as it was found: text too, as the warehouse reads it, which refuses what is none. */
const READ_AS_FOUND: Readonly<Record<string, readonly ColumnType[]>> = {
  TIMESTAMP: ['timestamp', 'string'],
  TIMESTAMP_NTZ: ['timestamp', 'string'],
  DATE: ['timestamp', 'string'],
  DECIMAL: ['integer', 'float', 'string'],
}

function heldForPlain(wanted: string, found: ColumnType): ColumnType {
  const [name = ''] = /^\w+/.exec(wanted) ?? []
  const asFound = READ_AS_FOUND[name]
  if (asFound?.includes(found)) return found
  const allowed = PLAIN[LIKE[name] ?? name]
  if (allowed === undefined && asFound === undefined)
    throw new DataError(`a type that files of rows have, got ${wanted}; write the column by a statement`)
  if (found === 'json' && allowed?.includes('json')) return 'json'
  // A column of nulls is found to be text: the files show whether there is any.
  if (allowed !== undefined && (found === 'string' || allowed.includes(found))) return allowed[0]
  throw new DataError(`${wanted}, got ${wordsOf(found)}`)
}

function wordsOf(type: ColumnType): string {
  return type === 'json' ? 'values of several types' : sqlTypeText(naturalType(type))
}

function expectDifferent(table: string, fields: RowSchema): void {
  const names = [...fields.keys()]
  const twice = names.find((name, index) => names.findIndex((other) => same(other, name)) < index)
  if (twice !== undefined) {
    const other = names.find((name) => same(name, twice))
    throw new DataError(
      `[databricks] expected columns whose names differ in more than case for ${table}, got ${describeValue(other)} and ${describeValue(twice)}; rename one`,
    )
  }
  for (const type of fields.values()) {
    let held = type
    while (typeof held === 'object' && 'list' in held) held = held.list
    if (typeof held === 'object') expectDifferent(table, held.struct)
  }
}

function inColumn<T>(table: string, name: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    const [expected, ...got] = error.message.split(', got ')
    throw new DataError(
      `[databricks] expected ${expected} for the column ${describeValue(name)} of ${table}, got ${got.join(', got ')}`,
      { cause: error },
    )
  }
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
