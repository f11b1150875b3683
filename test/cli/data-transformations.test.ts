/** @file The commands that make data sets of others: what they write, what they say, and what they refuse. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lowrank } from './run-cli.js'

const RECIPES = fileURLToPath(new URL('../../examples/recipes/', import.meta.url))

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-cli-data-'))
  const rows = Array.from({ length: 40 }, (_, id) => ({
    id,
    group: id % 8,
    text: `this is the text of row ${id % 30}`,
  }))
  await writeFile(join(directory, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const inDirectory = (line: string) => lowrank(line.split(' '), { cwd: directory })

describe('lowrank data', () => {
  it('rules makes the golden rows and says what became of the others', async () => {
    const args = ['data', 'rules', `${RECIPES}synthetic-loans.jsonl`, '--rules', `${RECIPES}lending-club.yaml`]
    const { code, stdout, stderr } = await lowrank([...args, '--output', join(directory, 'loans.jsonl')])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(
      `Made instructions of 38 of 40 rows in ${join(directory, 'loans.jsonl')}\n  2 left out: no amount\n`,
    )
    expect(stdout).toContain('  14 without a rule\n  6 no number in dti\n')
    const golden = fileURLToPath(new URL('../transform/golden/lending-club.jsonl', import.meta.url))
    expect(await readFile(join(directory, 'loans.jsonl'), 'utf8')).toBe(await readFile(golden, 'utf8'))
  })

  it('split, unify and dedupe write JSON whose counts reconcile', async () => {
    const split = await inDirectory(
      'data split rows.jsonl --output parts --group-by group --split a=0.5 --split b=0.5 --json',
    )
    const { read, splits } = JSON.parse(split.stdout) as { read: number; splits: Record<string, { rows: number }> }
    expect({ code: split.code, read }).toEqual({ code: 0, read: 40 })
    expect(Object.values(splits).reduce((sum, { rows }) => sum + rows, 0)).toBe(40)
    expect(splits).toMatchObject({ a: { path: join('parts', 'a.jsonl') } })
    const dedupe = await inDirectory('data dedupe rows.jsonl --columns text --exact --output clean.jsonl --json')
    expect(JSON.parse(dedupe.stdout)).toMatchObject({ read: 40, written: 30, equal: 10, near: 0 })
    const unify = await lowrank([
      'data',
      'unify',
      `${RECIPES}unify.yaml`,
      '--output',
      join(directory, 'all.jsonl'),
      '--json',
    ])
    expect(JSON.parse(unify.stdout)).toMatchObject({ read: 84, sources: { notes: { read: 4, written: 3 } } })
  })

  it('convert, split and dedupe write Delta tables and Parquet, and one row is no rows', async () => {
    const convert = await inDirectory('data convert rows.jsonl table/ --partition-by group')
    expect(convert).toMatchObject({ code: 0, stdout: 'Wrote 40 rows to table/.\n' })
    expect(await readdir(join(directory, 'table'))).toContain('group=7')
    await writeFile(join(directory, 'one.jsonl'), '{"text": "a"}\n')
    const split = await inDirectory('data split one.jsonl --output one --split all=1 --format parquet')
    expect(split.stdout).toBe(`Split 1 row\n  1 row in ${join('one', 'all.parquet')}\n`)
    const dedupe = await inDirectory('data dedupe table --columns text --exact --output clean.arrow')
    expect(dedupe.stdout).toContain('Kept 30 of 40 rows in clean.arrow')
  })

  it('--sql writes a query, and no row is read', async () => {
    const rules = await lowrank([
      'data',
      'rules',
      '--rules',
      `${RECIPES}ieee-fraud.yaml`,
      '--sql',
      'main.default.payments',
    ])
    expect(rules.stdout).toMatch(/^WITH judged AS \(\n {2}SELECT \*,\n.*FROM main\.default\.payments\n/s)
    const split = await inDirectory('data split --sql rows --group-by id')
    expect(split.stdout).toContain("< 'e666666666667' THEN 'train' ELSE 'evaluation' END AS split\nFROM rows\n")
    const dedupe = await inDirectory('data dedupe --sql rows --key id --columns text')
    expect(dedupe.stdout).toContain('SELECT MIN(id) FROM rows')
  })

  it.each([
    ['data rules', ['expected --rules FILE', 'expected a file of rows', 'expected --output FILE']],
    [
      'data split rows.jsonl --output p --split train',
      ['expected a name and a share such as train=0.9 for --split, got train'],
    ],
    ['data split rows.jsonl --output p --split a=0.5', ['expected names and shares that make 1 together']],
    ['data dedupe rows.jsonl --output x.txt', ['or .feather for output, or in / for a Delta table, got "x.txt"']],
    [
      'data dedupe rows.jsonl --output x.csv --removed ./x.csv',
      ['expected a file of its own for each output, got "./x.csv"'],
    ],
    [
      'data dedupe rows.jsonl --output ./rows.jsonl',
      ['expected a file that no rows are read from for output, got "./rows.jsonl"'],
    ],
    ['data convert rows.jsonl rows.jsonl', ['expected a file that no rows are read from for output']],
    [
      'data convert rows.jsonl x.parquet --partition-by group',
      ['expected the folder of a Delta table for --partition-by, got x.parquet'],
    ],
    ['data convert rows.jsonl x/ --format csv', ['expected no --format for the Delta table x/']],
    ['data unify unify.yaml --output x --format csv', ['expected --split with --format']],
    ['data dedupe --sql rows', ['expected --key COLUMN with --sql', 'expected --columns NAMES with --sql']],
    ['data unify none.yaml --output a.jsonl', ['cannot read none.yaml: there is no such file']],
    ['data unify', ['expected a mapping file', 'expected --output FILE']],
  ])('%s is refused, saying all that is wrong', async (line, messages) => {
    const { code, stderr } = await inDirectory(line)
    expect(code).toBeGreaterThan(0)
    for (const message of messages) expect(stderr).toContain(message)
  })
})
