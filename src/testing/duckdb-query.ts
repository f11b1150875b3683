/**
 * @file A query of Databricks as DuckDB reads it: names, literals, parameters, versions of tables, files of volumes.
 * Runs nothing.
 */

import { duckdbType, duckdbTypeName } from './duckdb-types.js'
import { type ExecutedTables, versionOf } from './executed-tables.js'
import { FailedStatement, type StatementToExecute } from './executor.js'
import { SqlReader, type SqlToken, syntaxError } from './sql-text.js'

/** A path in a volume, as `'/Volumes/c/s/v/...'` names it, to what DuckDB reads in its place. */
export type ReadFiles = (path: string, format: string) => Promise<string>

/** @throws FailedStatement for tables, versions and parameters that are not there */
export async function duckdbQuery(
  tokens: readonly SqlToken[],
  statement: StatementToExecute,
  tables: ExecutedTables,
  readFiles: ReadFiles,
): Promise<string> {
  const own = commonTables(tokens)
  const output: string[] = []
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] as SqlToken
    const before = tokens[at - 1]
    const isReference =
      before?.kind === 'word' &&
      /^(?:from|join)$/i.test(before.value) &&
      !/^distinct$/i.test(tokens[at - 2]?.value ?? '') &&
      (token.kind === 'name' || token.kind === 'word')
    if (token.kind === 'word' && /^(?:array|struct|map)$/i.test(token.value) && tokens[at + 1]?.value === '<') {
      const reader = new SqlReader(tokens.slice(at))
      output.push(duckdbType(reader))
      at = tokens.length - reader.rest().length - 1
      continue
    }
    if (!isReference) {
      output.push(textOf(token, statement))
      continue
    }
    const name = nameAt(tokens, at)
    const next = at + 2 * name.length - 1
    const isCall = tokens[next]?.value === '('
    if (isCall && /^read_files$/i.test(token.value)) {
      const { path, format, end } = readFilesCall(tokens, next, statement)
      output.push(await readFiles(path, format))
      at = end
    } else if (isCall && /^range$/i.test(token.value)) {
      const end = closing(tokens, next)
      const inner = tokens.slice(next, end + 1).map((each) => textOf(each, statement))
      output.push(`(SELECT range AS id FROM range${inner.join(' ')})`)
      at = end
    } else if (isCall || (name.length === 1 && own.has(token.value.toLowerCase())))
      output.push(textOf(token, statement))
    else if (name.length === 2 && /^(?:parquet|json|csv)$/i.test(name[0] as string)) {
      output.push(await readFiles(name[1] as string, (name[0] as string).toLowerCase()))
      at = next - 1
    } else {
      const { version, end } = versionAt(tokens, next, statement)
      const { rows } = versionOf(tables.get(tables.pathOf(name, statement)), version)
      output.push(rows === undefined ? '(SELECT 1 LIMIT 0)' : `"${rows}"`)
      // A table that is not renamed goes by the last part of its name.
      if (!/^as$/i.test(tokens[end]?.value ?? '')) output.push(`AS ${quotedName(name.at(-1) as string)}`)
      if (hasAlias(tokens[end])) output.pop()
      at = end - 1
    }
  }
  return output.join(' ')
}

/** The value of a parameter, as a literal of its type. */
function parameterText(name: string, { parameters }: StatementToExecute): string {
  const parameter = parameters.find((each) => each.name === name)
  if (parameter === undefined) {
    const message = `[UNBOUND_SQL_PARAMETER] Found the unbound parameter: ${name}. SQLSTATE: 42P02`
    throw new FailedStatement('BAD_REQUEST', message)
  }
  const { value = null, type = 'STRING' } = parameter
  return `CAST(${value === null ? 'NULL' : quotedText(value)} AS ${duckdbTypeName(type) ?? type})`
}

function textOf(token: SqlToken, statement: StatementToExecute): string {
  const { kind, value } = token
  if (kind === 'name') return quotedName(value)
  if (kind === 'text') return quotedText(value)
  if (kind === 'parameter') return parameterText(value, statement)
  return kind === 'word' ? (duckdbTypeName(value) ?? value) : value
}

function nameAt(tokens: readonly SqlToken[], at: number): string[] {
  const name = [(tokens[at] as SqlToken).value]
  for (let next = at + 1; tokens[next]?.kind === 'sign' && tokens[next]?.value === '.'; next += 2)
    name.push(tokens[next + 1]?.value ?? '')
  return name
}

/** `VERSION AS OF 3`, with or without FOR. */
function versionAt(
  tokens: readonly SqlToken[],
  at: number,
  statement: StatementToExecute,
): { readonly version: number | undefined; readonly end: number } {
  const words = tokens.slice(at, at + 5).map(({ value }) => value.toUpperCase())
  const skip = words[0] === 'FOR' ? 1 : 0
  if (words[skip] === 'TIMESTAMP' && words[skip + 1] === 'AS') throw syntaxError('TIMESTAMP AS OF')
  if (words.slice(skip, skip + 3).join(' ') !== 'VERSION AS OF') return { version: undefined, end: at }
  const token = tokens[at + skip + 3]
  const parameter = statement.parameters.find(({ name }) => token?.kind === 'parameter' && name === token.value)
  const text = parameter?.value ?? token?.value ?? ''
  return { version: /^\d+$/.test(text) ? Number(text) : Number.NaN, end: at + skip + 4 }
}

function hasAlias(token: SqlToken | undefined): boolean {
  if (token?.kind === 'name') return true
  const after =
    /^(?:where|limit|group|order|having|join|inner|left|right|full|cross|on|union|except|intersect|as|using|offset|window|qualify)$/i
  return token?.kind === 'word' && !after.test(token.value)
}

function readFilesCall(
  tokens: readonly SqlToken[],
  open: number,
  statement: StatementToExecute,
): { readonly path: string; readonly format: string; readonly end: number } {
  const end = closing(tokens, open)
  const first = tokens[open + 1] as SqlToken
  const given =
    first.kind === 'parameter' ? statement.parameters.find(({ name }) => name === first.value)?.value : first.value
  let format = 'parquet'
  for (let at = open + 2; at < end; at++)
    if (/^format$/i.test((tokens[at] as SqlToken).value) && tokens[at + 1]?.value === '=>')
      format = (tokens[at + 2]?.value ?? '').toLowerCase()
  return { path: given ?? '', format, end }
}

/** Where the bracket that opens is closed. */
function closing(tokens: readonly SqlToken[], open: number): number {
  for (let at = open, depth = 0; at < tokens.length; at++) {
    const { kind, value } = tokens[at] as SqlToken
    if (kind === 'sign' && value === '(') depth++
    if (kind === 'sign' && value === ')' && --depth === 0) return at
  }
  throw syntaxError('end of input')
}

/** Names that WITH defines. */
function commonTables(tokens: readonly SqlToken[]): Set<string> {
  const names = tokens.filter(({ kind }, at) => {
    const isName = kind === 'word' || kind === 'name'
    return isName && /^as$/i.test(tokens[at + 1]?.value ?? '') && tokens[at + 2]?.value === '('
  })
  return new Set(/^with$/i.test(tokens[0]?.value ?? '') ? names.map(({ value }) => value.toLowerCase()) : [])
}

function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function quotedText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
