/** @file Splits: shares, groups without leakage, strata, and rows that go the same way whatever their order is. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../src/random.js'
import { type SplitReport, type SplitRowsOptions, splitRows } from '../../src/transform/split.js'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-split-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

type Row = Record<string, unknown>

/** 1,003 rows in 97 groups of very different sizes, and strata of 90 %, 9 % and 1 %. */
const ROWS: readonly Row[] = Array.from({ length: 1003 }, (_, id) => ({
  id,
  group: `g${Math.floor((id % 97) * ((id % 7) / 7))}`,
  level: id % 100 === 0 ? 'rare' : id % 11 === 0 ? 'some' : 'most',
}))

let runs = 0
async function split(
  options: Partial<SplitRowsOptions>,
): Promise<{ report: SplitReport; rows: Record<string, Row[]> }> {
  const outputDir = join(directory, `run-${runs++}`)
  const report = await splitRows({ dataset: ROWS, outputDir, ...options })
  const rows: Record<string, Row[]> = {}
  for (const [name, { path }] of Object.entries(report.splits)) {
    const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1)
    rows[name] = lines.map((line) => JSON.parse(line) as Row)
  }
  return { report, rows }
}
const idsOf = (rows: readonly Row[] | undefined): unknown[] => (rows ?? []).map(({ id }) => id)

describe('a split', () => {
  it('a split that is ended by its signal leaves no folder behind', async () => {
    const stop = new AbortController()
    async function* rows() {
      for (const row of ROWS) {
        if (row.id === 500) stop.abort(new Error('stopped'))
        yield row
      }
    }
    const outputDir = join(directory, 'stopped', 'parts')
    const dataset = rows()
    await expect(splitRows({ dataset, outputDir, signal: stop.signal })).rejects.toThrow('stopped')
    expect(await readdir(directory)).not.toContain('stopped')
  })

  it('puts each row into one file, in its order, near the shares', async () => {
    const { report, rows } = await split({})
    expect(report).toMatchObject({ read: 1003, strata: {}, withoutGroup: 0 })
    const all = [...idsOf(rows.train), ...idsOf(rows.evaluation)]
    expect(new Set(all).size).toBe(1003)
    expect(idsOf(rows.train)).toEqual(idsOf(rows.train).toSorted((a, b) => Number(a) - Number(b)))
    // Four standard deviations of 1,003 draws at 0.1 are 38.
    expect(Math.abs((rows.evaluation?.length ?? 0) - 100.3)).toBeLessThan(38)
    expect(report.splits.evaluation?.rows).toBe(rows.evaluation?.length)
  })

  it('gives a row the same side whatever the order of the rows, and another seed another one', async () => {
    const first = await split({})
    const shuffled = await split({ dataset: new Random(1).shuffle_([...ROWS]) })
    expect(new Set(idsOf(shuffled.rows.evaluation))).toEqual(new Set(idsOf(first.rows.evaluation)))
    const other = await split({ seed: 43 })
    expect(idsOf(other.rows.evaluation)).not.toEqual(idsOf(first.rows.evaluation))
  })

  it('keeps the rows of a group together, and those without a group apart', async () => {
    const dataset = [...ROWS, { id: -1 }, { id: -2, group: null }]
    const { report, rows } = await split({ dataset, groupBy: 'group', splits: { train: 0.6, dev: 0.2, test: 0.2 } })
    expect(report.withoutGroup).toBe(2)
    const groups = Object.values(rows).map((part) => new Set(part.map(({ group }) => group).filter(Boolean)))
    expect(groups.map(({ size }) => size > 0)).toEqual([true, true, true])
    expect(groups.reduce((sum, { size }) => sum + size, 0)).toBe(new Set(ROWS.map(({ group }) => group)).size)
    expect(Object.values(report.splits).reduce((sum, part) => sum + part.rows, 0)).toBe(1005)
  })

  it.each(['groupBy', 'stratifyBy'] as const)('refuses a column of %s that no row has', async (option) => {
    await expect(split({ [option]: 'grup' })).rejects.toThrow(
      `[split] expected the column "grup", which ${option} names, in a row, got it in none; the first row has id, group, level: correct ${option}`,
    )
  })

  it('keeps equal rows together without a group', async () => {
    const dataset = [...ROWS, ...ROWS].map(({ level, id }) => ({ level, text: `t${Number(id) % 50}` }))
    const { rows } = await split({ dataset, splits: { train: 0.5, evaluation: 0.5 } })
    const texts = Object.values(rows).map((part) => new Set(part.map((row) => JSON.stringify(row))))
    const [train, evaluation] = texts
    expect([...(evaluation ?? [])].filter((text) => train?.has(text))).toEqual([])
    expect(evaluation?.size).toBeGreaterThan(10)
  })

  it('divides each stratum by the shares to the nearest whole row', async () => {
    const { report } = await split({ stratifyBy: 'level' })
    const counts = (level: string): number => ROWS.filter((row) => row.level === level).length
    for (const level of ['rare', 'some', 'most'])
      expect(report.strata[level]?.train, level).toBe(Math.floor(0.9 * counts(level) + 0.5))
    expect(report.strata.rare).toEqual({ train: 10, evaluation: 1 })
    expect(report.splits.evaluation?.rows).toBe(
      Object.values(report.strata).reduce((sum, { evaluation = 0 }) => sum + evaluation, 0),
    )
  })

  it('keeps groups together that lie in several strata', async () => {
    const { rows } = await split({ stratifyBy: 'level', groupBy: 'group' })
    const train = new Set(rows.train?.map(({ group }) => group))
    expect(rows.evaluation?.length).toBeGreaterThan(10)
    expect(rows.evaluation?.filter(({ group }) => train.has(group))).toEqual([])
  })
})

describe('a split that cannot be made', () => {
  it('rows that can be read once only are not stratified', async () => {
    const outputDir = join(directory, 'once')
    const once = splitRows({ dataset: [{ a: 1 }].values(), outputDir, stratifyBy: 'a' })
    await expect(once).rejects.toThrow(/expected the same rows when they are read a second time for stratifyBy/)
    expect(await readdir(directory)).not.toContain('once')
  })

  it.each([
    [{ splits: { train: 0.9, evaluation: 0.2 } }, /names and shares that make 1 together/],
    [{ splits: { '../train': 1 } }, /names and shares that make 1 together/],
    [{ splits: {} }, /names and shares/],
    [{ group: 'a' }, /unknown option "group"; did you mean "groupBy"\?/],
    [{ outputDir: undefined }, /expected a path for outputDir, got nothing/],
  ])('the options %j are refused', async (options, message) => {
    const given = { dataset: [], outputDir: join(directory, 'never'), ...options } as unknown as SplitRowsOptions
    await expect(splitRows(given)).rejects.toThrow(message)
  })

  it('a damaged row leaves the files that were there', async () => {
    const outputDir = join(directory, 'damaged')
    await splitRows({ dataset: ROWS.slice(0, 9), outputDir })
    const before = await readFile(join(outputDir, 'train.jsonl'), 'utf8')
    const dataset = join(directory, 'damaged.jsonl')
    await writeFile(dataset, '{"a": 1}\n{"a": }\n')
    await expect(splitRows({ dataset, outputDir })).rejects.toMatchObject({ file: dataset, row: 2 })
    expect(await readFile(join(outputDir, 'train.jsonl'), 'utf8')).toBe(before)
    expect((await readdir(outputDir)).sort()).toEqual(['evaluation.jsonl', 'train.jsonl'])
  })
})
