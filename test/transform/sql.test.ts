/** @file Queries of transformations, run in DuckDB: their rows are those of the functions that stream. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import { dedupeRows } from '../../src/transform/dedupe.js'
import { dedupeSql } from '../../src/transform/dedupe-sql.js'
import { rulesSql } from '../../src/transform/rules-sql.js'
import { splitRows } from '../../src/transform/split.js'
import { splitSql } from '../../src/transform/split-sql.js'
import { unifySources } from '../../src/transform/unify.js'
import { unifySql } from '../../src/transform/unify-sql.js'

const RECIPES = fileURLToPath(new URL('../../examples/recipes/', import.meta.url))
const GOLDEN = fileURLToPath(new URL('golden/', import.meta.url))
type Row = Record<string, unknown>

let directory: string
let query: (sql: string) => Promise<Row[]>
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-sql-'))
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  query = async (sql) => (await connection.runAndReadAll(sql)).getRowObjects() as Row[]
  for (const table of ['loans', 'payments'])
    await query(`CREATE TABLE ${table} AS SELECT * FROM read_json('${RECIPES}synthetic-${table}.jsonl')`)
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const rowsOf = async (path: string): Promise<Row[]> =>
  (await readFile(path, 'utf8'))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row)

it.each([
  ['lending-club', 'loans'],
  ['ieee-fraud', 'payments'],
])('the query of the rules %s gives the golden rows', async (recipe, table) => {
  expect(await query(await rulesSql(`${RECIPES}${recipe}.yaml`, table))).toEqual(
    await rowsOf(`${GOLDEN}${recipe}.jsonl`),
  )
})

it('queries of unified sources and of their splits give the rows of the functions', async () => {
  const whole = parse(await readFile(`${RECIPES}unify.yaml`, 'utf8')) as { sources: unknown[] }
  const mapping = { ...whole, sources: whole.sources.slice(0, 2) }
  const output = join(directory, 'unified.jsonl')
  const datasets = { loans: `${RECIPES}synthetic-loans.jsonl`, payments: `${RECIPES}synthetic-payments.jsonl` }
  await unifySources({ mapping, datasets, output })
  expect(await query(await unifySql(mapping, { loans: 'loans', payments: 'payments' }))).toEqual(await rowsOf(output))
  await query(`CREATE TABLE unified AS SELECT * FROM read_json('${output}')`)
  const splits = { train: 0.7, dev: 0.1, test: 0.2 }
  for (const by of [
    { splits, groupBy: 'context' },
    { splits, groupBy: 'source_row', stratifyBy: 'source', seed: 7 },
  ]) {
    const report = await splitRows({ dataset: output, outputDir: directory, ...by })
    const streamed = await Promise.all(
      Object.entries(report.splits).map(async ([name, { path }]) =>
        (await rowsOf(path)).map(({ source_row }) => `${source_row} ${name}`),
      ),
    )
    const queried = (await query(splitSql('unified', by))).map((row) => `${row.source_row} ${row.split}`)
    expect(queried.sort()).toEqual(streamed.flat().sort())
  }
})

it('the query of equal rows keeps those that the function keeps', async () => {
  const texts = ['a  b', 'a b ', '\ta\r\nb', 'ab', 'A b', "it's", "it's \\ n", "it's \\  n", '', ' ', 'a b c']
  const dataset = texts.map((text, id) => ({ id, text, other: id % 2 === 0 ? 'x y' : ' x  y' }))
  const input = join(directory, 'texts.jsonl')
  await writeFile(input, dataset.map((row) => `${JSON.stringify(row)}\n`).join(''))
  await query(`CREATE TABLE texts AS SELECT * FROM read_json('${input}')`)
  const output = join(directory, 'kept.jsonl')
  const columns = ['text', 'other']
  await dedupeRows({ dataset, columns, threshold: false, output })
  const kept = (await query(dedupeSql('texts', { columns, key: 'id' }))).map(({ id }) => Number(id))
  expect(kept).toEqual((await rowsOf(output)).map(({ id }) => id))
  expect(kept).toEqual([0, 3, 4, 5, 6, 8, 10])
})
