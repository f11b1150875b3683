/** @file A mapping file as one SQL query, with the rows of `unifySources`. DuckDB and Spark read the same text. */

import { namesIn } from '../data/text-template.js'
import { OptionError } from '../lowrank-error.js'
import { conditionSql } from './condition.js'
import {
  type ColumnSource,
  type ColumnType,
  type MappedSource,
  type Mapping,
  type MappingFile,
  readMapping,
} from './mapping-file.js'
import { sqlColumn, sqlConcat, sqlIsMissing, sqlLiteral, sqlNumber, sqlTable, sqlText } from './sql.js'

/**
 * The query that makes one table of several.
 *
 * @param mapping Path of the mapping file, or what it holds.
 * @param tables The table of each source by its name: `{ loans: 'main.default.loans' }`.
 * @throws OptionError for a source without `key` or table: rows of tables have no number
 */
export async function unifySql(
  mapping: string | MappingFile,
  tables: Readonly<Record<string, string>>,
): Promise<string> {
  const read = await readMapping(mapping)
  const parts = read.sources.map((source) => {
    const table = Object.hasOwn(tables, source.name) ? tables[source.name] : undefined
    if (table === undefined) throw new OptionError(`[sql] expected a table for the source ${source.name}, got none`)
    return sourceSql(read, source, table)
  })
  return `${parts.join('\nUNION ALL\n')}\n`
}

function sourceSql({ columns, provenance }: Mapping, source: MappedSource, table: string): string {
  if (source.key === undefined)
    throw new OptionError(`[sql] expected key for the source ${source.name}, got none; rows of tables have no number`)
  const key = sqlColumn(source.key)
  const selected = [...columns.keys()].map((name) => {
    const from = source.columns.get(name)
    return `${from === undefined ? 'NULL' : valueSql(from)} AS ${sqlColumn(name)}`
  })
  const conditions = [
    ...(source.where === undefined ? [] : [conditionSql(source.where)]),
    ...[...columns].flatMap(([name, { isOptional }]) => {
      const from = source.columns.get(name)
      return from === undefined ? [] : fitSql(from, isOptional)
    }),
    `NOT ${sqlIsMissing(key)}`,
  ]
  return [
    'SELECT',
    ...selected.map((column) => `  ${column},`),
    `  ${sqlLiteral(source.name)} AS ${sqlColumn(provenance.source)},`,
    `  ${sqlText(key)} AS ${sqlColumn(provenance.row)}`,
    `FROM ${sqlTable(table)}`,
    ...conditions.map((condition, index) => `${index === 0 ? 'WHERE' : '  AND'} ${condition}`),
  ].join('\n')
}

function valueSql(source: ColumnSource): string {
  switch (source.kind) {
    case 'constant':
      return typeof source.value === 'string' ? sqlLiteral(source.value) : String(source.value).toUpperCase()
    case 'text':
      return whereFit(
        namesIn(source.template).map((name) => sqlIsMissing(sqlColumn(name))),
        sqlConcat(
          source.template.map((part) => ('name' in part ? sqlText(sqlColumn(part.name)) : sqlLiteral(part.text))),
        ),
      )
    case 'column': {
      const column = sqlColumn(source.column)
      return whereFit([sqlIsMissing(column)], typedSql(column, source.type))
    }
    default:
      return source satisfies never
  }
}

/** NULL where one of the conditions holds. */
function whereFit(missing: readonly string[], value: string): string {
  return missing.length === 0 ? value : `CASE WHEN NOT (${missing.join(' OR ')}) THEN ${value} END`
}

function typedSql(column: string, type: ColumnType | undefined): string {
  switch (type) {
    case undefined:
      return column
    case 'text':
      return sqlText(column)
    case 'number':
      return sqlNumber(column)
    case 'integer':
      return `CAST(${sqlNumber(column)} AS BIGINT)`
    case 'boolean':
      return `(LOWER(${sqlText(column)}) IN ('true', '1'))`
    default:
      return type satisfies never
  }
}

/** Conditions under which a row has the value, by which others are left out. */
function fitSql(source: ColumnSource, isOptional: boolean): readonly string[] {
  if (source.kind === 'constant') return []
  if (source.kind === 'text')
    return isOptional ? [] : namesIn(source.template).map((name) => `NOT ${sqlIsMissing(sqlColumn(name))}`)
  const column = sqlColumn(source.column)
  const missing = sqlIsMissing(column)
  const isFit = typeFitSql(column, source.type)
  if (isOptional) return isFit === undefined ? [] : [`(${missing} OR ${isFit})`]
  return [`NOT ${missing}`, ...(isFit === undefined ? [] : [isFit])]
}

function typeFitSql(column: string, type: ColumnType | undefined): string | undefined {
  switch (type) {
    case undefined:
    case 'text':
      return undefined
    case 'number':
      return `${sqlNumber(column)} IS NOT NULL`
    case 'integer': {
      const number = sqlNumber(column)
      return `COALESCE(${number} = FLOOR(${number}) AND ABS(${number}) <= 9007199254740991, FALSE)`
    }
    case 'boolean':
      return `LOWER(${sqlText(column)}) IN ('true', 'false', '1', '0')`
    default:
      return type satisfies never
  }
}
