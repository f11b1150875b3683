/** @file Encoded rows kept from one run to the next: when they are taken, and when they are made anew. */

import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { prepareItems } from '../../src/data/dataset.js'
import { EncodedCache } from '../../src/data/encoded-cache.js'
import type { Example } from '../../src/data/examples.js'
import { resolveDataOptions } from '../../src/data/options.js'
import { ONE_SEQUENCE, type RowCoding } from '../../src/data/row-coding.js'
import { RowStore } from '../../src/data/row-store.js'
import type { DataSource } from '../../src/data/sources/open-source.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { Turns } from '../../src/turns.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const folder = temporaryDirectory()
const ROWS = 2100
const { tokenizer: file, config } = tinyByteLevelTokenizer()

function writeTokenizer(name: string, more: object = {}): string {
  const path = join(folder, name)
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(file))
  writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ ...config, ...more }))
  return path
}

function writeRows(path: string, first = 'one'): string {
  const lines = Array.from({ length: ROWS }, (_, row) =>
    JSON.stringify({ prompt: `Row ${row}`, completion: row === 0 ? first : 'two', row_weight: row % 2 ? 1 : 0.5 }),
  )
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

const tokenizer = await loadTokenizer(writeTokenizer('tokenizer'))

interface Prepared {
  readonly encoded: number
  readonly isCached: boolean
  readonly rest: unknown
}

/** What was prepared, and for how many rows it took encoding. */
async function prepare(source: DataSource, cache: string | undefined, options = {}, by = tokenizer): Promise<Prepared> {
  let encoded = 0
  const coding: RowCoding<Example> = {
    ...ONE_SEQUENCE,
    encode(row, context) {
      encoded++
      return ONE_SEQUENCE.encode(row, context)
    },
  }
  const { evalSplit: _, ...resolved } = resolveDataOptions({ datasetNumProc: 0, ...options })
  const cached = cache === undefined ? undefined : { directory: cache, dataset: source }
  const storage = { memory: 1000, directory: folder }
  const { items, isCached, ...rest } = await prepareItems(source, by, coding, resolved, storage, cached)
  const all = { ...rest, items: [...items], weights: [0, 1, 2].map((row) => items.weightAt(row)) }
  items.close()
  return { encoded, isCached, rest: all }
}

const entriesOf = (cache: string): string[] =>
  readdirSync(join(cache, 'encoded-rows')).map((name) => join(cache, 'encoded-rows', name))

test('a second preparation of the same files takes the rows of the first, and encodes none', async () => {
  const cache = join(folder, 'same')
  const path = writeRows(join(folder, 'same.jsonl'))
  const first = await prepare(path, cache)
  expect(first).toMatchObject({ encoded: ROWS, isCached: false })
  expect(await prepare(path, cache)).toEqual({ encoded: 0, isCached: true, rest: first.rest })
  expect(await prepare(path, undefined)).toEqual(first)
  expect(entriesOf(cache)).toHaveLength(1)
})

test('rows are encoded anew where a file, an option or the tokenizer has changed', async () => {
  const cache = join(folder, 'changes-cache')
  const rows = join(folder, 'changes')
  mkdirSync(rows, { recursive: true })
  const path = writeRows(join(rows, 'train.jsonl'))
  await prepare(rows, cache)
  expect((await prepare(rows, cache)).isCached).toBe(true)
  // As long as before, and with its time.
  const { atime, mtime } = statSync(path)
  writeRows(path, 'six')
  utimesSync(path, atime, mtime)
  const changed = await prepare(rows, cache)
  expect(changed).toMatchObject({ encoded: ROWS, isCached: false })
  expect(await prepare(rows, cache)).toEqual({ encoded: 0, isCached: true, rest: changed.rest })
  expect((await prepare(rows, cache, { maxLength: 7 })).isCached).toBe(false)
  expect((await prepare({ path: rows, limit: 2090 }, cache)).isCached).toBe(false)
  const other = await loadTokenizer(writeTokenizer('other', { note: 'another file' }))
  expect((await prepare(rows, cache, {}, other)).isCached).toBe(false)
  writeFileSync(join(rows, 'train-more.jsonl'), '{"prompt": "More", "completion": "rows"}\n')
  expect(await prepare(rows, cache)).toMatchObject({ encoded: ROWS + 1, isCached: false })
})

test('an entry that is damaged or cut is made again', async () => {
  const cache = join(folder, 'damage')
  const path = writeRows(join(folder, 'damage.jsonl'))
  const { rest } = await prepare(path, cache)
  const [entry = ''] = entriesOf(cache)
  const whole = readFileSync(entry)
  const damaged = [3, 9, 20, 40, whole.length >> 1, whole.length - 200, whole.length - 34, whole.length - 1].map(
    (at) => {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] as number) ^ 0x55
      return bytes
    },
  )
  const cut = [0, 10, 50, whole.length >> 1, whole.length - 1].map((length) => whole.subarray(0, length))
  for (const [index, bytes] of [...damaged, ...cut].entries()) {
    if (!isLong && index % 3 !== 1) continue
    writeFileSync(entry, bytes)
    expect(await prepare(path, cache), `damage ${index}`).toEqual({ encoded: ROWS, isCached: false, rest })
    expect(readFileSync(entry).equals(whole)).toBe(true)
  }
  expect(await prepare(path, cache)).toEqual({ encoded: 0, isCached: true, rest })
})

test('two preparations at once give the same rows and leave one entry', async () => {
  const cache = join(folder, 'twice')
  const path = writeRows(join(folder, 'twice.jsonl'))
  const [first, second] = await Promise.all([prepare(path, cache), prepare(path, cache)])
  expect(second.rest).toEqual(first.rest)
  expect(entriesOf(cache)).toHaveLength(1)
  expect(await prepare(path, cache)).toEqual({ encoded: 0, isCached: true, rest: first.rest })
})

test('rows of a program and a few rows leave no entry, and a folder that cannot be written does not end the run', async () => {
  const cache = join(folder, 'none')
  await prepare(
    Array.from({ length: ROWS }, () => ({ prompt: 'a', completion: 'b' })),
    cache,
  )
  writeFileSync(join(folder, 'few.jsonl'), '{"prompt": "a", "completion": "b"}\n')
  await prepare(join(folder, 'few.jsonl'), cache)
  expect(() => entriesOf(cache)).toThrow('ENOENT')
  const path = writeRows(join(folder, 'blocked.jsonl'))
  expect(await prepare(path, path)).toMatchObject({ encoded: ROWS, isCached: false })
})

test('entries that were not used for the longest time make room for others', async () => {
  const cache = join(folder, 'room')
  const example = { inputIds: new Int32Array(50), labels: new Int32Array(50), numSupervised: 49, promptLength: 0 }
  const store = new RowStore()
  for (let row = 0; row < 2100; row++) store.add(example)
  store.finish()
  const source = writeRows(join(folder, 'room.jsonl'))
  const { rest } = await prepare(source, undefined)
  const { statistics, lineage } = rest as Parameters<EncodedCache['write']>[1]
  const facts = { statistics, lineage }
  const entry = (name: string): EncodedCache => new EncodedCache(cache, name, 1_300_000)
  const reads = async (name: string): Promise<boolean> => {
    const found = await entry(name).read({}, new Turns())
    found?.items.close()
    return found !== undefined
  }
  await entry('first').write(store, facts, new Turns())
  await entry('second').write(store, facts, new Turns())
  for (const [at, path] of entriesOf(cache).entries()) utimesSync(path, 1000 + at, 1000 + at)
  expect([await reads('first'), await reads('second')]).toEqual([true, true])
  for (const path of entriesOf(cache)) utimesSync(path, 1000, 1000)
  // To be read counts as use.
  expect(await reads('first')).toBe(true)
  await entry('third').write(store, facts, new Turns())
  expect([await reads('first'), await reads('second'), await reads('third')]).toEqual([true, false, true])
})

test('progress moves while the files of an entry are hashed and the entry is read', async () => {
  const cache = join(folder, 'progress')
  const rows = join(folder, 'large.jsonl')
  const long = 'x'.repeat(2048)
  const lines = Array.from({ length: ROWS }, (_, row) =>
    JSON.stringify({ prompt: `Row ${row}`, completion: 'two', long }),
  )
  writeFileSync(rows, `${lines.join('\n')}\n`)
  const { columns, ...given } = resolveDataOptions({ datasetNumProc: 0 })
  const prepared = async (onProgress?: (rows: number, fraction: number | undefined) => void) => {
    const { evalSplit: _, ...resolved } = { ...given, columns }
    const storage = { memory: 1e9, directory: folder }
    const options = { ...resolved, ...(onProgress && { onProgress }) }
    const { items, ...rest } = await prepareItems(rows, tokenizer, ONE_SEQUENCE, options, storage, {
      directory: cache,
      dataset: rows,
    })
    items.close()
    return rest
  }
  await prepared()
  // Each look at the clock is a second later, so that all that could be told is told.
  let now = 0
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000))
  const told: [number, number | undefined][] = []
  const { isCached } = await prepared((...progress) => told.push(progress))
  clock.mockRestore()
  expect(isCached).toBe(true)
  expect(told.at(0)).toEqual([0, 0])
  expect(told.at(-1)).toEqual([ROWS, 1])
  const shares = told.map(([, fraction]) => fraction as number)
  expect(shares).toEqual([...shares].sort((a, b) => a - b))
  // A piece is a mebibyte, and the file has more than four of them.
  expect(shares.filter((share) => share > 0 && share < 1).length).toBeGreaterThanOrEqual(4)
})
