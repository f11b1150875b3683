/** @file Data sets of the Hub in train.yaml: with the commit that was read, so that a repeated run reads the same. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { ofType, type TrainEvent } from '../../src/train/events.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { pinnedSource } from '../../src/train/pinned-source.js'
import { trainLora } from '../../src/train/train-lora.js'
import { hubCase } from '../hub/hub-case.js'
import { temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

const place = hubCase()
const folder = temporaryDirectory()
const COMMIT = 'a'.repeat(40)
const LOCATIONS = [`hf://datasets/org/rows@${COMMIT}/train.jsonl`]

it.each<[unknown, unknown]>([
  ['org/rows', `hf://datasets/org/rows@${COMMIT}`],
  ['org/others', 'org/others'],
  ['hf://datasets/org/rows', `hf://datasets/org/rows@${COMMIT}`],
  ['hf://datasets/org/rows@v1/data/*.jsonl', `hf://datasets/org/rows@${COMMIT}/data/*.jsonl`],
  ['hf://datasets/org/rows@refs/pr/1/data', `hf://datasets/org/rows@${COMMIT}/data`],
  ['hf://datasets/org/rows@~parquet/main', 'hf://datasets/org/rows@~parquet/main'],
  [
    { path: 'org/rows', split: 'train[:10%]', revision: 'v1' },
    { path: 'org/rows', split: 'train[:10%]', revision: COMMIT },
  ],
  [
    { path: 'org/rows', revision: 'refs/convert/parquet' },
    { path: 'org/rows', revision: 'refs/convert/parquet' },
  ],
  [{ path: ['a.jsonl', 'org/rows'] }, { path: ['a.jsonl', `hf://datasets/org/rows@${COMMIT}`] }],
  [{ mix: ['org/rows', { path: 'a.jsonl' }] }, { mix: [`hf://datasets/org/rows@${COMMIT}`, { path: 'a.jsonl' }] }],
  [
    ['a.jsonl', { path: 'org/rows', limit: 2 }],
    ['a.jsonl', { path: 'org/rows', limit: 2, revision: COMMIT }],
  ],
  [[{ text: 'org/rows' }], [{ text: 'org/rows' }]],
])('a data set of the Hub is written with the commit that was read: %j', (source, expected) => {
  expect(pinnedSource(source, LOCATIONS)).toEqual(expected)
})

it.each<[unknown, unknown]>([
  ['uc://main.default.rows', 'uc://main.default.rows@v7'],
  ['uc://main.default.rows@v7', 'uc://main.default.rows@v7'],
  ['uc://main.default.others', 'uc://main.default.others'],
  [
    { path: 'uc://main.default.rows', limit: 2 },
    { path: 'uc://main.default.rows@v7', limit: 2 },
  ],
])('a table is written with the version that was read: %j', (source, expected) => {
  expect(pinnedSource(source, ['uc://main.default.rows@v7'])).toEqual(expected)
})

it('a data set of the Hub that was read at two commits stays as it was given', () => {
  const other = `hf://datasets/org/rows@${'b'.repeat(40)}/train.jsonl`
  expect(pinnedSource('org/rows', [...LOCATIONS, other])).toBe('org/rows')
})

it('a run that is repeated by its train.yaml reads the commit that it read, also after the branch has moved', async () => {
  const row = (text: string) => ({ files: { 'train.jsonl': `${JSON.stringify({ text })}\n` } })
  const commit = place.hub.put('datasets/org/rows', row('a b c d e f'))
  const model = join(folder, 'model')
  await writeTinyModel(model)
  const read = async (options: TrainRunOptions) => {
    const events: TrainEvent[] = []
    const run = await trainLora({ ...options, onEvent: (event) => void events.push(event) })
    run.dispose()
    return ofType(events, 'data')[0]?.lineage[0]?.location
  }
  const outputDir = join(folder, 'run')
  await read({ model, dataset: 'org/rows', outputDir, training: { maxSteps: 1 } })
  place.hub.put('datasets/org/rows', row('g h i j k l'))
  const written = parse(await readFile(join(outputDir, 'train.yaml'), 'utf8')) as TrainRunOptions
  expect(written.dataset).toBe(`hf://datasets/org/rows@${commit}`)
  const location = `hf://datasets/org/rows@${commit}/train.jsonl`
  // Where the cache is another one too, as on another machine.
  expect(await read({ ...written, outputDir: join(folder, 'again'), cacheDir: join(folder, 'cache') })).toBe(location)
  expect(await read({ model, dataset: 'org/rows', training: { maxSteps: 1 } })).not.toBe(location)
})

it('a run on rows as they come has the commit in its train.yaml from its first step on, and what was read at its end', async () => {
  const text = Array.from({ length: 90 }, (_, row) => `${JSON.stringify({ text: `a b c d e ${row}` })}\n`).join('')
  const commit = place.hub.put('datasets/org/rows', { files: { 'train.jsonl': text } })
  const model = join(folder, 'streamed-model')
  await writeTinyModel(model)
  const outputDir = join(folder, 'streamed')
  const read = () => readFile(join(outputDir, 'train.yaml'), 'utf8')
  let atFirst: Promise<string> | undefined
  const run = await trainLora({
    model,
    dataset: { path: 'org/rows', streaming: true },
    outputDir,
    training: { maxSteps: 2, shuffleBufferSize: 4 },
    onEvent: (event) => {
      if (event.type === 'step') atFirst ??= read()
    },
  })
  run.dispose()
  for (const written of [await atFirst, await read()])
    expect(parse(written ?? '')).toMatchObject({ dataset: { path: 'org/rows', revision: commit, streaming: true } })
  expect(await read()).toContain(`# dataset: "hf://datasets/org/rows@${commit}/train.jsonl"`)
})
