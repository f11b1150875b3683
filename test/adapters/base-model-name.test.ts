/** @file What a saved adapter names as its base model, so that it is found again from another place. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { readPeftConfig } from '../../src/adapters/peft-config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { rejection, trainTiny, writeTinyModel } from '../support/tiny-model.js'

let directory: string
let base: string
let model: CausalLM
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-base-'))
  base = await writeTinyModel(join(directory, 'base'))
  model = await loadModel(relative(process.cwd(), base), { dtype: 'float32' })
})
afterAll(async () => {
  model.device.close()
  await rm(directory, { recursive: true, force: true })
})

const saved = async (change: (adapter: LoraAdapter) => void = () => undefined): Promise<string> => {
  const adapter = LoraAdapter.create(model, { r: 1, targetModules: ['q_proj'] })
  change(adapter)
  const target = await mkdtemp(join(directory, 'adapter-'))
  await adapter.save(target)
  adapter.dispose()
  return target
}
const cardOf = (target: string): Promise<string> => readFile(join(target, 'README.md'), 'utf8').catch(() => 'none')

test('a path is recorded whole, wherever the process ran', async () => {
  const target = await saved()
  expect(await readPeftConfig(target)).toMatchObject({ baseModel: base, revision: undefined })
  expect(await cardOf(target)).toBe('none')
})

test('a model that is given as a path can have the name that it has on the Hub, and a card', async () => {
  const target = await saved((adapter) => {
    adapter.baseModelName = 'org/tiny-model'
  })
  expect(await readPeftConfig(target)).toMatchObject({ baseModel: 'org/tiny-model', revision: undefined })
  const card = await cardOf(target)
  expect(card).toContain('base_model: org/tiny-model\n')
  expect(card).toContain('trained with lowrank on org/tiny-model. ')
  expect(card).not.toContain('undefined')
})

test('an adapter that is loaded on a path keeps the Hub id of its file, and takes the path in place of another', async () => {
  const target = await saved((adapter) => {
    adapter.baseModelName = 'org/tiny-model'
  })
  const adapter = await LoraAdapter.load(model, target)
  expect(adapter.baseModelName).toBe('org/tiny-model')
  await adapter.save(target)
  adapter.dispose()
  expect((await readPeftConfig(target)).baseModel).toBe('org/tiny-model')
  const config = join(target, 'adapter_config.json')
  await writeFile(config, (await readFile(config, 'utf8')).replace('org/tiny-model', '/gone/elsewhere'))
  const moved = await LoraAdapter.load(model, target)
  await moved.save(target)
  moved.dispose()
  expect((await readPeftConfig(target)).baseModel).toBe(base)
})

test('a name that is none is refused, and nothing is written', async () => {
  expect(await rejection(saved((adapter) => Object.assign(adapter, { baseModelName: '' })))).toBe(
    '[lora] expected a Hub id or a path for baseModelName, got ""',
  )
  expect(await rejection(saved((adapter) => Object.assign(adapter, { baseModelName: 7 })))).toBe(
    '[lora] expected a Hub id or a path for baseModelName, got 7',
  )
})

test('trainLora takes the name, for its checkpoints too', async () => {
  const target = join(directory, 'trained')
  const outputDir = join(directory, 'run')
  const { run } = await trainTiny(
    { model: base, outputDir, baseModelName: 'org/tiny-model', training: { maxSteps: 2 } },
    target,
  )
  expect(run.step).toBe(2)
  for (const place of [target, join(outputDir, 'checkpoint-2')])
    expect((await readPeftConfig(place)).baseModel).toBe('org/tiny-model')
  const options = { model: base, dataset: 'x.jsonl', method: 'full', baseModelName: 'org/tiny-model' }
  expect(() => resolveTrainOptions(options)).toThrow("expected no baseModelName with method 'full'")
  expect(() => resolveTrainOptions({ ...options, method: 'lora', baseModelName: '' })).toThrow(
    'expected the Hub id or path of a model for baseModelName, got ""',
  )
})
