/** @file Statements that every executor of a loopback workspace has to run alike, on staged Parquet files. */

import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StatementExecutor, StatementResult, StatementToExecute } from '../../src/testing/executor.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'

let workspace: LoopbackWorkspace

/** Runs a statement in `main.chat` of the workspace of the test. */
export function run(statement: string, more: Partial<StatementToExecute> = {}): Promise<StatementResult> {
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

/** The rows of a statement. */
export const rowsOf = async (statement: string, more?: Partial<StatementToExecute>): Promise<unknown> =>
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

/** Runs the cases in a workspace with this executor; more tests of the file may go on with {@link run}. */
export function describeStatements(title: string, start: () => Promise<StatementExecutor>, more: () => void): void {
  describe(title, () => {
    beforeEach(async () => {
      workspace = await startWorkspace({ execute: await start() })
    })
    afterEach(() => workspace.close())

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
      await expect(run('select * from rows version as of 7')).rejects.toThrow('[DELTA_VERSION_NOT_FOUND]')
    })

    test('COPY INTO of a selection casts to the types of the table, takes the files that are named, and no others', async () => {
      await stage('in/a.parquet', [1, 2])
      await stage('in/b.parquet', [3])
      await run('CREATE TABLE main.chat.rows (id INT, text STRING, nested ARRAY<STRUCT<role: STRING, n: INT>>)')
      const from = "'/Volumes/main/chat/stage/in'"
      const copy = (select: string, files: string): string =>
        `COPY INTO main.chat.rows FROM (SELECT ${select} FROM ${from}) FILEFORMAT = PARQUET FILES = (${files})`
      const select = 'CAST(`id` AS INT) AS `id`, `text`'
      await expect(run(copy('id, text', "'a.parquet'"))).rejects.toThrow(/\[DELTA_FAILED_TO_MERGE_FIELDS\]/)
      await expect(run(copy(select, "'a.parquet', 'c.parquet'"))).rejects.toThrow('[PATH_NOT_FOUND]')
      await expect(run(copy('nothing', "'a.parquet'"))).rejects.toThrow('nothing')
      await expect(run(copy(`${select}, text AS other`, "'a.parquet'"))).rejects.toThrow('[COPY_INTO_SCHEMA_MISMATCH')
      expect(await rowsOf('SELECT count(*) FROM rows')).toEqual([['0']])
      expect(await rowsOf(copy(select, "'b.parquet'"))).toEqual([['1', '1', '0']])
      await stage('in/b.parquet', [4, 5])
      expect(await rowsOf(copy(select, "'b.parquet'"))).toEqual([['0', '0', '0']])
      expect(await rowsOf(copy(select, "'a.parquet', 'b.parquet'"))).toEqual([['2', '2', '0']])
      expect(await rowsOf('SELECT id, nested FROM rows ORDER BY id')).toEqual([
        ['1', null],
        ['2', null],
        ['3', null],
      ])
    })

    test('CREATE OR REPLACE TABLE reads files of a volume and keeps comments, properties and tags', async () => {
      await stage('x y/a.parquet', [1, 2])
      const files = "read_files('/Volumes/main/chat/stage/x y/', format => 'parquet')"
      await run(
        `CREATE OR REPLACE TABLE \`main\`.\`chat\`.\`t\` COMMENT 'it\\'s' TBLPROPERTIES ('lowrank.source' = 'abc') AS SELECT \`id\`, text FROM ${files}`,
      )
      await run("ALTER TABLE main.chat.t ALTER COLUMN text COMMENT 'what was said'")
      await run("ALTER TABLE main.chat.t SET TAGS ('pii' = 'no')")
      expect(await workspace.state.executor.tables?.()).toMatchObject([
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
          version: expect.any(Number),
        },
      ])
      await expect(run('CREATE TABLE main.chat.t AS SELECT 1 AS a')).rejects.toThrow('[TABLE_OR_VIEW_ALREADY_EXISTS]')
      await expect(run('ALTER TABLE t ALTER COLUMN nothing COMMENT "x"')).rejects.toThrow('[UNRESOLVED_COLUMN')
    })

    test('what is not there, and what it does not run, fails with a word for it', async () => {
      const failures: readonly (readonly [string, string])[] = [
        ['SELECT * FROM main.chat.nothing', '[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`chat`.`nothing`'],
        ["SELECT * FROM read_files('/Volumes/main/chat/stage/none', format => 'parquet')", '[PATH_NOT_FOUND]'],
        ["COPY INTO nothing FROM '/Volumes/a/b/c/d' FILEFORMAT = PARQUET", '[TABLE_OR_VIEW_NOT_FOUND]'],
        ['OPTIMIZE main.chat.rows', '[UNSUPPORTED'],
        ['SELECT 1; DROP TABLE x', '[PARSE_SYNTAX_ERROR]'],
        ['SELEC 1', '['],
        ['SELECT nothing FROM range(1)', 'nothing'],
      ]
      for (const [statement, message] of failures) await expect(run(statement)).rejects.toThrow(message)
    })

    more()
  })
}
