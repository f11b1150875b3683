/** @file Files and Delta tables that lowrank writes, opened by pyarrow, DuckDB and deltalake; and theirs here. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { valuesOf } from '../support/golden-rows.js'
import { describeWithPython, runPython } from './python.js'

const ROWS = Array.from({ length: 37 }, (_, id) => ({
  id,
  text: id % 5 === 0 ? null : `text "${id}",\n\u{1f600}`,
  score: id + 0.25,
  flag: id % 2 === 0,
  messages:
    id % 7 === 0
      ? null
      : [
          { role: 'user', content: `hi ${id}` },
          { role: 'assistant', content: null },
        ].slice(0, id % 3),
}))

describeWithPython('rows of lowrank elsewhere', () => {
  it('are equal in pyarrow, DuckDB and deltalake, and theirs are equal here', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-tables-'))
    try {
      for (const ending of ['jsonl', 'csv', 'parquet', 'arrow']) await writeRows(ROWS, join(folder, `rows.${ending}`))
      await writeDelta(ROWS.slice(0, 30), join(folder, 'ours'))
      await writeDelta(ROWS.slice(30), join(folder, 'ours'), { mode: 'append' })
      const script = fileURLToPath(new URL('data_tables.py', import.meta.url))
      const { code, stdout, stderr } = await runPython([script, folder])
      expect(code, stderr).toBe(0)
      const found = JSON.parse(stdout) as Record<string, unknown>
      for (const name of ['pyarrow parquet', 'pyarrow arrow', 'duckdb parquet']) expect(found[name], name).toEqual(ROWS)
      for (const name of ['pyarrow csv rows', 'duckdb csv rows', 'duckdb jsonl rows'])
        expect(found[name], name).toBe(ROWS.length)
      expect(found['deltalake version']).toBe(1)
      const byId = (rows: unknown): unknown => [...(rows as { id: number }[])].sort((a, b) => a.id - b.id)
      expect(byId(found['deltalake rows'])).toEqual(ROWS)
      expect(await valuesOf(join(folder, 'ours'))).toHaveLength(ROWS.length + 1)
      expect(byId(await valuesOf(join(folder, 'theirs')))).toEqual(found.theirs)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
