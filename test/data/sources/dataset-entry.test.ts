/** @file Data sets as objects: splits, slices, orders, limits, names of columns, and mixes by weight. */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type DataSource, isDataSource, openSource } from '../../../src/data/sources/open-source.js'
import { readContext } from '../../support/read-rows.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)
const numbered = (count: number, letter = '') =>
  Array.from({ length: count }, (_, index) => ({ text: `${letter}${index}` }))

async function texts(source: DataSource, context = readContext()): Promise<string[]> {
  const found: string[] = []
  for await (const { value } of openSource(source).rows(context)) {
    found.push((value instanceof Map ? value.get('text') : (value as { text: string }).text) as string)
  }
  return found
}

const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row)).join('\n')

beforeAll(async () => {
  await mkdir(at('set'))
  await writeFile(at('set/train.jsonl'), lines(numbered(15)))
  await writeFile(at('set/dev.jsonl'), lines(numbered(4, 'v')))
})

describe('an entry of data', () => {
  it('is refused by the name of what it does not take, alone, in a list and in a mix', async () => {
    const path = at('set/dev.jsonl')
    const message = 'unknown option "lmit"; did you mean "limit"?'
    for (const source of [
      { path, lmit: 2 },
      [{ path, lmit: 2 }],
      [path, { path, lmit: 2 }],
      { mix: [{ path, lmit: 2 }] },
    ] as unknown as DataSource[])
      await expect((async () => await texts(source))()).rejects.toThrow(message)
    // Rows that have a column of that name.
    expect(await texts([{ path, text: 'x', limits: 3 }] as DataSource)).toEqual(['x'])
  })

  it('takes slices of splits as the package datasets does', async () => {
    const path = at('set')
    const all = numbered(15).map(({ text }) => text)
    // 10 % of 15 rows are 1.5, which Python rounds to 2; 30 % are 4.5, which it rounds to 4.
    for (const [split, wanted] of [
      ['train', all],
      ['train[:3]', all.slice(0, 3)],
      ['train[4:6]', all.slice(4, 6)],
      ['train[-2:]', all.slice(-2)],
      ['train[:10%]', all.slice(0, 2)],
      ['train[10%:30%]', all.slice(2, 4)],
      ['train[-20%:]', all.slice(-3)],
      ['train[:1]+validation[1:3]', ['0', 'v1', 'v2']],
    ] as const) {
      expect(await texts({ path, split }), split).toEqual(wanted)
    }
    expect(await texts({ path: numbered(10), split: 'train[50%:]' })).toEqual(['5', '6', '7', '8', '9'])
  })

  it('refuses splits that are none, or are not there, and slices beyond the end', async () => {
    const path = at('set')
    for (const split of ['', 'train[', 'train[5]', 'train[:101%]', 'a b']) {
      expect(() => openSource({ path, split })).toThrow(/^\[data\] expected (?:a split as 'train'|text for split)/)
    }
    await expect(texts({ path, split: 'test' })).rejects.toThrow('expected the split "test" in')
    await expect(texts({ path, split: 'train[:16]' })).rejects.toThrow('expected 16 rows in a slice of')
    await expect(texts({ path, split: 'train[-16:]' })).rejects.toThrow('got -16 where it has 15; give fewer')
    expect(() => openSource({ path: numbered(3), split: 'test' })).toThrow(
      "expected the split 'train' of rows that are in no",
    )
    const once = (function* () {
      yield* numbered(4)
    })()
    await expect(texts({ path: once, split: 'train[:50%]' })).rejects.toThrow('rows that can be read twice')
  })

  it('takes another split for what is evaluated', async () => {
    const rows: unknown[] = []
    for await (const { value } of openSource({ path: at('set') }, 'evalDataset').rows(readContext())) rows.push(value)
    expect(rows).toEqual(numbered(4, 'v'))
  })

  it('shuffles before it limits, in the order of the seed, and a limit is the beginning of a larger one', async () => {
    const path = numbered(5000)
    const all = await texts({ path, shuffle: true, seed: 7 })
    expect([...all].sort()).toEqual(path.map(({ text }) => text).sort())
    expect(all).not.toEqual(path.map(({ text }) => text))
    expect(await texts({ path, shuffle: true, seed: 7, limit: 30 })).toEqual(all.slice(0, 30))
    expect(await texts({ path, shuffle: true, seed: 8, limit: 30 })).not.toEqual(all.slice(0, 30))
    // A fair sample: the mean of 1,000 of the numbers below 5,000 is 2,500, give or take four deviations of 45.6.
    const sample = all.slice(0, 1000).map(Number)
    expect(Math.abs(sample.reduce((sum, value) => sum + value, 0) / 1000 - 2499.5)).toBeLessThan(4 * 45.6)
  })

  it('selects rows by their number, in the order given', async () => {
    expect(await texts({ path: numbered(9), select: [4, 0, 4], limit: 2 })).toEqual(['4', '0'])
    await expect(texts({ path: numbered(3), select: [1, 3] })).rejects.toThrow('expected the row 3 for select')
  })

  it('renames the columns of one data set, and says where none has them', async () => {
    const path = [{ question: 'a' }, { question: 'b' }]
    expect(await texts([{ path, columns: { text: 'question' } }, { path: [{ text: 'c' }] }])).toEqual(['a', 'b', 'c'])
    await expect(texts({ path, columns: { text: 'answer' } })).rejects.toThrow('the column "answer"')
  })

  it('says which files its rows came from, with the hash of those that were read whole', async () => {
    const context = readContext()
    await texts(
      [
        { path: at('set'), limit: 2 },
        { path: at('set'), split: 'validation' },
      ],
      context,
    )
    const [first, second] = context.lineage
    expect(first).toEqual({ location: at('set/train.jsonl'), rows: 2, size: lines(numbered(15)).length })
    expect([second?.location, second?.rows, second?.sha256?.length]).toEqual([at('set/dev.jsonl'), 4, 64])
  })

  it('is refused by the name of what it does not take, and told from rows that have a path', () => {
    expect(() => openSource({ path: 'a', limt: 5 } as never)).toThrow('did you mean "limit"?')
    expect(() => openSource({ path: 'a', limit: 0 })).toThrow('expected a whole number of at least 1 for limit')
    expect(() => openSource([{ path: 'a', weight: 1 }, { path: 'b' }])).toThrow('expected a weight in each data set')
    expect(openSource([{ path: 'a.png', text: 'b' }]).name).toBe('rows of a program')
    expect(isDataSource({ path: 'a' })).toBe(true)
  })
})

describe('a mix of data', () => {
  const mix = [
    { path: numbered(400, 'a'), weight: 3 },
    { path: numbered(90, 'b'), weight: 1 },
  ]
  const of = (rows: readonly string[], letter: string) => rows.filter((text) => text.startsWith(letter))

  it('draws rows by weight, each data set in its order, until the first one ends', async () => {
    const rows = await texts(mix)
    const [a, b] = [of(rows, 'a'), of(rows, 'b')]
    expect(a).toEqual(
      numbered(400, 'a')
        .slice(0, a.length)
        .map(({ text }) => text),
    )
    expect(b).toEqual(
      numbered(90, 'b')
        .slice(0, b.length)
        .map(({ text }) => text),
    )
    // One has ended, with the row that came last.
    expect([a.length === 400, b.length === 90].filter(Boolean)).toHaveLength(1)
    expect(rows.at(-1)).toBe(a.length === 400 ? 'a399' : 'b89')
    // 3 of 4 rows are of the first, give or take four deviations.
    const deviation = Math.sqrt(0.75 * 0.25 * rows.length)
    expect(Math.abs(a.length - 0.75 * rows.length)).toBeLessThan(4 * deviation)
    expect(await texts(mix)).toEqual(rows)
    expect(await texts({ mix, seed: 1 })).not.toEqual(rows)
  })

  it('goes on until the last one ends, while others begin anew', async () => {
    const rows = await texts({ mix, stoppingStrategy: 'all_exhausted' })
    for (const [letter, count] of [
      ['a', 400],
      ['b', 90],
    ] as const) {
      const own = of(rows, letter)
      expect(own).toEqual(own.map((_, index) => `${letter}${index % count}`))
      expect(own.length).toBeGreaterThanOrEqual(count)
    }
    expect(['a399', 'b89']).toContain(rows.at(-1))
    expect(await texts({ mix, stopping_strategy: 'all_exhausted', limit: 3 } as never)).toEqual(rows.slice(0, 3))
  })

  it('is refused where a source would hardly ever be drawn, which would keep it from its end', async () => {
    const rare = [{ path: numbered(1), weight: 1e-300 }, { path: numbered(1) }]
    await expect(texts({ mix: rare, stoppingStrategy: 'all_exhausted' })).rejects.toThrow(
      '[data] expected a share of at least 0.000001 of a mix for each source, got the weight 1e-300 of 1 for rows of a program',
    )
  })

  it('refuses a data set without rows, and one that cannot begin anew', async () => {
    await expect(texts({ mix: [{ path: [] }, { path: numbered(2) }] })).rejects.toThrow(
      'expected rows in each source of a mix',
    )
    const once = (function* () {
      yield { text: 'x' }
    })()
    const both = {
      mix: [{ path: once, weight: 50 }, { path: numbered(99) }],
      stoppingStrategy: 'all_exhausted' as const,
    }
    await expect(texts(both)).rejects.toThrow('expected rows that can be read again for a mix')
  })

  it('tells of every part where its rows came from, once', async () => {
    const context = readContext()
    await texts({ mix: [at('set/train.jsonl'), at('set/dev.jsonl')], stoppingStrategy: 'all_exhausted' }, context)
    const locations = new Set(context.lineage.map(({ location }) => location))
    expect([locations.size, context.lineage.length]).toEqual([2, 2])
    expect(context.fractions.at(-1)).toBe(1)
  })
})
