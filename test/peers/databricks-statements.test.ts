/** @file The statements of the loopback workspace, run by sqlglot, DuckDB and deltalake in Python. */

import { expect, test } from 'vitest'
import { describeStatements, rowsOf, run } from '../support/statement-cases.js'
import { describeWithPython, runPython } from './python.js'
import { type PythonExecutor, pythonExecutor } from './sql-executor.js'

let executor: PythonExecutor

describeWithPython('statements in Python', () => {
  describeStatements(
    'statements that sqlglot parses',
    async () => {
      executor = await pythonExecutor()
      return executor
    },
    () => {
      test('a table that statements have made is one that deltalake opens', async () => {
        await run("CREATE TABLE main.chat.t (id BIGINT COMMENT 'key', note STRING)")
        await run("INSERT INTO main.chat.t VALUES (1, 'one'), (2, 'two')")
        expect(
          await rowsOf('SELECT note FROM t VERSION AS OF 1 WHERE id >= :p1', {
            parameters: [{ name: 'p1', value: '2', type: 'INT' }],
          }),
        ).toEqual([['two']])
        const script = 'import sys, deltalake; print(len(deltalake.DeltaTable(sys.argv[1]).to_pyarrow_table()))'
        const { stdout, stderr } = await runPython(['-c', script, executor.folderOf('main', 'chat', 't')])
        expect(stdout.trim(), stderr).toBe('2')
      })
    },
  )
})
