/** @file Partitions of Delta tables: ours read by deltalake and DuckDB, and theirs appended to. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { valuesOf } from '../support/golden-rows.js'
import { describeWithPython, runPython } from './python.js'

const TEXTS = ['a/b', 'a b', '%2F', '..', '=:?#*&', '\u{1f600}é', 'tab\t"\'\n', 'x'.repeat(300), null, 'None']
const ROWS = TEXTS.map((text, id) => ({
  id,
  text,
  number: id % 3 === 0 ? null : id - 5,
  score: id % 4 === 0 ? null : id / 8,
  flag: id % 2 === 0,
  at: id % 5 === 0 ? null : new Date(Date.UTC(2024, 0, 31, 1, 2, id, 250 * (id % 4))),
  messages: [{ role: 'user', content: `hi ${id}` }],
}))

// deltalake 1.6 cannot read decimals below zero in partitions, its own ones neither.
const MORE = [
  { id: 2, text: 'new', day: '1969-12-31', count: -1, small: 32_767, flag: false, price: '99999.99' },
  { id: 3, text: 'a b/%2F=', day: '2024-02-29', count: 5, small: -3, flag: true, price: '1.5' },
  { id: 4, text: null, day: null, count: null, small: null, flag: null, price: null },
]

describeWithPython('partitions elsewhere', () => {
  it('are those of deltalake and DuckDB, of tables that we make and of theirs that we append to', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-partitions-'))
    const script = fileURLToPath(new URL('delta_partitions.py', import.meta.url))
    const python = async (step: string): Promise<string> => {
      const { code, stdout, stderr } = await runPython([script, step, folder])
      expect(code, stderr).toBe(0)
      return stdout
    }
    try {
      await python('make')
      await writeDelta(ROWS.slice(0, 6), join(folder, 'ours'), {
        partitionBy: ['text', 'number', 'score', 'flag', 'at'],
      })
      await writeDelta(ROWS.slice(6), join(folder, 'ours'), { mode: 'append' })
      await writeDelta(ROWS, join(folder, 'plain'))
      await writeDelta(MORE, join(folder, 'theirs'), { mode: 'append' })
      const found = JSON.parse(await python('read')) as Record<string, unknown>
      const pythonTime = (at: Date | null): string | null =>
        at?.toISOString().replace('T', ' ').replace('.000Z', '+00:00').replace('Z', '000+00:00') ?? null
      const rows = ROWS.map((row) => ({ ...row, at: pythonTime(row.at) }))
      for (const name of ['deltalake ours', 'duckdb ours', 'deltalake plain', 'duckdb plain'])
        expect(found[name], name).toEqual(rows)
      expect(found['partitions ours']).toEqual(['text', 'number', 'score', 'flag', 'at'])
      const first = { id: 0, text: 'a b/%2F=', day: '2024-02-29', count: 5, small: -3, flag: true, price: '1.50' }
      const theirs = [first, { ...MORE[2], id: 1 }, MORE[0], { ...MORE[1], price: '1.50' }, MORE[2]]
      for (const name of ['deltalake theirs', 'duckdb theirs']) expect(found[name], name).toEqual(theirs)
      const byId = (values: unknown[]): unknown[] => [...(values as { id: number }[])].sort((a, b) => a.id - b.id)
      expect(byId(await valuesOf(join(folder, 'theirs')))).toEqual(theirs)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
