/** @file Types as Databricks writes them, as DuckDB writes them. Runs nothing. */

import { type SqlReader, syntaxError } from './sql-text.js'

const PLAIN: Readonly<Record<string, string>> = {
  STRING: 'VARCHAR',
  INT: 'INTEGER',
  INTEGER: 'INTEGER',
  BIGINT: 'BIGINT',
  LONG: 'BIGINT',
  SMALLINT: 'SMALLINT',
  SHORT: 'SMALLINT',
  TINYINT: 'TINYINT',
  BYTE: 'TINYINT',
  DOUBLE: 'DOUBLE',
  FLOAT: 'FLOAT',
  REAL: 'FLOAT',
  BOOLEAN: 'BOOLEAN',
  BINARY: 'BLOB',
  DATE: 'DATE',
  TIMESTAMP: 'TIMESTAMPTZ',
  TIMESTAMP_NTZ: 'TIMESTAMP',
  DECIMAL: 'DECIMAL',
  DEC: 'DECIMAL',
  NUMERIC: 'DECIMAL',
  VARCHAR: 'VARCHAR',
  CHAR: 'VARCHAR',
  VOID: 'VARCHAR',
}

/** What DuckDB calls a plain type or the word of one; undefined for others. */
export function duckdbTypeName(word: string): string | undefined {
  return PLAIN[word.toUpperCase()]
}

/** Takes a type, with those that it holds. @throws FailedStatement for what is none */
export function duckdbType(reader: SqlReader): string {
  const word = reader.scalar().toUpperCase()
  if (word === 'ARRAY' || word === 'MAP' || word === 'STRUCT') {
    reader.expect('<')
    const type = holding(word, reader)
    reader.expect('>')
    return type
  }
  const name = duckdbTypeName(word)
  if (name === undefined) throw syntaxError(word)
  if (!reader.take('(')) return name === 'DECIMAL' ? 'DECIMAL(10,0)' : name
  const parts = reader.untilClosed().map(({ value }) => value)
  return name === 'DECIMAL' ? `DECIMAL(${parts.join('')})` : name
}

function holding(word: string, reader: SqlReader): string {
  if (word === 'ARRAY') return `${duckdbType(reader)}[]`
  if (word === 'MAP') {
    const key = duckdbType(reader)
    reader.expect(',')
    return `MAP(${key}, ${duckdbType(reader)})`
  }
  const fields: string[] = []
  do {
    const [name = ''] = reader.name()
    reader.take(':')
    fields.push(`"${name.replaceAll('"', '""')}" ${duckdbType(reader)}`)
    reader.take('NOT', 'NULL')
    if (reader.take('COMMENT')) reader.text()
  } while (reader.take(','))
  return `STRUCT(${fields.join(', ')})`
}
