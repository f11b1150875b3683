/**
 * @file Statements of a loopback workspace run by Python: sqlglot parses them, DuckDB reads the staged files, deltalake
 * keeps the tables. It knows nothing of how lowrank reads SQL, Parquet and Delta.
 */

import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import {
  type ExecutedTable,
  FailedStatement,
  type StatementExecutor,
  type StatementResult,
} from '../../src/testing/executor.js'
import type { ObjectStorage } from '../../src/testing/object-storage.js'
import { startPython } from './python.js'

export interface PythonExecutor extends StatementExecutor {
  /** Folder of a Delta table that statements have made. */
  folderOf(catalog: string, schema: string, name: string): string
  readonly statements: readonly string[]
}

interface Said {
  readonly failed?: string
  readonly columns?: StatementResult['columns']
  readonly rows?: StatementResult['rows']
  readonly arrow?: string
  readonly rowCount?: number
  readonly tables?: readonly ExecutedTable[]
}

export async function pythonExecutor(): Promise<PythonExecutor> {
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-sql-'))
  const [volumes, tables] = [join(folder, 'volumes'), join(folder, 'tables')]
  await mkdir(volumes)
  await mkdir(tables)
  const child = startPython([fileURLToPath(new URL('sql_executor.py', import.meta.url)), volumes, tables])
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const statements: string[] = []
  const copies = new Map<string, string>()

  const ask = async (asked: object): Promise<Said> => {
    child.stdin.write(`${JSON.stringify(asked)}\n`)
    const { value, done } = await answers.next()
    if (done === true) throw new Error(`[test] the executor ended: ${errors.slice(-2000)}`)
    return JSON.parse(value) as Said
  }
  /** Lays the objects of the volumes where Python reads them; each once. */
  const copyVolumes = async (storage: ObjectStorage): Promise<void> => {
    const found = await storage.list('Volumes/')
    const gone = [...copies.keys()].filter((key) => !found.some((each) => each.key === key))
    for (const key of gone) {
      await rm(join(volumes, key), { force: true })
      copies.delete(key)
    }
    for (const { key, etag } of found) {
      if (copies.get(key) === etag) continue
      const file = join(volumes, key)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(`${file}.part`, await storage.get(key))
      await rename(`${file}.part`, file)
      copies.set(key, etag)
    }
  }
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }
  return {
    statements,
    folderOf: (...path) => join(tables, ...path.map((part) => part.toLowerCase())),
    execute: ({ storage, ...statement }) =>
      inTurn(async () => {
        statements.push(statement.statement)
        await copyVolumes(storage)
        const { failed, columns = [], rows = [], arrow, rowCount = 0 } = await ask(statement)
        if (failed !== undefined) throw new FailedStatement('BAD_REQUEST', failed)
        if (arrow === undefined) return { columns, rows }
        return { columns, rows, arrow: [{ bytes: new Uint8Array(Buffer.from(arrow, 'hex')), rowCount }] }
      }),
    tables: () => inTurn(async () => withoutNulls((await ask({})).tables ?? [])),
    dropTable: async (catalog, schema, name) => {
      const isThere = (await inTurn(async () => (await ask({})).tables ?? [])).some(
        (table) => table.catalog === catalog && table.schema === schema && table.name === name,
      )
      await rm(join(tables, catalog, schema, name), { recursive: true, force: true })
      return isThere
    },
    close: async () => {
      child.stdin.end()
      await new Promise((resolve) => (child.exitCode === null ? child.on('close', resolve) : resolve(undefined)))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Python has null where nothing was said. */
function withoutNulls(tables: readonly ExecutedTable[]): readonly ExecutedTable[] {
  return tables.map((table) => ({
    ...table,
    comment: table.comment ?? undefined,
    columns: table.columns.map((column) => ({ ...column, comment: column.comment ?? undefined })),
  }))
}
