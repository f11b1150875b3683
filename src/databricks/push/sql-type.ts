/** @file Types of columns as SQL writes them, and what files hold for them. Sends nothing. */

import type { ColumnType } from '../../data/writers/row-schema.js'
import { DataError } from '../../lowrank-error.js'

/** A type of SQL: its name with what is in brackets, or one that holds others. */
export type SqlType =
  | string
  | { readonly array: SqlType }
  | { readonly struct: readonly SqlField[] }
  | { readonly map: readonly [SqlType, SqlType] }

export interface SqlField {
  readonly name: string
  readonly type: SqlType
}

const PIECE = /\s*(?:`((?:[^`]|``)*)`|([A-Za-z_]\w*(?:\s*\(\s*\d+(?:\s*,\s*\d+)?\s*\))?)|([<>,:]))/gy

/** `array<struct<role:string>>`, in any case. @throws DataError for what is none */
export function parseSqlType(text: string): SqlType {
  const pieces: { readonly value: string; readonly isName: boolean }[] = []
  PIECE.lastIndex = 0
  while (PIECE.lastIndex < text.trimEnd().length) {
    const [, quoted, word, sign] = PIECE.exec(text) ?? []
    const value = quoted?.replaceAll('``', '`') ?? word ?? sign
    if (value === undefined) throw unreadable(text)
    pieces.push({ value, isName: sign === undefined })
  }
  let at = 0
  const expect = (sign: string): void => {
    if (pieces[at]?.isName !== false || pieces[at]?.value !== sign) throw unreadable(text)
    at++
  }
  const isNext = (sign: string): boolean => pieces[at]?.isName === false && pieces[at]?.value === sign
  const name = (): string => {
    const piece = pieces[at++]
    if (piece?.isName !== true) throw unreadable(text)
    return piece.value
  }
  const type = (): SqlType => {
    const word = name().toUpperCase()
    if (!isNext('<')) return plainName(word)
    expect('<')
    const held = inBrackets(word)
    expect('>')
    return held
  }
  const inBrackets = (word: string): SqlType => {
    if (word === 'ARRAY') return { array: type() }
    if (word === 'MAP') {
      const key = type()
      expect(',')
      return { map: [key, type()] }
    }
    if (word !== 'STRUCT') throw unreadable(text)
    const struct: SqlField[] = []
    while (!isNext('>')) {
      if (struct.length > 0) expect(',')
      const field = name()
      if (isNext(':')) at++
      struct.push({ name: field, type: type() })
      // NOT NULL and comments say nothing of what files hold.
      while (pieces[at]?.isName === true) at++
    }
    return { struct }
  }
  const found = type()
  if (at < pieces.length) throw unreadable(text)
  return found
}

/** As Databricks writes it. */
export function sqlTypeText(type: SqlType): string {
  if (typeof type === 'string') return type
  if ('array' in type) return `ARRAY<${sqlTypeText(type.array)}>`
  if ('map' in type) return `MAP<${sqlTypeText(type.map[0])}, ${sqlTypeText(type.map[1])}>`
  return `STRUCT<${type.struct.map((field) => `${quoted(field.name)}: ${sqlTypeText(field.type)}`).join(', ')}>`
}

/** As the catalog writes it, which quotes no names: with odd ones in it nobody can read it. */
export function catalogTypeText(type: SqlType): string {
  if (typeof type === 'string') return type.toLowerCase()
  if ('array' in type) return `array<${catalogTypeText(type.array)}>`
  if ('map' in type) return `map<${catalogTypeText(type.map[0])},${catalogTypeText(type.map[1])}>`
  return `struct<${type.struct.map((field) => `${field.name}:${catalogTypeText(field.type)}`).join(',')}>`
}

const NATURAL = {
  boolean: 'BOOLEAN',
  integer: 'BIGINT',
  float: 'DOUBLE',
  string: 'STRING',
  bytes: 'BINARY',
  timestamp: 'TIMESTAMP',
  json: 'STRING',
} as const satisfies Readonly<Record<Exclude<ColumnType, object>, string>>

/** What a warehouse makes of a column of our files. */
export function naturalType(type: ColumnType): SqlType {
  if (typeof type === 'string') return NATURAL[type]
  if ('list' in type) return { array: naturalType(type.list) }
  return { struct: [...type.struct].map(([name, each]) => ({ name, type: naturalType(each) })) }
}

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}

/** Other names of the same types. */
const SAME: Readonly<Record<string, string>> = {
  LONG: 'BIGINT',
  INTEGER: 'INT',
  SHORT: 'SMALLINT',
  BYTE: 'TINYINT',
  REAL: 'FLOAT',
  DEC: 'DECIMAL',
  NUMERIC: 'DECIMAL',
}

function plainName(word: string): string {
  const [, name = '', brackets = ''] = /^(\w+)(.*)$/s.exec(word) ?? []
  return (SAME[name] ?? name) + brackets.replaceAll(/\s/g, '')
}

function unreadable(text: string): DataError {
  return new DataError(`a type as SQL writes it, got ${JSON.stringify(text)}`)
}
