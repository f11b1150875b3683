/**
 * @file A Hub id as a model: loaded, trained on, planned and generated with, from the library and from the command
 * line.
 */

import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import type { DownloadEvent } from '../../src/hub/download-event.js'
import { planTraining } from '../../src/train/plan.js'
import { trainLora } from '../../src/train/train-lora.js'
import { lowrank } from '../cli/run-cli.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { hubCase, ID } from './hub-case.js'

const folder = temporaryDirectory()
const place = hubCase()
const files: Record<string, Buffer> = {}
let commit: string

beforeAll(async () => {
  const directory = await writeTinyModel(join(folder, 'model'))
  for (const name of await readdir(directory)) files[name] = await readFile(join(directory, name))
})

beforeEach(() => {
  commit = place.hub.put(ID, {
    files,
    revisions: ['main', 'v1'],
    cardData: { license: 'other', license_name: 'tiny', license_link: 'https://example.org/tiny' },
  })
})

const adapterConfig = async (directory: string) =>
  JSON.parse(await readFile(join(directory, 'adapter_config.json'), 'utf8')) as Record<string, unknown>

describe('a Hub id', () => {
  test('loads, and adapters record model, commit and licence', async () => {
    const model = await loadModel(`${ID}@v1`, { dtype: 'float32', token: 'hf_x', cacheDir: join(folder, 'elsewhere') })
    expect(model).toMatchObject({
      nameOrPath: ID,
      origin: { revision: commit, license: { id: 'other', name: 'tiny', link: 'https://example.org/tiny' } },
    })
    expect(place.hub.requests[0]).toMatchObject({ authorization: 'Bearer hf_x' })
    const adapter = LoraAdapter.create(model, { r: 3, loraAlpha: 7 })
    const target = join(folder, 'adapter')
    await adapter.save(target)
    expect(await adapterConfig(target)).toMatchObject({ base_model_name_or_path: ID, revision: commit })
    expect(await readFile(join(target, 'README.md'), 'utf8')).toContain(`---
base_model: ${ID}
base_model_relation: adapter
library_name: peft
pipeline_tag: text-generation
license: other
license_name: tiny
license_link: "https://example.org/tiny"
tags:
  - ${JSON.stringify(`base_model:adapter:${ID}`)}
  - lora
  - lowrank
---

# LoRA adapter for ${ID}

<!-- Written by lowrank, anew with every save. Take this line out to keep your changes. -->

Rank 3, alpha 7, trained with lowrank on ${ID} at commit ${commit}. The licence of the base model is other, tiny, https://example.org/tiny.
`)
    model.origin = { revision: 'b'.repeat(40), license: { id: 'mit' } }
    await adapter.save(target)
    expect(await readFile(join(target, 'README.md'), 'utf8')).toContain(
      `commit ${'b'.repeat(40)}. The licence of the base model is mit.`,
    )
    model.origin = {}
    await adapter.save(target)
    expect(existsSync(join(target, 'README.md'))).toBe(false)
    model.origin = { revision: commit }
    await writeFile(join(target, 'README.md'), 'mine')
    await adapter.save(target)
    expect(await readFile(join(target, 'README.md'), 'utf8')).toBe('mine')
    model.device.close()
  })

  test('trains: the download comes first among the events, and is not repeated', async () => {
    const types: string[] = []
    const options = {
      model: ID,
      revision: 'v1',
      dataset: tinyRows(8),
      dtype: 'float32' as const,
      training: { maxSteps: 1, saveStrategy: 'no' as const },
    }
    const run = await trainLora({ ...options, onEvent: ({ type }) => types.push(type) })
    expect(types.slice(0, 2)).toEqual(['download', 'download'])
    expect(types).toContain('start')
    expect(run.model).toMatchObject({ nameOrPath: ID, origin: { revision: commit } })
    run.dispose()
    types.length = 0
    place.hub.requests.length = 0
    const again = await trainLora({ ...options, localFilesOnly: true, onEvent: ({ type }) => types.push(type) })
    expect(types[0]).not.toBe('download')
    expect(place.hub.requests).toEqual([])
    // The licence of a model whose card is not there is not known without asking.
    expect(again.model.origin).toEqual({ revision: commit, license: undefined })
    again.dispose()
  })

  test('ends before its first step when the signal is aborted while it is fetched', async () => {
    const controller = new AbortController()
    const onEvent = () => controller.abort(new Error('enough'))
    const run = trainLora({ model: ID, dataset: tinyRows(8), signal: controller.signal, onEvent })
    await expect(run).rejects.toThrow('enough')
  })

  test('is planned from config.json alone', async () => {
    const { settings } = await planTraining({ model: ID, revision: 'v1', training: { maxLength: 33 } })
    expect(settings.maxLength).toBe(33)
    const fetched = place.hub.requests.flatMap(({ path }) => path.split('/resolve/')[1] ?? [])
    expect(fetched).toEqual([`${commit}/config.json`])
  })
})

describe('the command line', () => {
  test('generates, with a line per ten seconds of download, and from the cache with none', async () => {
    const args = ['generate', '--model', ID, '--revision', 'v1', '--prompt', 'one two', '--max-new-tokens', '3']
    const first = await lowrank(args)
    expect(first.stderr).toMatch(
      /^Fetching \d+ files of org\/name: 0 B of [\d.]+ KiB\nFetched \d+ files of org\/name, [\d.]+ KiB\n$/,
    )
    expect(first.code).toBe(0)
    const { code, stdout, stderr } = await lowrank([...args, '--json'], { env: { HF_HUB_OFFLINE: '1' } })
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(`${(JSON.parse(stdout) as { text: string }).text}\n`).toBe(first.stdout)
  })

  test('generates at the commit that the adapter was trained on, wherever the branch is by now', async () => {
    const model = await loadModel(ID, { dtype: 'float32' })
    const target = join(folder, 'at-commit')
    await LoraAdapter.create(model, { r: 2 }).save(target)
    model.device.close()
    await writeFile(join(place.cache, `models--${ID.replace('/', '--')}`, 'refs', 'main'), 'd'.repeat(40))
    const env = { HF_HUB_OFFLINE: '1' }
    const args = ['generate', '--model', ID, '--prompt', 'one two', '--max-new-tokens', '3']
    expect((await lowrank(args, { env })).stderr).toContain('HF_HUB_OFFLINE=1 forbids')
    expect(await lowrank([...args, '--adapter', target], { env })).toMatchObject({ code: 0, stderr: '' })
  })

  test('trains and plans on a revision', async () => {
    const rows = join(folder, 'rows.jsonl')
    await writeFile(
      rows,
      tinyRows(8)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    )
    const out = await mkdtemp(join(tmpdir(), 'lowrank-hub-out-'))
    const config = join(folder, 'run.yaml')
    await writeFile(
      config,
      `model: ${ID}\ndataset: ${rows}\noutputDir: ${out}\ndtype: float32\ntraining: { maxSteps: 1, saveStrategy: 'no' }\n`,
    )
    const trained = await lowrank(['train', config, '--revision', 'v1', '--json'])
    expect(trained.stderr).toBe('')
    const [event] = trained.stdout.split('\n').map((line) => JSON.parse(line || '{}') as DownloadEvent)
    expect(event).toMatchObject({ type: 'download', model: ID, revision: commit, bytes: 0 })
    expect(await adapterConfig(join(out, 'adapter'))).toMatchObject({ base_model_name_or_path: ID, revision: commit })
    await rm(out, { recursive: true })
    const planned = await lowrank(['plan', config, '--revision', 'v1'], { env: { HF_HUB_OFFLINE: '1' } })
    expect(planned.code).toBe(0)
    const absent = await lowrank(['plan', config, '--revision', 'v2'])
    expect(absent.stderr).toContain(
      'error: [hub] expected a branch, tag or commit of "org/name" for revision, got "v2"',
    )
    expect(absent.code).toBe(1)
  })
})
