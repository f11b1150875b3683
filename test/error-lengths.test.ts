/** @file Errors quote what they got, and stay a few lines long, however long that was. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../src/adapters/lora-adapter.js'
import { parseLoraOptions } from '../src/adapters/peft-config.js'
import type { CausalLM } from '../src/causal-lm/causal-lm.js'
import { loadModel } from '../src/checkpoint/load-model.js'
import { saveModel } from '../src/checkpoint/save-model.js'
import { openCheckpoint } from '../src/checkpoint/weights-on-disk.js'
import { generateText } from '../src/generation/generate-text.js'
import { createTokenizer } from '../src/tokenizer/tokenizer.js'
import { trainLora } from '../src/train/train-lora.js'
import { safetensorsBytes } from './checkpoint/build.js'
import { rejection, TINY_CONFIG, tinyModel } from './support/tiny-model.js'
import { tinyByteLevelTokenizer } from './support/tiny-tokenizer.js'

const LONG = 'x'.repeat(300_000)
const LIST = Array.from({ length: 50_000 }, (_, i) => `name${i}`)

let model: CausalLM
let directory: string
beforeAll(async () => {
  model = await tinyModel()
  directory = await mkdtemp(join(tmpdir(), 'lowrank-errors-'))
})
afterAll(async () => {
  model.device.close()
  await rm(directory, { recursive: true, force: true })
})

const file = async (name: string, content: string | Uint8Array): Promise<string> => {
  const path = await mkdtemp(join(directory, 'case-'))
  await writeFile(join(path, name), content)
  return path
}
const header = (value: object) => safetensorsBytes(JSON.stringify(value))
const { tokenizer, config } = tinyByteLevelTokenizer()
const anything = {} as Record<string, never>

const CASES: [string, () => Promise<unknown>][] = [
  ['a path of a model', () => loadModel(LONG)],
  ['a path of a model with directories', () => loadModel('dir/'.repeat(75_000))],
  ['a path with NUL', () => loadModel(`a\0${LONG}`)],
  ['a path of an adapter', () => LoraAdapter.load(model, LONG)],
  ['a place for a model', () => saveModel(model, LONG)],
  ['a place for an adapter', () => LoraAdapter.create(model, { r: 1 }).save(LONG)],
  ['a dtype', () => loadModel(directory, { dtype: LONG as never })],
  ['an option', () => loadModel(directory, { [LONG]: 1 })],
  ['a model type', async () => loadModel(await file('config.json', JSON.stringify({ model_type: LONG })))],
  [
    'a field of a config',
    async () =>
      loadModel(await file('config.json', JSON.stringify({ ...TINY_CONFIG, [LONG]: LONG, hidden_act: 'silu' }))),
  ],
  [
    'many fields of a config',
    async () =>
      loadModel(
        await file(
          'config.json',
          JSON.stringify({ ...TINY_CONFIG, ...Object.fromEntries(LIST.map((name) => [name, LONG.slice(0, 99)])) }),
        ),
      ),
  ],
  [
    'a value of a config',
    async () => loadModel(await file('config.json', JSON.stringify({ ...TINY_CONFIG, hidden_act: LONG }))),
  ],
  [
    'a dtype of a tensor',
    async () =>
      openCheckpoint(await file('model.safetensors', header({ a: { dtype: LONG, shape: [1], data_offsets: [0, 4] } }))),
  ],
  [
    'a name of a tensor',
    async () =>
      openCheckpoint(
        await file('model.safetensors', header({ [LONG]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } })),
      ),
  ],
  [
    'dimensions of a tensor',
    async () =>
      openCheckpoint(
        await file(
          'model.safetensors',
          header({ a: { dtype: 'F32', shape: new Array(50_000).fill(1), data_offsets: [0, 4] } }),
        ),
      ),
  ],
  ['a target', async () => LoraAdapter.create(model, { targetModules: [LONG] })],
  ['an expression of targets', async () => LoraAdapter.create(model, { targetModules: LONG })],
  ['many targets', async () => LoraAdapter.create(model, { targetModules: LIST })],
  ['many modules to save', async () => LoraAdapter.create(model, { modulesToSave: LIST })],
  ['a pattern', async () => LoraAdapter.create(model, { rankPattern: { [LONG]: 3 } })],
  ['an option of an adapter', async () => parseLoraOptions({ [LONG]: 3 })],
  ['a name of an adapter', async () => LoraAdapter.create(model, { r: LONG as never })],
  ['ids', () => model.generate([LONG as never])],
  ['a prompt', () => generateText(model, createTokenizer(tokenizer, config), { role: LONG } as never)],
  ['stop strings', () => generateText(model, createTokenizer(tokenizer, config), 'a', { stopStrings: [LONG, ''] })],
  ['a batch', async () => model.forward({ inputIds: [[LONG as never]] })],
  ['an option of forward', async () => model.forward({ inputIds: [[1]], ...anything, [LONG]: 1 })],
]

describe('what is too long is quoted in part', () => {
  test.each(CASES)('%s', async (_, run) => {
    const message = await rejection(run())
    expect(message).toMatch(/^\[/)
    expect(message.length).toBeLessThan(2500)
  })

  test('the error of many wrong options tells the first thirty, and how many there are', async () => {
    const message = await rejection(trainLora(Object.fromEntries(LIST.map((name) => [name, 1])) as never))
    expect(message).toMatch(/^\[train\] 50002 options are wrong:\n {2}- \[train\] unknown option "name0"; /)
    expect(message.split('\n')).toHaveLength(32)
    expect(message).toMatch(/\n {2}and 49,972 more$/)
    expect(message.length).toBeLessThan(15_000)
  })
})
