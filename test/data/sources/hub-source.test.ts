/** @file Data sets of the Hub by their id: which files are rows, where they come from, and what happens without. */

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { prepareDataset } from '../../../src/data/dataset.js'
import type { DatasetEntry } from '../../../src/data/sources/dataset-entry.js'
import { type DataSource, isPath, openSource } from '../../../src/data/sources/open-source.js'
import { writeRows } from '../../../src/data/writers/write-rows.js'
import type { DownloadEvent } from '../../../src/hub/download-event.js'
import { createTokenizer } from '../../../src/tokenizer/tokenizer.js'
import { hubCase, tree } from '../../hub/hub-case.js'
import { refuse, sha256 } from '../../support/hub-answers.js'
import { readContext } from '../../support/read-rows.js'
import { rejection, temporaryDirectory } from '../../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../../support/tiny-tokenizer.js'

vi.mock('node:timers/promises', () => ({ setTimeout: async () => {} }))

const ID = 'org/rows'
const place = hubCase()
const folder = temporaryDirectory()
const put = (files: Record<string, string | Uint8Array>, more: object = {}, id = ID) =>
  place.hub.put(`datasets/${id}`, { files, ...more })
const lines = (...texts: string[]) => texts.map((text) => `${JSON.stringify({ text })}\n`).join('')
const asked = () => place.hub.requests.splice(0).map(({ host, path }) => (host === 'lfs' ? 'LFS' : path.split('?')[0]))

/** The texts of the rows of a source, and their lineage. */
async function read(source: DataSource | DatasetEntry, name?: string, onEvent?: (event: DownloadEvent) => void) {
  const context = readContext()
  const texts: unknown[] = []
  for await (const { value } of openSource(source, name, { onEvent }).rows(context))
    texts.push(value instanceof Map ? value.get('text') : (value as { text: unknown }).text)
  return { texts, lineage: context.lineage }
}

const failure = (source: DataSource | DatasetEntry, name?: string) => rejection(read(source, name))

describe('a data set of the Hub', () => {
  it('is read from the cache that huggingface_hub has, each file once, with its commit in the lineage', async () => {
    const train = lines('a', 'b')
    const commit = put({ 'README.md': '# Rows\n', 'train.jsonl': train, 'test.jsonl': lines('c') })
    const events: DownloadEvent[] = []
    const { texts, lineage } = await read(ID, 'dataset', (event) => events.push(event))
    expect(texts).toEqual(['a', 'b'])
    const size = Buffer.byteLength(train)
    const location = `hf://datasets/${ID}@${commit}/train.jsonl`
    expect(lineage).toEqual([{ location, rows: 2, size, sha256: sha256(Buffer.from(train)) }])
    expect(events.at(-1)).toEqual({
      type: 'download',
      model: ID,
      revision: commit,
      files: 1,
      bytes: size,
      totalBytes: size,
    })
    const files = Object.keys(await tree(join(place.cache, 'datasets--org--rows')))
    expect(files).toContain(`snapshots/${commit}/train.jsonl`)
    expect(files).not.toContain(`snapshots/${commit}/test.jsonl`)
    expect(await readFile(join(place.cache, 'datasets--org--rows/refs/main'), 'utf8')).toBe(commit)
    expect(asked()).toEqual([
      `/api/datasets/${ID}/revision/main`,
      `/api/datasets/${ID}/tree/${commit}`,
      `/datasets/${ID}/resolve/${commit}/README.md`,
      `/datasets/${ID}/resolve/${commit}/train.jsonl`,
    ])
    await read(ID)
    expect(asked()).toEqual([`/api/datasets/${ID}/revision/main`])
    await read({ path: ID, revision: commit })
    expect(asked()).toEqual([])
  })

  it('is evaluated on by its validation split, else its test split', async () => {
    put({ 'data/train-00000-of-00001.jsonl': lines('a'), 'data/test-00000-of-00001.jsonl': lines('b') })
    expect((await read(ID, 'evalDataset')).texts).toEqual(['b'])
    expect((await read({ path: ID, split: 'train+test' })).texts).toEqual(['a', 'b'])
    expect(await failure({ path: ID, split: 'dev' })).toContain(
      `expected the split "dev" in "${ID}", got a data set that has test, train`,
    )
  })

  it('is trained on by its id', async () => {
    put({ 'train.jsonl': lines('one', 'two') })
    const { tokenizer, config } = tinyByteLevelTokenizer()
    const { statistics, lineage } = await prepareDataset(ID, createTokenizer(tokenizer, config))
    expect([statistics.rows, lineage.length]).toEqual([2, 1])
  })

  it('has the configurations of its card, one of which is the default', async () => {
    const card = `---
license: mit
configs:
- config_name: first
  data_files:
  - split: train
    path: [a/*.jsonl, "b/[0-1].jsonl"]
  - split: test
    path: c.jsonl
- config_name: second
  default: true
  data_files: c.jsonl
- config_name: third
  data_dir: d
---
# Rows
`
    put({
      'README.md': card,
      'a/1.jsonl': lines('a1'),
      'a/.hidden.jsonl': lines('hidden'),
      'b/0.jsonl': lines('b0'),
      'b/2.jsonl': lines('b2'),
      'c.jsonl': lines('c'),
      'd/dev.jsonl': lines('dev'),
    })
    expect((await read(ID)).texts).toEqual(['c'])
    expect((await read({ path: ID, name: 'first' })).texts).toEqual(['a1', 'b0'])
    expect((await read({ path: ID, config: 'first', split: 'test' } as DatasetEntry)).texts).toEqual(['c'])
    expect((await read({ path: ID, name: 'third', split: 'validation' })).texts).toEqual(['dev'])
    expect(await failure({ path: ID, name: 'fourth' })).toBe(
      `[data] expected one of first, second, third for name of "${ID}", got "fourth"; give one that it has`,
    )
    expect((await read({ path: ID, dataFiles: 'b/*.jsonl' })).texts).toEqual(['b0', 'b2'])
    expect((await read({ path: ID, dataFiles: { test: ['c.jsonl'] }, split: 'test' })).texts).toEqual(['c'])
    expect((await read({ path: ID, dataDir: 'b' })).texts).toEqual(['b0', 'b2'])
    expect((await read(`hf://datasets/${ID}/b/2.jsonl`)).texts).toEqual(['b2'])
  })

  it.each([
    ['configs: 5', 'got 5; correct it'],
    ['configs:\n- {data_files: a.jsonl}', 'got one without config_name'],
    ['configs:\n- {config_name: a, data_files: [{split: a b, path: x}]}', 'where { split, path } belongs'],
    ['configs:\n- {config_name: a, names: [x]}', 'got names in "a", which is not read here'],
    ['configs:\n- {config_name: a, data_files: ../a.jsonl}', 'expected paths within the data set, got "../a.jsonl"'],
    [
      'configs:\n- {config_name: a, data_files: b.jsonl}',
      'got no data file "b.jsonl", which is to be in the split train',
    ],
    ['configs:\n- {config_name: a}\n- {config_name: b}', 'which has the configurations a, b; give one'],
    ['configs: [', 'got no YAML'],
  ])('is refused for a card that says %s, by what is wrong with it', async (header, message) => {
    put({ 'README.md': `---\n${header}\n---\n`, 'a.jsonl': lines('a') })
    expect(await failure(ID)).toContain(message)
  })

  it('takes the files of its most common format', async () => {
    put({ 'a.jsonl': lines('a'), 'b.jsonl': lines('b'), 'figures.csv': 'x,y\n1,2\n' })
    expect((await read(ID)).texts).toEqual(['a', 'b'])
    put({ 'a.jsonl': lines('a'), 'a.csv': 'text\na\n' })
    expect(await failure(ID)).toContain('got as many in .csv as in .jsonl; name the files with dataFiles')
  })

  it('is converted to Parquet by the Hub where that is asked for, and only there', async () => {
    const path = join(folder, 'rows.parquet')
    await writeRows([{ text: 'converted' }], path)
    const converted = {
      'one/train/0000.parquet': await readFile(path),
      'two/partial-test/0000.parquet': await readFile(path),
    }
    put({ 'rows.py': 'print()' })
    expect(await failure(ID)).toContain(
      'it has the program rows.py, which is not run; the revision refs/convert/parquet may have its rows',
    )
    put(converted, { revisions: ['refs/convert/parquet'] })
    expect((await read({ path: ID, revision: 'refs/convert/parquet', name: 'one' })).texts).toEqual(['converted'])
    expect((await read({ path: `hf://datasets/${ID}@~parquet`, name: 'two', split: 'test' })).texts).toEqual([
      'converted',
    ])
    expect(await failure({ path: ID, revision: 'refs/convert/parquet' })).toContain(
      'the configurations one, two; give one',
    )
  })

  it('is streamed without storing any of its files', async () => {
    const path = join(folder, 'streamed.parquet')
    const rows = Array.from({ length: 3000 }, (_, row) => ({ text: `row ${row}` }))
    await writeRows(rows, path)
    const commit = put({ 'data/a.parquet': await readFile(path) })
    expect(await openSource({ path: ID, streaming: true }).count?.()).toBe(3000)
    const { texts, lineage } = await read({ path: ID, streaming: true, limit: 2500 })
    expect(texts).toEqual(rows.slice(0, 2500).map(({ text }) => text))
    expect(lineage).toEqual([
      { location: `hf://datasets/${ID}@${commit}/data/a.parquet`, rows: 2500, size: (await readFile(path)).length },
    ])
    const stored = Object.keys(await tree(join(place.cache, 'datasets--org--rows')))
    expect(stored.filter((name) => !name.startsWith('.lowrank'))).toEqual(['refs/main'])
  })
})

describe('a data set without a network', () => {
  it('comes from the cache, also where another program filled it', async () => {
    const commit = put({ 'train.jsonl': lines('a') })
    await read(ID)
    place.hub.requests.length = 0
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect((await read(ID)).texts).toEqual(['a'])
    await rm(join(place.cache, 'datasets--org--rows', '.lowrank'), { recursive: true })
    expect((await read({ path: ID, revision: commit })).texts).toEqual(['a'])
    expect(place.hub.requests).toEqual([])
    expect(await failure({ path: ID, streaming: true })).toContain('expected streaming of "org/rows" with a network')
    expect(await failure('org/nothing')).toContain('"org/nothing" is neither a path nor in the Hub cache')
  })

  it('is refused where the cache has a part of it', async () => {
    put({ 'train-1.jsonl': lines('a'), 'train-2.jsonl': lines('b') })
    await read({ path: ID, dataFiles: 'train-1.jsonl' })
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await failure(ID)).toMatch(/is not complete in the Hub cache: .* lacks train-2\.jsonl, and HF_HUB_OFFLINE=1/)
  })
})

describe('a data set that the Hub does not give', () => {
  it('is refused in words that say what to do, without the token', async () => {
    put({ 'train.jsonl': lines('a') }, { gatedFor: ['hf_right_token'] })
    const secret = 'hf_wrong_token_00'
    expect(await failure('org/nmae')).toBe(
      `[hub] expected a path, or a data set that ${place.hub.endpoint} shows, got "org/nmae" (HTTP 401, "Repository not found"); check ` +
        `the spelling at ${place.hub.endpoint}/datasets/org/nmae; if it is private or gated, set HF_TOKEN to an access token of your account`,
    )
    const gated = await rejection(Promise.resolve(openSource({ path: ID, token: secret }).check?.()))
    expect(gated).toContain(`"${ID}" is gated (HTTP 403): ask for access at ${place.hub.endpoint}/datasets/${ID}`)
    expect(gated).not.toContain(secret)
    expect((await read({ path: ID, token: 'hf_right_token' })).texts).toEqual(['a'])
    expect(await failure({ path: ID, revision: 'v9' })).toContain('for revision, got "v9", which it does not have')
    place.hub.intercept = (_, response) => {
      refuse(response, 429, 'TooMany', 'slow down')
      return true
    }
    expect(await failure('org/other')).toContain('had too many requests (HTTP 429)')
  })

  it('is told from a path by one rule: what is on the disk goes first', async () => {
    const here = process.cwd()
    process.chdir(folder)
    try {
      await mkdir('org/rows', { recursive: true })
      await writeFile('org/rows/train.jsonl', lines('local'))
      put({ 'train.jsonl': lines('remote') })
      expect((await read(ID)).texts).toEqual(['local'])
      expect((await read(`hf://datasets/${ID}`)).texts).toEqual(['remote'])
      expect(await failure({ path: ID, revision: 'main' })).toBe(
        `[data] expected no revision for ${ID}, which is on this machine, got one; for the data set of the Hub of that name write ` +
          `hf://datasets/${ID}`,
      )
      expect([isPath(ID), isPath('org/other'), isPath('https://example.com/a'), isPath('a.jsonl')]).toEqual([
        true,
        false,
        false,
        true,
      ])
    } finally {
      process.chdir(here)
    }
  })
})
