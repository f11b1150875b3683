/** @file A Hub id as an adapter: fetched with its tokenizer, taken from the cache offline, refused where it is none. */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { resolveAdapter } from '../../src/adapters/resolve-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import type { EvaluationReport } from '../../src/evaluate/evaluation-report.js'
import { lowrank } from '../cli/run-cli.js'
import { temporaryDirectory, tinyAdapter, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { hubCase } from './hub-case.js'

const folder = temporaryDirectory()
const place = hubCase()
const model = join(folder, 'model')
const local = join(folder, 'poet')
const files: Record<string, Buffer> = {}

beforeAll(async () => {
  await writeTinyModel(model)
  const loaded = await loadModel(model)
  await tinyAdapter(loaded).save(local)
  loaded.dispose()
  for (const name of await readdir(local)) files[name] = await readFile(join(local, name))
  files['tokenizer.json'] = await readFile(join(model, 'tokenizer.json'))
  files['training_args.bin'] = Buffer.from('pickle')
})

beforeEach(() => {
  place.hub.put('org/poet', { files, revisions: ['main', 'v2'] })
})

describe('a Hub id of an adapter', () => {
  test('gives what its directory gives, at a revision, and without a request once it is there', async () => {
    const directory = await resolveAdapter('org/poet@v2')
    expect((await readdir(directory)).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'tokenizer.json',
    ])
    const tasks = [{ type: 'perplexity', dataset: tinyRows(5) }] as const
    const report = await evaluate({ model, dtype: 'float32', adapters: ['org/poet@v2', local], tasks })
    expect(report.models).toEqual([
      { name: 'base' },
      { name: 'poet@v2', adapter: 'org/poet@v2' },
      { name: 'poet', adapter: local },
    ])
    const { scores } = report.tasks[0]!.metrics[0]!
    expect(scores['poet@v2']).toEqual(scores.poet)
    expect(scores.poet!.value).not.toBe(scores.base!.value)
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    place.hub.requests.length = 0
    expect(await resolveAdapter('org/poet@v2')).toBe(directory)
    expect(place.hub.requests).toEqual([])
    await expect(resolveAdapter('org/other')).rejects.toThrow(
      /"org\/other" is neither a directory \(.*org\/other\) nor in the Hub cache .* HF_HUB_OFFLINE=1 forbids/,
    )
  })

  test('is an adapter of lowrank eval, under its own name, and says what it fetches', async () => {
    const rows = join(folder, 'rows.json')
    await writeFile(rows, JSON.stringify(tinyRows(5)))
    const args = ['eval', '--model', model, '--adapter', 'org/poet', '--dataset', rows, '--dtype', 'float32', '--json']
    const { code, stdout, stderr } = await lowrank(args)
    expect([code, stderr]).toEqual([0, expect.stringContaining('Tokenizer and chat template are those in ')])
    expect((JSON.parse(stdout) as EvaluationReport).models).toEqual([
      { name: 'base' },
      { name: 'poet', adapter: 'org/poet' },
    ])
  })

  test('is refused by name where the repository holds none, and where a path may have been meant', async () => {
    place.hub.put('org/model', { files: { 'config.json': '{}', 'model.safetensors': 'x' } })
    await expect(resolveAdapter('org/model')).rejects.toThrow(
      '[hub] "org/model" holds no adapter: there is no adapter_config.json, only: config.json, model.safetensors; check the id',
    )
    place.hub.put('org/old', { files: { 'adapter_config.json': '{}', 'adapter_model.bin': 'x' } })
    await expect(resolveAdapter('org/old')).rejects.toThrow(
      'has its adapter in adapter_model.bin only, which is Python',
    )
    await expect(resolveAdapter('org/nothing')).rejects.toThrow('org/nothing')
  })

  test('is a directory first', async () => {
    const near = join(folder, 'org', 'poet')
    await mkdir(near, { recursive: true })
    const path = relative(process.cwd(), near)
    expect(await resolveAdapter(path)).toBe(path)
    const before = process.cwd()
    process.chdir(folder)
    try {
      expect(await resolveAdapter('org/poet')).toBe('org/poet')
    } finally {
      process.chdir(before)
    }
    expect(place.hub.requests).toEqual([])
  })
})
