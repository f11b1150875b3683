/** @file Statements that the loopback workspace runs by itself: what they make, and what it refuses. */

import { tableFromIPC } from 'apache-arrow'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StatementResult, StatementToExecute } from '../../src/testing/executor.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'

let workspace: LoopbackWorkspace
beforeEach(async () => {
  workspace = await startWorkspace()
})
afterEach(() => workspace.close())

function run(statement: string, more: Partial<StatementToExecute> = {}): Promise<StatementResult> {
  const { storage, executor } = workspace.state
  return executor.execute({
    statement,
    catalog: 'main',
    schema: 'chat',
    parameters: [],
    format: 'JSON_ARRAY',
    storage,
    ...more,
  })
}

const rowsOf = async (statement: string, more?: Partial<StatementToExecute>): Promise<unknown> =>
  (await run(statement, more)).rows

async function stage(name: string, ids: readonly number[], extra = false): Promise<void> {
  const columnData = [
    { name: 'id', data: ids.map(BigInt), type: 'INT64' as const },
    { name: 'text', data: ids.map((id) => `text ${id}`), type: 'STRING' as const },
    ...(extra ? [{ name: 'extra', data: ids.map(() => 0.5), type: 'DOUBLE' as const }] : []),
  ]
  const bytes = new Uint8Array(parquetWriteBuffer({ columnData }))
  await workspace.state.storage.put(
    `Volumes/main/chat/stage/${name}`,
    (async function* () {
      yield bytes
    })(),
  )
}

const COPY = "COPY INTO `main`.`chat`.`rows` FROM '/Volumes/main/chat/stage/in' FILEFORMAT = PARQUET"
const MERGE = "FORMAT_OPTIONS ('mergeSchema' = 'true') COPY_OPTIONS ('mergeSchema' = 'true')"

describe('statements of the loopback workspace', () => {
  test('COPY INTO reads each staged file once', async () => {
    await stage('in/a.parquet', [1, 2, 3])
    await run('CREATE TABLE IF NOT EXISTS main.chat.rows')
    expect(await rowsOf(`${COPY} ${MERGE}`)).toEqual([['3', '3', '0']])
    expect(await rowsOf(`${COPY} ${MERGE}`)).toEqual([['0', '0', '0']])
    await stage('in/b.parquet', [4], true)
    await expect(run(COPY)).rejects.toThrow('[COPY_INTO_SCHEMA_MISMATCH_WITH_TARGET_TABLE]')
    expect(await rowsOf(`${COPY} ${MERGE}`)).toEqual([['1', '1', '0']])
    expect(await rowsOf('SELECT * FROM rows ORDER BY id DESC LIMIT 2')).toEqual([
      ['4', 'text 4', '0.5'],
      ['3', 'text 3', null],
    ])
    expect(await rowsOf('select count(*) from main.chat.rows version as of 1')).toEqual([['3']])
    await expect(run('select * from rows version as of 7')).rejects.toThrow('[DELTA_VERSION_NOT_FOUND]')
  })

  test('CREATE OR REPLACE TABLE reads files of a volume and keeps comments, properties and tags', async () => {
    await stage('x y/a.parquet', [1, 2])
    const files = "read_files('/Volumes/main/chat/stage/x y/', format => 'parquet')"
    await run(
      `CREATE OR REPLACE TABLE \`main\`.\`chat\`.\`t\` COMMENT 'it\\'s' TBLPROPERTIES ('lowrank.source' = 'abc') AS SELECT \`id\`, text FROM ${files}`,
    )
    await run("ALTER TABLE main.chat.t ALTER COLUMN text COMMENT 'what was said'")
    await run("ALTER TABLE main.chat.t SET TAGS ('pii' = 'no')")
    expect(await workspace.state.executor.tables?.()).toEqual([
      {
        catalog: 'main',
        schema: 'chat',
        name: 't',
        columns: [
          { name: 'id', typeText: 'BIGINT', comment: undefined },
          { name: 'text', typeText: 'STRING', comment: 'what was said' },
        ],
        comment: "it's",
        properties: { 'lowrank.source': 'abc' },
        tags: { pii: 'no' },
        version: 1,
      },
    ])
    await expect(run('CREATE TABLE main.chat.t AS SELECT 1 AS a')).rejects.toThrow('[TABLE_OR_VIEW_ALREADY_EXISTS]')
    await expect(run('ALTER TABLE t ALTER COLUMN nothing COMMENT "x"')).rejects.toThrow('[UNRESOLVED_COLUMN')
  })

  test('values go in by parameters and come out as text in the types of Databricks', async () => {
    const parameters = [
      { name: 'p1', value: "o'; DROP TABLE t", type: 'STRING' },
      { name: 'p2', value: '9007199254740993', type: 'BIGINT' },
      { name: 'p3', value: null, type: 'STRING' },
    ]
    const { columns, rows } = await run(
      "SELECT :p1 AS a, :p2 AS b, :p3 AS c, true AS d, DATE '2026-01-31' AS e, CAST('1.50' AS DECIMAL(10,2)) AS f, ['x', NULL] AS g, {'role': 'user', 'n': 2} AS h, CAST(2 AS DOUBLE) AS i",
      { parameters },
    )
    expect(columns.map(({ typeText }) => typeText)).toEqual([
      'STRING',
      'BIGINT',
      'STRING',
      'BOOLEAN',
      'DATE',
      'DECIMAL(10,2)',
      'ARRAY<STRING>',
      'STRUCT<role: STRING, n: INT>',
      'DOUBLE',
    ])
    expect(rows).toEqual([
      [
        "o'; DROP TABLE t",
        '9007199254740993',
        null,
        'true',
        '2026-01-31',
        '1.50',
        '["x",null]',
        '{"role":"user","n":2}',
        '2.0',
      ],
    ])
    await expect(run('SELECT :absent')).rejects.toThrow('[UNBOUND_SQL_PARAMETER] Found the unbound parameter: absent')
  })

  test('a result in Arrow has the same values', async () => {
    const { arrow } = await run(
      "SELECT id, CAST(id AS STRING) AS s, [id] AS l, {'r': id} AS o, TIMESTAMP_NTZ '2026-01-31 12:00:00' AS t, DATE '2026-01-31' AS d, CAST(1.5 AS DECIMAL(9,2)) AS c FROM range(50001)",
      { format: 'ARROW_STREAM' },
    )
    expect(arrow?.map(({ rowCount }) => rowCount)).toEqual([50_000, 1])
    const last = tableFromIPC(arrow?.[1]?.bytes ?? new Uint8Array()).toArray()[0]
    expect([last?.id, last?.s, [...last.l], last?.o.r, last?.t, last?.d]).toEqual([
      50_000n,
      '50000',
      [50_000n],
      50_000n,
      Date.UTC(2026, 0, 31, 12),
      Date.UTC(2026, 0, 31),
    ])
    expect(Number(last?.c[0])).toBe(150)
  })

  test('what is not there, and what it does not run, fails with a word for it', async () => {
    const failures: readonly (readonly [string, string])[] = [
      ['SELECT * FROM main.chat.nothing', '[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`chat`.`nothing`'],
      ["SELECT * FROM read_files('/Volumes/main/chat/stage/none', format => 'parquet')", '[PATH_NOT_FOUND]'],
      ["COPY INTO nothing FROM '/Volumes/a/b/c/d' FILEFORMAT = PARQUET", '[TABLE_OR_VIEW_NOT_FOUND]'],
      ['OPTIMIZE main.chat.rows', '[UNSUPPORTED_STATEMENT] This loopback workspace does not run OPTIMIZE'],
      ['SELECT 1; DROP TABLE x', '[PARSE_SYNTAX_ERROR]'],
      ['SELEC 1', '[UNSUPPORTED_STATEMENT]'],
      ['SELECT nothing FROM range(1)', 'nothing'],
    ]
    for (const [statement, message] of failures) await expect(run(statement)).rejects.toThrow(message)
  })

  test('rows are inserted and overwritten, and the history has every version', async () => {
    await run("CREATE TABLE t (id BIGINT NOT NULL COMMENT 'key', note STRING) USING DELTA")
    await run("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    await run('INSERT OVERWRITE t (note, id) SELECT note || id, id + 10 FROM t WHERE id = 2')
    expect(await rowsOf('WITH x AS (SELECT * FROM t) SELECT x.* FROM x')).toEqual([['12', 'two2']])
    expect(
      (await run('DESCRIBE HISTORY t LIMIT 2')).rows.map(([version, , operation]) => [version, operation]),
    ).toEqual([
      ['2', 'WRITE'],
      ['1', 'WRITE'],
    ])
    await run('DROP TABLE t')
    await run('DROP TABLE IF EXISTS t')
    await expect(run('DROP TABLE t')).rejects.toThrow('[TABLE_OR_VIEW_NOT_FOUND]')
  })
})
