/** @file The data of a run: asked for before the model is fetched, and told of with where they came from. */

import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ofType, type TrainEvent } from '../../src/train/events.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { trainLora } from '../../src/train/train-lora.js'
import { type FakeHub, startHub } from '../support/hub-server.js'
import { temporaryDirectory, tinyRows, trainTiny, writeTinyModel } from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...parts: string[]) => join(directory, ...parts)
let hub: FakeHub

beforeAll(async () => {
  hub = await startHub()
  vi.stubEnv('HF_ENDPOINT', hub.endpoint)
  vi.stubEnv('HF_HUB_OFFLINE', '')
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await hub.close()
})

describe('data that cannot be read', () => {
  it('end a run before it asks the Hub for the model', async () => {
    const orc = at('rows.orc')
    const good = at('good.jsonl')
    await writeFile(orc, 'ORC')
    await mkdir(at('nothing'))
    await writeFile(good, '{"text": "one"}\n')
    const cases: [Pick<TrainRunOptions, 'dataset' | 'evalDataset'>, string][] = [
      [{ dataset: at('none.jsonl') }, 'none.jsonl, which does not exist'],
      [{ dataset: [good, at('*.json')] }, 'got no match; check the folder and the ending'],
      [{ dataset: at('nothing') }, 'nothing; it has no files that end in .jsonl'],
      [{ dataset: orc }, `in ${orc}, got an ORC file`],
      [{ dataset: good, evalDataset: at('none.jsonl') }, 'none.jsonl, which does not exist'],
      [{ dataset: 's3://main/rows' }, 'such addresses are not read'],
      [{ dataset: good, evalDataset: 'hf://org/name' }, 'expected hf://datasets/OWNER/NAME'],
    ]
    for (const [data, message] of cases) {
      const events: TrainEvent[] = []
      const onEvent = (event: TrainEvent): void => void events.push(event)
      const run = async () => await trainLora({ model: 'org/name', cacheDir: at('cache'), ...data, onEvent })
      await expect(run()).rejects.toThrow(message)
      expect(events.filter(({ type }) => type !== 'fail')).toEqual([])
    }
    expect(hub.requests).toEqual([])
    await expect(
      (async () => await trainLora({ model: 'org/name', cacheDir: at('cache'), dataset: good }))(),
    ).rejects.toThrow('org/name')
    expect(hub.requests.length).toBeGreaterThan(0)
  })
})

describe('the data events of a run', () => {
  it('name the files of both data sets with their sizes and hashes', async () => {
    const text = (rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
    const files = { dataset: text(tinyRows(9)), evalDataset: text(tinyRows(4, 8)) }
    for (const [name, content] of Object.entries(files)) await writeFile(at(`${name}.jsonl`), content)
    const model = await writeTinyModel(at('model'))
    const data = { dataset: at('dataset.jsonl'), evalDataset: at('evalDataset.jsonl') }
    const { events } = await trainTiny({ model, ...data, training: { maxSteps: 1, evalSplit: 0 } }, at('adapter'))
    const entry = (name: keyof typeof files, rows: number) => ({
      location: data[name],
      rows,
      size: files[name].length,
      sha256: createHash('sha256').update(files[name]).digest('hex'),
    })
    expect(ofType(events, 'data').map(({ split, lineage }) => [split, lineage])).toEqual([
      ['train', [entry('dataset', 9)]],
      ['eval', [entry('evalDataset', 4)]],
    ])
  })
})
