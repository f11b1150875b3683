/**
 * @file Runs the statements that a loopback workspace gets: DuckDB keeps the tables in memory, with all their versions.
 * It knows the statements that lowrank sends and queries; it refuses others by name.
 */

import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type * as DuckDB from '@duckdb/node-api'
import type * as Arrow from 'apache-arrow'
import { loadPeer } from '../data/load-peer.js'
import { toError } from '../values.js'
import { parquetReading } from './duckdb-parquet.js'
import { duckdbQuery, quotedText } from './duckdb-query.js'
import { duckdbType } from './duckdb-types.js'
import { arrowStream, typeTextOf, valueText } from './duckdb-values.js'
import { ExecutedTables, type TableEntry, versionOf } from './executed-tables.js'
import {
  FailedStatement,
  type ResultColumn,
  type StatementExecutor,
  type StatementResult,
  type StatementToExecute,
} from './executor.js'
import { SqlReader, type SqlToken, syntaxError, tokensOf } from './sql-text.js'

const CHUNK_ROWS = 50_000
const NOTHING: StatementResult = { columns: [], rows: [] }

interface Engine {
  readonly api: typeof DuckDB
  readonly connection: DuckDB.DuckDBConnection
  close(): void
}

/**
 * An executor on DuckDB. The first statement loads `@duckdb/node-api`, one that is asked for Arrow `apache-arrow`: a
 * program installs them where it needs them.
 */
export function duckdbExecutor(): StatementExecutor {
  const tables = new ExecutedTables()
  let engine: Promise<Engine> | undefined
  let last: Promise<unknown> = Promise.resolve()
  return {
    // One after the other: a table has one writer.
    execute: (statement) => {
      engine ??= openEngine()
      const opened = engine
      const result = last.then(async () => new Execution(await opened, tables, statement).run())
      last = result.catch(() => {})
      return result
    },
    tables: () => Promise.resolve(tables.list()),
    dropTable: (...path) => Promise.resolve(tables.drop(path)),
    close: async () => {
      await last
      const opened = await engine?.catch(() => undefined)
      opened?.close()
    },
  }
}

async function openEngine(): Promise<Engine> {
  const api = await loadPeer<typeof DuckDB>('@duckdb/node-api', 'to run the statements of a loopback workspace')
  const instance = await api.DuckDBInstance.create(':memory:', { threads: '1' })
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  return {
    api,
    connection,
    close: () => {
      connection.closeSync()
      instance.closeSync()
    },
  }
}

let rowsMade = 0

/** One statement. */
class Execution {
  readonly #engine: Engine
  readonly #tables: ExecutedTables
  readonly #statement: StatementToExecute
  readonly #reader: SqlReader
  readonly #tokens: readonly SqlToken[]
  #folder: string | undefined

  constructor(engine: Engine, tables: ExecutedTables, statement: StatementToExecute) {
    this.#engine = engine
    this.#tables = tables
    this.#statement = statement
    this.#tokens = tokensOf(statement.statement)
    this.#reader = new SqlReader(this.#tokens)
  }

  async run(): Promise<StatementResult> {
    try {
      return await this.#dispatch()
    } catch (error) {
      if (error instanceof FailedStatement) throw error
      throw new FailedStatement('BAD_REQUEST', toError(error).message)
    } finally {
      if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true })
    }
  }

  #dispatch(): Promise<StatementResult> {
    const reader = this.#reader
    const first = this.#tokens[0]?.value.toUpperCase() ?? ''
    if (['SELECT', 'WITH', 'VALUES', '('].includes(first)) return this.#select(reader.rest())
    if (reader.take('CREATE', 'OR', 'REPLACE', 'TABLE')) return this.#create(true)
    if (reader.take('CREATE', 'TABLE')) return this.#create(false)
    if (reader.take('COPY', 'INTO')) return this.#copy()
    if (reader.take('INSERT', 'INTO')) return this.#insert(false)
    if (reader.take('INSERT', 'OVERWRITE')) return this.#insert(true)
    if (reader.take('DROP', 'TABLE')) return this.#drop()
    if (reader.take('ALTER', 'TABLE')) return this.#alter()
    if (reader.take('COMMENT', 'ON', 'TABLE')) return this.#commentOn('table')
    if (reader.take('COMMENT', 'ON', 'COLUMN')) return this.#commentOn('column')
    if (reader.take('DESCRIBE', 'HISTORY')) return this.#history()
    if (reader.take('DESCRIBE', 'TABLE') || reader.take('DESCRIBE')) return this.#describe()
    if (reader.take('SHOW', 'TBLPROPERTIES')) return this.#showProperties()
    const words = this.#tokens.slice(0, 3).map(({ value }) => value)
    const message = `[UNSUPPORTED_STATEMENT] This loopback workspace does not run ${words.join(' ')}.`
    return Promise.reject(new FailedStatement('BAD_REQUEST', message))
  }

  #path(): [string, string, string] {
    return this.#tables.pathOf(this.#reader.name(), this.#statement)
  }

  async #create(isReplacing: boolean): Promise<StatementResult> {
    const reader = this.#reader
    const isOptional = !isReplacing && reader.take('IF', 'NOT', 'EXISTS')
    const path = this.#path()
    const before = this.#tables.find(path)
    if (before !== undefined && !isReplacing && !isOptional) {
      const message = `[TABLE_OR_VIEW_ALREADY_EXISTS] Cannot create table or view \`${path[1]}\`.\`${path[2]}\` because it already exists. SQLSTATE: 42P07`
      throw new FailedStatement('BAD_REQUEST', message)
    }
    const definitions = reader.take('(') ? columnsOf(reader.untilClosed()) : []
    let comment: string | undefined
    let properties: Record<string, string> = {}
    for (;;) {
      if (reader.take('USING', 'DELTA') || reader.take('USING')) continue
      if (reader.take('COMMENT')) comment = reader.text()
      else if (reader.take('TBLPROPERTIES')) properties = reader.pairs()
      else break
    }
    const hasQuery = reader.take('AS')
    const query = hasQuery ? reader.rest() : []
    reader.end()
    if (before !== undefined && !isReplacing) return NOTHING
    const rows = hasQuery
      ? await this.#keep(await this.#translated(query))
      : definitions.length === 0
        ? undefined
        : await this.#keepEmpty(definitions)
    if (rows !== undefined) expectNames(await this.#columnsOf(rows), properties)
    const entry = before ?? this.#tables.create(path)
    Object.assign(entry, { comment, properties, tags: before?.tags ?? {} })
    entry.columnComments.clear()
    for (const each of definitions) if (each.comment !== undefined) entry.columnComments.set(each.name, each.comment)
    entry.loaded.clear()
    const name = `${isReplacing ? 'CREATE OR REPLACE TABLE' : 'CREATE TABLE'}${hasQuery ? ' AS SELECT' : ''}`
    await this.#commit(entry, name, rows)
    return hasQuery ? this.#affected(rows) : NOTHING
  }

  async #copy(): Promise<StatementResult> {
    const reader = this.#reader
    const entry = this.#tables.get(this.#path())
    reader.expect('FROM')
    let selected: SqlToken[] | undefined
    let from: string
    if (reader.take('(')) {
      selected = reader.untilClosed()
      const at = selected.findIndex(({ kind, value }) => kind === 'word' && /^from$/i.test(value))
      if (selected[at + 1]?.kind !== 'text') throw syntaxError('FROM')
      from = selected[at + 1]?.value ?? ''
    } else from = reader.text()
    let [formatOptions, copyOptions]: Record<string, string>[] = [{}, {}]
    let [format, names]: [string, string[] | undefined] = ['', undefined]
    while (!reader.isAtEnd) {
      if (reader.take('FILEFORMAT', '=')) format = reader.scalar().toLowerCase()
      else if (reader.take('FILES', '=')) names = Object.keys(reader.pairs())
      else if (reader.take('FORMAT_OPTIONS')) formatOptions = reader.pairs()
      else if (reader.take('COPY_OPTIONS')) copyOptions = reader.pairs()
      else reader.end()
    }
    if (format !== 'parquet' && format !== 'json')
      throw new FailedStatement('BAD_REQUEST', `[UNSUPPORTED_STATEMENT] FILEFORMAT = ${format}`)
    const odd = Object.keys({ ...formatOptions, ...copyOptions }).find((name) => !/^(?:mergeSchema|force)$/i.test(name))
    if (odd !== undefined) throw new FailedStatement('BAD_REQUEST', `[COPY_INTO_UNKNOWN_OPTION] ${odd}`)
    const isMerging = [formatOptions, copyOptions].every((options) => optionOf(options ?? {}, 'mergeSchema') === 'true')
    const files = (await this.#filesAt(from, names)).filter(
      ({ key }) => optionOf(copyOptions ?? {}, 'force') === 'true' || !entry.loaded.has(key),
    )
    const counts = (rows: number): StatementResult => ({
      columns: ['num_affected_rows', 'num_inserted_rows', 'num_skipped_corrupt_files'].map(bigint),
      rows: [[String(rows), String(rows), '0']],
    })
    if (files.length === 0) return counts(0)
    const source = await this.#reading(
      files.map(({ key }) => key),
      format,
    )
    const query = `SELECT * FROM ${source}`
    const wanted =
      selected === undefined
        ? query
        : await duckdbQuery(selected, this.#statement, this.#tables, () => Promise.resolve(source)).then((text) =>
            text.replace(quotedText(from), () => source),
          )
    const added = await this.#keep(wanted)
    const columns = await this.#columnsOf(added)
    expectNames(columns, entry.properties)
    const unknown = columns.find(({ name }) => !entry.columns.some((column) => sameName(column.name, name)))
    if (unknown !== undefined && !isMerging) {
      const message = `[COPY_INTO_SCHEMA_MISMATCH_WITH_TARGET_TABLE] A schema mismatch was detected while copying into the Delta table: the column ${unknown.name} is not in the table.`
      throw new FailedStatement('BAD_REQUEST', message)
    }
    for (const { name, typeText } of columns) {
      const target = entry.columns.find((column) => sameName(column.name, name))
      if (target !== undefined && target.typeText !== typeText)
        throw new FailedStatement(
          'BAD_REQUEST',
          `[DELTA_FAILED_TO_MERGE_FIELDS] Failed to merge fields '${target.name}' (${target.typeText}) and '${name}' (${typeText}).`,
        )
    }
    const { rows: before } = versionOf(entry, undefined)
    const rows = before === undefined ? added : await this.#keep(union(before, `SELECT * FROM "${added}"`))
    // By their paths alone: a file that is written again is not loaded again.
    for (const { key } of files) entry.loaded.add(key)
    await this.#commit(entry, 'COPY INTO', rows)
    return counts(await this.#count(added))
  }

  async #insert(isOverwriting: boolean): Promise<StatementResult> {
    const reader = this.#reader
    reader.take('TABLE')
    const entry = this.#tables.get(this.#path())
    const names = reader.take('(')
      ? reader.untilClosed().flatMap(({ kind, value }) => (kind === 'sign' ? [] : [value]))
      : undefined
    const isByName = reader.take('BY', 'NAME')
    const added = await this.#keep(await this.#translated(reader.rest()))
    const { rows: before } = versionOf(entry, undefined)
    if (before === undefined)
      throw new FailedStatement('BAD_REQUEST', '[INSERT_COLUMN_ARITY_MISMATCH] The table has no columns.')
    const targets = isByName ? undefined : (names ?? entry.columns.map(({ name }) => name))
    const columns = await this.#columnsOf(added)
    if (targets !== undefined && targets.length !== columns.length)
      throw new FailedStatement('BAD_REQUEST', '[INSERT_COLUMN_ARITY_MISMATCH] The numbers of columns differ.')
    const renamed = columns.map(({ name }, index) => `"${name}" AS "${targets?.[index] ?? name}"`).join(', ')
    const rows = await this.#keep(
      union(isOverwriting ? `(SELECT * FROM "${before}" LIMIT 0)` : before, `SELECT ${renamed} FROM "${added}"`),
    )
    if ((await this.#columnsOf(rows)).length !== entry.columns.length)
      throw new FailedStatement('BAD_REQUEST', '[DELTA_INSERT_COLUMN_MISMATCH] A column is not in the table.')
    await this.#commit(entry, 'WRITE', rows)
    return this.#affected(added)
  }

  #drop(): Promise<StatementResult> {
    const isOptional = this.#reader.take('IF', 'EXISTS')
    const path = this.#path()
    this.#reader.end()
    if (!isOptional) this.#tables.get(path)
    this.#tables.drop(path)
    return Promise.resolve(NOTHING)
  }

  async #alter(): Promise<StatementResult> {
    const reader = this.#reader
    const entry = this.#tables.get(this.#path())
    if (reader.take('SET', 'TBLPROPERTIES')) {
      Object.assign(entry.properties, reader.pairs())
      await this.#commit(entry, 'SET TBLPROPERTIES', versionOf(entry, undefined).rows)
    } else if (reader.take('UNSET', 'TBLPROPERTIES')) {
      reader.take('IF', 'EXISTS')
      for (const name of Object.keys(reader.pairs())) delete entry.properties[name]
      await this.#commit(entry, 'UNSET TBLPROPERTIES', versionOf(entry, undefined).rows)
    } else if (reader.take('SET', 'TAGS')) Object.assign(entry.tags, reader.pairs())
    else if (reader.take('UNSET', 'TAGS')) for (const name of Object.keys(reader.pairs())) delete entry.tags[name]
    else if (reader.take('ALTER', 'COLUMN') || reader.take('CHANGE', 'COLUMN')) {
      do {
        const column = reader.name().join('.')
        reader.expect('COMMENT')
        await this.#commentColumn(entry, column, reader.text())
      } while (reader.take(','))
    } else throw syntaxError(reader.rest()[0]?.value ?? 'end of input')
    reader.end()
    return NOTHING
  }

  async #commentOn(what: 'table' | 'column'): Promise<StatementResult> {
    const reader = this.#reader
    const name = reader.name()
    const column = what === 'column' ? name.pop() : undefined
    const entry = this.#tables.get(this.#tables.pathOf(name, this.#statement))
    reader.expect('IS')
    const comment = reader.take('NULL') ? undefined : reader.text()
    reader.end()
    if (column !== undefined) await this.#commentColumn(entry, column, comment)
    else {
      entry.comment = comment
      await this.#commit(entry, 'SET TBLPROPERTIES', versionOf(entry, undefined).rows)
    }
    return NOTHING
  }

  async #commentColumn(entry: TableEntry, column: string, comment: string | undefined): Promise<void> {
    if (!entry.columns.some(({ name }) => sameName(name, column))) {
      const message = `[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name \`${column}\` cannot be resolved. SQLSTATE: 42703`
      throw new FailedStatement('BAD_REQUEST', message)
    }
    if (comment === undefined) entry.columnComments.delete(column.toLowerCase())
    else entry.columnComments.set(column.toLowerCase(), comment)
    await this.#commit(entry, 'CHANGE COLUMN', versionOf(entry, undefined).rows)
  }

  #history(): Promise<StatementResult> {
    const { versions } = this.#tables.get(this.#path())
    const limit = this.#reader.take('LIMIT') ? Number(this.#reader.scalar()) : versions.length
    this.#reader.end()
    const rows = versions.map(({ at, operation }, version) => [String(version), new Date(at).toISOString(), operation])
    const types = { version: 'BIGINT', timestamp: 'TIMESTAMP', operation: 'STRING' }
    const columns = Object.entries(types).map(([name, typeText]) => ({ name, typeText }))
    return Promise.resolve({ columns, rows: rows.reverse().slice(0, limit) })
  }

  #describe(): Promise<StatementResult> {
    this.#reader.take('EXTENDED')
    const { columns, columnComments } = this.#tables.get(this.#path())
    this.#reader.end()
    return Promise.resolve({
      columns: ['col_name', 'data_type', 'comment'].map((name) => ({ name, typeText: 'STRING' })),
      rows: columns.map(({ name, typeText }) => [
        name,
        typeText.toLowerCase(),
        columnComments.get(name.toLowerCase()) ?? null,
      ]),
    })
  }

  #showProperties(): Promise<StatementResult> {
    const { properties } = this.#tables.get(this.#path())
    const only = this.#reader.take('(') ? this.#reader.untilClosed()[0]?.value : undefined
    this.#reader.end()
    return Promise.resolve({
      columns: ['key', 'value'].map((name) => ({ name, typeText: 'STRING' })),
      rows: Object.entries(properties).filter(([key]) => only === undefined || key === only),
    })
  }

  async #select(tokens: readonly SqlToken[]): Promise<StatementResult> {
    return this.#result(await this.#translated(tokens))
  }

  async #result(query: string): Promise<StatementResult> {
    const { api, connection } = this.#engine
    const read = await connection.runAndReadAll(query)
    const [names, types, rows] = [read.deduplicatedColumnNames(), read.columnTypes(), read.getRows()]
    const columns = names.map((name, index) => ({ name, typeText: typeTextOf(api, types[index]!) }))
    if (this.#statement.format !== 'ARROW_STREAM')
      return { columns, rows: rows.map((row) => row.map((value, index) => valueText(api, types[index]!, value))) }
    const arrow = await loadPeer<typeof Arrow>('apache-arrow', 'to answer statements in Arrow')
    const chunks = []
    for (let start = 0; start === 0 || start < rows.length; start += CHUNK_ROWS) {
      const slice = rows.slice(start, start + CHUNK_ROWS)
      const values = names.map((_, index) => slice.map((row) => row[index]))
      chunks.push({ bytes: arrowStream(arrow, api, names, types, values), rowCount: slice.length })
    }
    return { columns, rows: [], arrow: chunks }
  }

  #translated(tokens: readonly SqlToken[]): Promise<string> {
    return duckdbQuery(tokens, this.#statement, this.#tables, async (path, format) => {
      const files = await this.#filesAt(path, undefined)
      return this.#reading(
        files.map(({ key }) => key),
        format,
      )
    })
  }

  /** Objects at a path of a volume: a file, what is in a folder, or what a star stands for. */
  async #filesAt(path: string, names: readonly string[] | undefined): Promise<{ key: string }[]> {
    if (!/^(?:dbfs:)?\/Volumes\/[^/]+\/[^/]+\/[^/]+\//.test(path))
      throw new FailedStatement('BAD_REQUEST', `[PATH_NOT_FOUND] Path is not in a volume: ${path}. SQLSTATE: 42K03`)
    const prefix = path.replace(/^(?:dbfs:)?\//, '').replace(/\/$/, '')
    const pattern = new RegExp(`^${prefix.replace(/[.+?^$()|[\]{}\\]/g, '\\$&').replaceAll('*', '[^/]*')}(?:/.*)?$`)
    const found = (await this.#statement.storage.list(prefix.split('*')[0] ?? '')).filter(
      ({ key }) => pattern.test(key) && (names === undefined || names.some((name) => key === `${prefix}/${name}`)),
    )
    if (found.length === 0 || (names !== undefined && found.length < names.length))
      throw new FailedStatement('BAD_REQUEST', `[PATH_NOT_FOUND] Path does not exist: ${path}. SQLSTATE: 42K03`)
    return found
  }

  /** A table function of DuckDB that reads copies of the objects. */
  async #reading(keys: readonly string[], format: string): Promise<string> {
    if (format !== 'parquet' && format !== 'json')
      throw new FailedStatement('BAD_REQUEST', `[UNSUPPORTED_STATEMENT] This loopback workspace reads no ${format}.`)
    this.#folder ??= await mkdtemp(join(tmpdir(), 'lowrank-statement-'))
    const files: string[] = []
    for (const key of keys) {
      const file = join(this.#folder, `${files.length}.${format}`)
      await pipeline(await this.#statement.storage.get(key), createWriteStream(file))
      files.push(quotedText(file))
    }
    const list = `[${files.join(', ')}]`
    return format === 'parquet' ? await parquetReading(this.#engine.connection, list) : `read_json_auto(${list})`
  }

  /** Keeps the rows of a query. @returns their name */
  async #keep(query: string): Promise<string> {
    const name = `rows_${++rowsMade}`
    await this.#engine.connection.run(`CREATE TABLE "${name}" AS ${query}`)
    return name
  }

  async #keepEmpty(definitions: readonly ColumnDefinition[]): Promise<string> {
    const types = definitions.map(({ name, type }) => `CAST(NULL AS ${type}) AS "${name.replaceAll('"', '""')}"`)
    return this.#keep(`SELECT ${types.join(', ')} LIMIT 0`)
  }

  async #columnsOf(rows: string): Promise<ResultColumn[]> {
    const { api, connection } = this.#engine
    const read = await connection.runAndReadAll(`SELECT * FROM "${rows}" LIMIT 0`)
    const types = read.columnTypes()
    return read.columnNames().map((name, index) => ({ name, typeText: typeTextOf(api, types[index]!) }))
  }

  async #count(rows: string): Promise<number> {
    const read = await this.#engine.connection.runAndReadAll(`SELECT count(*) FROM "${rows}"`)
    return Number(read.getRows()[0]?.[0] ?? 0)
  }

  async #affected(rows: string | undefined): Promise<StatementResult> {
    const count = rows === undefined ? '0' : String(await this.#count(rows))
    return { columns: ['num_affected_rows', 'num_inserted_rows'].map(bigint), rows: [[count, count]] }
  }

  async #commit(entry: TableEntry, operation: string, rows: string | undefined): Promise<void> {
    if (rows !== undefined) entry.columns = await this.#columnsOf(rows)
    entry.versions.push({ operation, rows, at: Date.now() })
  }
}

interface ColumnDefinition {
  readonly name: string
  /** The type, as DuckDB calls it. */
  readonly type: string
  readonly comment: string | undefined
}

/** `name TYPE [NOT NULL] [COMMENT '...']`, with commas in between. */
function columnsOf(tokens: readonly SqlToken[]): ColumnDefinition[] {
  const reader = new SqlReader(tokens)
  const columns: ColumnDefinition[] = []
  do {
    const [name = ''] = reader.name()
    const type = duckdbType(reader)
    reader.take('NOT', 'NULL')
    const comment = reader.take('COMMENT') ? reader.text() : undefined
    columns.push({ name, type, comment })
  } while (reader.take(','))
  reader.end()
  return columns
}

/** @throws FailedStatement for names that Delta has only where columns are mapped */
function expectNames(columns: readonly ResultColumn[], properties: Readonly<Record<string, string>>): void {
  const odd = columns.find(({ name }) => /[ ,;{}()\n\t=]/.test(name))
  if (odd === undefined || properties['delta.columnMapping.mode'] === 'name') return
  const message = `[DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES] Found invalid character(s) among ' ,;{}()\\n\\t=' in the column names of your schema. Invalid column names: ${odd.name}.`
  throw new FailedStatement('BAD_REQUEST', message)
}

function union(rows: string, query: string): string {
  return `SELECT * FROM ${rows.startsWith('(') ? rows : `"${rows}"`} UNION ALL BY NAME ${query}`
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

function optionOf(options: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.entries(options)
    .find(([key]) => sameName(key, name))?.[1]
    .toLowerCase()
}

function bigint(name: string): ResultColumn {
  return { name, typeText: 'BIGINT' }
}
