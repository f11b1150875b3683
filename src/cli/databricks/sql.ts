/** @file `lowrank databricks sql`: runs a statement on a SQL warehouse and shows what comes of it. */

import { writerFor } from '../../data/writers/write-options.js'
import { type SqlStatement, type SqlValue, statementOf, typed } from '../../databricks/client/sql.js'
import type { StatementResult } from '../../databricks/client/statement-result.js'
import { describeValue } from '../../errors.js'
import { integer, text } from '../../options/rules.js'
import { createBar } from '../../progress/progress.js'
import { countOfRows } from '../../progress/terminal.js'
import { cutToWidth, harmless } from '../../progress/text-width.js'
import type { Command } from '../command.js'
import { KEY_VALUES, keyValues } from '../key-values.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'
import { JSON_LINES, writeJson, writeTable } from './output.js'
import { showStatement, WAREHOUSE_FLAGS, type WarehouseFlags } from './warehouse-flag.js'

interface SqlFlags extends WarehouseFlags, ConnectionFlags {
  readonly param?: readonly string[]
  readonly catalog?: string
  readonly schema?: string
  readonly limit?: number
  readonly output?: string
  readonly json?: boolean
}

interface Sql extends SqlFlags {
  readonly statement: SqlStatement
}

const NAME = 'databricks sql'
/** Rows that are shown where nobody says how many. */
const SHOWN_ROWS = 100
/** Columns of the terminal that a cell takes at most. */
const CELL_WIDTH = 60

export const command: Command<SqlFlags, Sql> = {
  summary: 'run a SQL statement on a warehouse',
  details:
    'A table of the first rows is shown; --output and --json give all. A warehouse that is stopped starts with the statement. ' +
    'Ctrl-C cancels the statement.',
  arguments: [{ name: 'STATEMENT', help: 'SQL, in quotes; values stand in it as :name', otherwise: 'needed' }],
  flags: {
    param: {
      rule: KEY_VALUES,
      otherwise: 'none',
      help: 'a value of the statement: text, or of a type, as in n:INT=5',
      flag: { name: '--param', argument: 'name=value', group: 'Statement', isRepeatable: true },
    },
    catalog: {
      rule: text,
      otherwise: 'that of the warehouse',
      help: 'catalog of names that say none',
      flag: { name: '--catalog', argument: 'name' },
    },
    schema: {
      rule: text,
      otherwise: 'that of the warehouse',
      help: 'schema of names that say none',
      flag: { name: '--schema', argument: 'name' },
    },
    ...WAREHOUSE_FLAGS,
    limit: {
      rule: integer({ min: 1 }),
      otherwise: `${SHOWN_ROWS} where a table is shown, else all`,
      help: 'rows at most',
      flag: { name: '--limit', argument: 'n', group: 'Output' },
    },
    output: {
      rule: text,
      otherwise: 'stdout',
      help: 'file of the rows, whose ending names its format: .csv, .jsonl, .parquet, .arrow',
      flag: { name: '--output', argument: 'file' },
    },
    json: JSON_LINES,
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'Look at a table', line: 'databricks sql "select * from main.default.rows"' },
    {
      text: 'Give a value, whose text never becomes SQL',
      line: 'databricks sql "select * from a.b.c limit :n" --param n:INT=5',
    },
    { text: 'Save a result', line: 'databricks sql "select prompt from a.b.c" --output prompts.csv' },
  ],
  check({ flags, words: [statement = ''] }) {
    if (statement.trim() === '')
      throw new UsageError(`[${NAME}] expected a statement, got nothing; write it in quotes: ${NAME} 'select 1'`)
    if (flags.output !== undefined) {
      if (flags.json) throw new UsageError(`[${NAME}] expected --output or --json, got both; leave one out`)
      writerFor(flags.output, undefined)
    }
    return { ...flags, statement: statementOf(statement, parametersOf(flags.param)) }
  },
  async run({ statement, catalog, schema, warehouse, limit, output, json, ...connection }) {
    const { executeStatement } = await import('../../databricks/client/statements.js')
    const bar = createBar()
    const isShown = output === undefined && !json
    const rowLimit = limit ?? (isShown ? SHOWN_ROWS : undefined)
    await untilSignal(async (signal) => {
      try {
        const result = await executeStatement(statement, {
          databricks: connectionOf(connection),
          disposition: isShown ? 'INLINE' : 'EXTERNAL_LINKS',
          onEvent: (event) => showStatement(bar, event),
          signal,
          ...(catalog !== undefined && { catalog }),
          ...(schema !== undefined && { schema }),
          ...(warehouse !== undefined && { warehouseId: warehouse }),
          ...(rowLimit !== undefined && { rowLimit }),
        })
        if (output !== undefined) {
          const { writeRows } = await import('../../data/writers/write-rows.js')
          const written = await writeRows(result.rows(), output, { signal })
          bar.close()
          process.stdout.write(`Wrote ${countOfRows(written.rows)} to ${written.path}.\n`)
        } else if (json) for await (const row of result.rows()) writeJson(withoutBigInts(row))
        else {
          bar.close()
          await showRows(result)
        }
        if (result.isCut && limit === undefined)
          process.stderr.write(`There are more rows: --limit, --output and --json show them.\n`)
      } finally {
        bar.close()
      }
    })
  },
}

/** @throws UsageError for types that no value has */
function parametersOf(words: readonly string[] | undefined): Record<string, SqlValue> {
  return Object.fromEntries(
    Object.entries(keyValues(NAME, '--param', words)).map(([key, value]) => {
      const [, name = key, type] = /^([^:]+):(.+)$/s.exec(key) ?? []
      if (!/^[A-Za-z_]\w*$/.test(name))
        throw new UsageError(
          `[${NAME}] expected a name of letters, digits and _ for --param, got ${describeValue(name)}; write --param name=value`,
        )
      return [name, type === undefined ? value : typed(value, type)]
    }),
  )
}

async function showRows(result: StatementResult): Promise<void> {
  const heads = result.columns.map(({ name }) => name)
  if (heads.length === 0) {
    process.stdout.write('Done\n')
    return
  }
  const rows: string[][] = []
  for await (const row of result.rows()) rows.push(heads.map((name) => cellOf(row[name])))
  writeTable(heads, rows)
  process.stdout.write(`${countOfRows(rows.length)}\n`)
}

function cellOf(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(withoutBigInts(value ?? null)) ?? '')
  return cutToWidth(harmless(text).replaceAll('\n', '\u240a'), CELL_WIDTH)
}

/** JSON has whole numbers of any size, but not JSON.stringify: those beyond 2^53 are texts. */
function withoutBigInts(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, each: unknown) =>
      typeof each === 'bigint'
        ? String(each)
        : each instanceof Uint8Array
          ? Buffer.from(each).toString('base64')
          : each,
    ),
  )
}
