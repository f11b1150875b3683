/** @file The statements of a push, as text. Sends nothing. */

import { identifier, literal, quotedName, type SqlStatement, sql, statementOf } from '../client/sql.js'
import type { TableName } from '../client/table-address.js'
import type { PushColumns } from './columns.js'

/** What a table says about itself. */
export interface TableDetails {
  readonly comment: string | undefined
  readonly properties: Readonly<Record<string, string>>
}

/** Makes a table of the files of a folder, or puts it in place of one that is there: in one commit. */
export function createTable(
  table: TableName,
  { select }: PushColumns,
  folder: string,
  { comment, properties }: TableDetails,
  isReplacing: boolean,
): SqlStatement {
  const verb = statementOf(isReplacing ? 'CREATE OR REPLACE TABLE' : 'CREATE TABLE')
  const said = comment === undefined ? statementOf('') : sql`COMMENT ${literal(comment)} `
  return sql`${verb} ${nameOf(table)} ${said}TBLPROPERTIES ${pairs(properties)} AS SELECT ${statementOf(select)} FROM read_files(${literal(folder)}, format => 'parquet')`
}

/** Adds the rows of files of a folder that the table has not loaded yet: in one commit. */
export function copyInto(
  table: TableName,
  { select }: PushColumns,
  folder: string,
  files: readonly { readonly name: string }[],
): SqlStatement {
  const names = joined(files.map(({ name }) => sql`${literal(name)}`))
  return sql`COPY INTO ${nameOf(table)} FROM (SELECT ${statementOf(select)} FROM ${literal(folder)}) FILEFORMAT = PARQUET FILES = (${names})`
}

export function setProperties(table: TableName, properties: Readonly<Record<string, string>>): SqlStatement {
  return sql`ALTER TABLE ${nameOf(table)} SET TBLPROPERTIES ${pairs(properties)}`
}

export function commentTable(table: TableName, comment: string): SqlStatement {
  return sql`COMMENT ON TABLE ${nameOf(table)} IS ${literal(comment)}`
}

export function commentColumn(table: TableName, column: string, comment: string): SqlStatement {
  return sql`ALTER TABLE ${nameOf(table)} ALTER COLUMN ${statementOf(quotedName([column]))} COMMENT ${literal(comment)}`
}

export function setTags(table: TableName, tags: Readonly<Record<string, string>>): SqlStatement {
  return sql`ALTER TABLE ${nameOf(table)} SET TAGS ${pairs(tags)}`
}

function nameOf({ catalog, schema, table }: TableName): ReturnType<typeof identifier> {
  return identifier(catalog, schema, table)
}

function pairs(entries: Readonly<Record<string, string>>): SqlStatement {
  return sql`(${joined(Object.entries(entries).map(([key, value]) => sql`${literal(key)} = ${literal(value)}`))})`
}

function joined(parts: readonly SqlStatement[]): SqlStatement {
  return parts.reduce((before, part) => sql`${before}, ${part}`)
}
