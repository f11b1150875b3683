/** @file Several sources in one schema: values, provenance, counts, splits, and errors of mapping files. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type UnifyReport, type UnifySourcesOptions, unifySources } from '../../src/transform/unify.js'

const RECIPE = fileURLToPath(new URL('../../examples/recipes/unify.yaml', import.meta.url))

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-unify-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const rowsOf = async (path: string): Promise<Record<string, unknown>[]> =>
  (await readFile(path, 'utf8'))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0)

function expectReconciled({ sources, ...all }: UnifyReport): void {
  for (const { read, written, skipped } of [all, ...Object.values(sources)])
    expect(read).toBe(written + sum(Object.values(skipped)))
  expect(all.read).toBe(sum(Object.values(sources).map(({ read }) => read)))
  expect(all.written).toBe(sum(Object.values(sources).map(({ written }) => written)))
}

describe('the recipe of three sources', () => {
  it('makes one schema, says where each row comes from, and counts each row', async () => {
    const output = join(directory, 'unified.jsonl')
    const report = await unifySources({ mapping: RECIPE, output })
    expectReconciled(report)
    expect(report.sources).toEqual({
      loans: { read: 40, written: 38, skipped: { where: 2 } },
      payments: expect.objectContaining({ read: 40 }),
      notes: { read: 4, written: 3, skipped: { 'no value for context': 1 } },
    })
    const rows = await rowsOf(output)
    expect(rows).toHaveLength(report.written)
    const columns = ['instruction', 'context', 'response', 'amount', 'source', 'source_row']
    expect(rows.every((row) => Object.keys(row).join() === columns.join())).toBe(true)
    expect(rows[0]).toEqual({
      instruction: 'Say whether this loan was paid back.',
      context: 'Loan of 28700 at 16.65%, grade C, for car.',
      response: 'Defaulted: 1',
      amount: 28700,
      source: 'loans',
      source_row: '1000',
    })
    expect(rows.at(-1)).toMatchObject({ amount: null, source: 'notes', source_row: 'analyst-notes.jsonl:4' })
    const ids = rows.map(({ source, source_row }) => `${source} ${source_row}`)
    expect(new Set(ids).size).toBe(rows.length)
  })

  it('is divided with seed 42 so that each source gives a tenth to evaluation, the same rows each time', async () => {
    const splits = { train: 0.9, evaluation: 0.1 }
    const options = { mapping: RECIPE, output: join(directory, 'divided'), splits, seed: 42 }
    const report = await unifySources(options)
    expectReconciled(report)
    const evaluation = await rowsOf(report.splits?.evaluation?.path as string)
    const train = await rowsOf(report.splits?.train?.path as string)
    expect(train.length + evaluation.length).toBe(report.written)
    for (const [name, { written }] of Object.entries(report.sources)) {
      const ofSource = evaluation.filter(({ source }) => source === name).length
      expect(ofSource, name).toBe(written - Math.floor(0.9 * written + 0.5))
    }
    const again = await unifySources({ ...options, output: join(directory, 'again') })
    for (const name of ['train', 'evaluation'] as const)
      expect(await readFile(again.splits?.[name]?.path as string, 'utf8')).toBe(
        await readFile(report.splits?.[name]?.path as string, 'utf8'),
      )
  })
})

const MAPPING = {
  columns: ['text'],
  optional: ['score', 'isGood', 'whole'],
  sources: [
    {
      name: 'one',
      columns: {
        text: { column: 'inner.text', type: 'text' },
        score: { column: 'score', type: 'number' },
        isGood: { column: 'good', type: 'boolean' },
        whole: { column: 'whole', type: 'integer' },
      },
    },
  ],
}

describe('values', () => {
  it('are converted, and rows whose value is none of its type are left out by reason', async () => {
    const output = join(directory, 'values.jsonl')
    const one = [
      { inner: { text: 2 }, score: '1.5%', good: 'TRUE', whole: '7' },
      { inner: { text: 'a' }, score: '', good: 0 },
      { inner: { text: 'b' }, score: 'many' },
      { inner: { text: 'c' }, good: 'maybe' },
      { inner: { text: 'd' }, whole: 1.5 },
      { inner: {} },
    ]
    const report = await unifySources({ mapping: MAPPING, output, datasets: { one } })
    expect(await rowsOf(output)).toEqual([
      { text: '2', score: 1.5, isGood: true, whole: 7, source: 'one', source_row: 'row 1' },
      { text: 'a', score: null, isGood: false, whole: null, source: 'one', source_row: 'row 2' },
    ])
    expect(report.skipped).toEqual({
      'no number for score': 1,
      'neither true nor false for isGood': 1,
      'no whole number for whole': 1,
      'no value for text': 1,
    })
    expectReconciled(report)
  })
})

describe('a mapping that is wrong', () => {
  const GOOD = `columns: [text]
sources:
  - name: one
    path: one.jsonl
    columns:
      text: body
`
  it.each([
    ['an unknown field', GOOD.replace('path', 'pth'), /unknown field "pth" in .*m\.yaml:4; did you mean path\?/],
    [
      'a column of no schema',
      GOOD.replace('text: body', 'txt: body'),
      /expected one of the columns text for sources\[0\]\.columns\.txt in .*:6/,
    ],
    [
      'a column that no source has',
      GOOD.replace('[text]', '[text, more]'),
      /expected the column more too for sources\[0\]\.columns in .*:6/,
    ],
    [
      'two meanings',
      GOOD.replace('body', '{ column: a, text: b }'),
      /expected one of column, text and constant for .* in .*:6/,
    ],
    [
      'an unknown type',
      GOOD.replace('body', '{ column: a, type: date }'),
      /expected text, number, integer, boolean for .*\.type in .*:6/,
    ],
    ['a column of provenance', GOOD.replace('[text]', '[text, source]'), /expected columns other than source/],
    ['no sources', 'columns: [text]\nsources: []\n', /expected a list of sources for sources in .*:2/],
    [
      'two sources of a name',
      `${GOOD}  - { name: one }\n`,
      /a name that no other source has for sources\[1\]\.name in .*:7/,
    ],
  ])('%s is refused with its place', async (_, text, message) => {
    const mapping = join(directory, 'm.yaml')
    await writeFile(mapping, text)
    await expect(unifySources({ mapping, output: join(directory, 'never.jsonl') })).rejects.toThrow(message)
  })

  it.each([
    [{}, /expected rows for the source one, got neither its path in the mapping nor datasets\.one/],
    [{ datasets: { two: [] } }, /expected names of sources \(one\) in datasets, got two/],
  ])('the options %j are refused', async (options, message) => {
    const given: UnifySourcesOptions = { mapping: MAPPING, output: join(directory, 'never.jsonl'), ...options }
    await expect(unifySources(given)).rejects.toThrow(message)
  })
})
