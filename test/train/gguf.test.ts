/** @file Training on a GGUF file: the bytes that training on the same model as a directory gives, and what is saved. */

import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { planTraining } from '../../src/train/plan.js'
import { convertModel, ggufBytes, tokenizerKeys } from '../support/gguf.js'
import { TINY_CONFIG, temporaryDirectory, trainTiny, writeTinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
const gguf = at('tiny.gguf')

beforeAll(async () => {
  const { tokenizer } = tinyByteLevelTokenizer()
  await writeTinyModel(at('model'))
  const { keys, tensors } = await convertModel(at('model'))
  const named = tokenizerKeys(tokenizer as never)
  const added = tokenizer.added_tokens as { content: string; id: number }[]
  const tokens = [...(named.tokens as string[]), ...added.map(({ content }) => content)]
  const end = added.find(({ content }) => content === '</s>')?.id
  const special = {
    ...named,
    tokens,
    pre: 'gpt-2',
    token_type: tokens.map((_, id) => (id < added[0]!.id ? 1 : 3)),
    eos_token_id: end,
  }
  const prefixed = Object.fromEntries(Object.entries(special).map(([name, value]) => [`tokenizer.ggml.${name}`, value]))
  const { 'tokenizer.ggml.bos_token_id': _, ...rest } = keys as Record<string, unknown>
  await writeFile(gguf, ggufBytes({ keys: { ...rest, ...prefixed }, tensors }))
})

it('gives the adapter that the directory gives, which names the file as its base', async () => {
  const training = { maxSteps: 4 }
  const fromFile = await trainTiny({ model: gguf, training }, at('adapter'))
  const fromDirectory = await trainTiny({ model: at('model'), training }, at('adapter-directory'))
  expect(fromFile.bytes).toBe(fromDirectory.bytes)
  expect(JSON.parse(await readFile(at('adapter', 'adapter_config.json'), 'utf8')).base_model_name_or_path).toBe(gguf)
})

it('training in full saves a directory whose config, weights and tokenizer load, and goes on from its checkpoints', async () => {
  const options = { model: gguf, method: 'full', outputDir: at('full'), training: { maxSteps: 4 } } as const
  const whole = await trainTiny(options, at('saved'))
  await rm(at('full', 'checkpoint-4'), { recursive: true })
  const resumed = await trainTiny({ ...options, resumeFromCheckpoint: true }, at('saved-again'))
  expect(resumed.bytes).toBe(whole.bytes)
  const text = 'The capital of France</s> is\n\n42'
  expect((await loadTokenizer(at('saved'))).encode(text)).toEqual((await loadTokenizer(gguf)).encode(text))
  const model = await loadModel(at('saved'))
  expect(model.config).toMatchObject({ modelType: 'llama', hiddenSize: TINY_CONFIG.hidden_size })
  model.dispose()
  model.device.close()
})

it('is planned like the directory', async () => {
  const { settings, peakTensors } = await planTraining({ model: gguf, dtype: 'float32' })
  expect({ settings, peakTensors }).toEqual(
    await planTraining({ model: at('model'), dtype: 'float32' }).then((plan) => ({
      settings: plan.settings,
      peakTensors: plan.peakTensors,
    })),
  )
})

it('takes a tokenizer of its own where that of the file cannot be used', async () => {
  const { keys, tensors } = await convertModel(at('model'))
  await writeFile(at('plain.gguf'), ggufBytes({ keys, tensors }))
  await expect(trainTiny({ model: at('plain.gguf') }, at('none'))).rejects.toThrow(
    `[gguf] ${at('plain.gguf')}: expected a list of strings for tokenizer.ggml.tokens, got nothing`,
  )
  await writeTinyTokenizer(at('tokenizer'), tinyByteLevelTokenizer())
  const tokenizer = await loadTokenizer(at('tokenizer'))
  const { run } = await trainTiny({ model: at('plain.gguf'), tokenizer, training: { maxSteps: 2 } }, at('own'))
  expect(run.step).toBe(2)
})
