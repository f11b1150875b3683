/** @file The tables that statements have made: their versions, comments, properties, tags. Runs nothing. */

import { type ExecutedTable, FailedStatement, type ResultColumn, type StatementToExecute } from './executor.js'

/** One commit of a table. */
export interface TableVersion {
  /** Name of the rows within the executor; undefined for a table without columns. */
  readonly rows: string | undefined
  readonly operation: string
  /** Milliseconds since 1970. */
  readonly at: number
}

export interface TableEntry {
  readonly path: readonly [string, string, string]
  readonly versions: TableVersion[]
  columns: readonly ResultColumn[]
  comment: string | undefined
  properties: Record<string, string>
  tags: Record<string, string>
  readonly columnComments: Map<string, string>
  /** Files that COPY INTO has read, by path: it reads none twice. */
  readonly loaded: Set<string>
}

/** Tables by their names, which SQL takes in any case. */
export class ExecutedTables {
  readonly #entries = new Map<string, TableEntry>()

  /** @param where what a name of one or two parts is completed by */
  pathOf(name: readonly string[], where: Pick<StatementToExecute, 'catalog' | 'schema'>): [string, string, string] {
    if (name.length > 3) throw new FailedStatement('BAD_REQUEST', `[IDENTIFIER_TOO_MANY_NAME_PARTS] ${quoted(name)}`)
    const parts = [where.catalog ?? 'workspace', where.schema ?? 'default'].slice(0, 3 - name.length)
    return [...parts, ...name].map((part) => part.toLowerCase()) as [string, string, string]
  }

  find(path: readonly string[]): TableEntry | undefined {
    return this.#entries.get(keyOf(path))
  }

  /** @throws FailedStatement where there is none */
  get(path: readonly string[]): TableEntry {
    const entry = this.find(path)
    if (entry !== undefined) return entry
    const message = `[TABLE_OR_VIEW_NOT_FOUND] The table or view ${quoted(path)} cannot be found. SQLSTATE: 42P01`
    throw new FailedStatement('BAD_REQUEST', message)
  }

  /** A table that was not there: without a version yet. */
  create(path: readonly [string, string, string]): TableEntry {
    const entry: TableEntry = {
      path,
      versions: [],
      columns: [],
      comment: undefined,
      properties: {},
      tags: {},
      columnComments: new Map(),
      loaded: new Set(),
    }
    this.#entries.set(keyOf(path), entry)
    return entry
  }

  drop(path: readonly string[]): boolean {
    return this.#entries.delete(keyOf(path))
  }

  list(): ExecutedTable[] {
    return [...this.#entries.values()].map(
      ({ path, columns, comment, properties, tags, versions, columnComments }) => ({
        catalog: path[0],
        schema: path[1],
        name: path[2],
        columns: columns.map((column) => ({ ...column, comment: columnComments.get(column.name.toLowerCase()) })),
        comment,
        properties,
        tags,
        version: versions.length - 1,
      }),
    )
  }
}

/** @throws FailedStatement for a version that the table never had */
export function versionOf(entry: TableEntry, version: number | undefined): TableVersion {
  const found = entry.versions.at(version ?? -1)
  if (found !== undefined && (version === undefined || (Number.isInteger(version) && version >= 0))) return found
  const last = entry.versions.length - 1
  const message = `[DELTA_VERSION_NOT_FOUND] Cannot time travel Delta table to version ${version}. Available versions: [0, ${last}].`
  throw new FailedStatement('BAD_REQUEST', message)
}

function quoted(name: readonly string[]): string {
  return name.map((part) => `\`${part}\``).join('.')
}

function keyOf(path: readonly string[]): string {
  return JSON.stringify(path.map((part) => part.toLowerCase()))
}
