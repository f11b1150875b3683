/** @file Statements that the loopback workspace runs by itself: what they make, and what it refuses. */

import { tableFromIPC } from 'apache-arrow'
import { expect, test } from 'vitest'
import { duckdbExecutor } from '../../src/testing/duckdb-executor.js'
import { describeStatements, rowsOf, run } from '../support/statement-cases.js'

describeStatements(
  'statements of the loopback workspace',
  async () => duckdbExecutor(),
  () => {
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
      expect(await rowsOf('select count(*) from main.chat.t version as of 1')).toEqual([['2']])
      await run('DROP TABLE t')
      await run('DROP TABLE IF EXISTS t')
      await expect(run('DROP TABLE t')).rejects.toThrow('[TABLE_OR_VIEW_NOT_FOUND]')
    })
  },
)
