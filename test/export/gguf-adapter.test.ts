/** @file Adapters in GGUF files: what is written and read again, and what is refused. */

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { LoraOptions } from '../../src/adapters/lora-config.js'
import type { RawConfig } from '../../src/architecture/config.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { ggufBaseModel, readGgufAdapter, writeGgufAdapter } from '../../src/export/gguf-adapter-files.js'
import { writePeftFiles } from '../../src/export/peft-files.js'
import { readGguf } from '../../src/gguf/reader.js'
import { float32, type GgufTensor, string, type TypedKeys, writeGguf } from '../../src/gguf/writer.js'
import { deviceOfFile, directoryOfTest, logitsOf } from '../support/gguf-files.js'

const DECODER: RawConfig = {
  vocab_size: 53,
  hidden_size: 48,
  intermediate_size: 80,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
}
const GPT2: RawConfig = { model_type: 'gpt2', vocab_size: 53, n_embd: 48, n_layer: 2, n_head: 4, n_positions: 64 }
const LLAMA = { ...DECODER, model_type: 'llama' }

const IDS = [3, 14, 15, 9, 26, 5, 35]

const device = deviceOfFile()
let directory: string
let path: string
directoryOfTest((made) => {
  directory = made
  path = join(made, 'adapter.gguf')
})

/** Logits with an adapter, and with what was read of its file. */
async function bothLogits(config: RawConfig, options: LoraOptions): Promise<[Float32Array, Float32Array]> {
  const model = createModel(config, { device, dtype: 'float32', seed: 4 })
  const adapter = LoraAdapter.create(model, { initLoraWeights: false, ...options })
  const logits = await logitsOf(model, IDS)
  await writeGgufAdapter(adapter, path)
  adapter.dispose()
  const { updates, baseModel } = await readGgufAdapter(path, model)
  await writePeftFiles(join(directory, 'peft'), model, updates, { baseModel })
  await LoraAdapter.load(model, join(directory, 'peft'))
  const again = await logitsOf(model, IDS)
  model.dispose()
  return [logits, again]
}

test.each<[string, RawConfig]>([
  ['llama', LLAMA],
  ['mistral', { ...DECODER, model_type: 'mistral', sliding_window: null }],
  ['qwen2', { ...DECODER, model_type: 'qwen2' }],
  ['qwen3', { ...DECODER, model_type: 'qwen3', head_dim: 24 }],
  ['gpt2', GPT2],
])('gives the logits of an adapter on %s again, to the bit', async (_, config) => {
  const [logits, again] = await bothLogits(config, { r: 4, loraAlpha: 8 })
  expect(again).toEqual(logits)
})

test.each<[string, LoraOptions]>([
  ['useRslora', { r: 5, loraAlpha: 7, useRslora: true }],
  [
    'ranks and alphas of its own for some modules',
    { r: 4, loraAlpha: 6, rankPattern: { q_proj: 7 }, alphaPattern: { down_proj: 3 } },
  ],
  ['both', { r: 4, loraAlpha: 6, rankPattern: { q_proj: 7 }, alphaPattern: { down_proj: 3 }, useRslora: true }],
])('folds what one alpha cannot say into B: %s', async (_, options) => {
  const [logits, again] = await bothLogits(LLAMA, options)
  // B is rounded once, to float32.
  again.forEach((value, i) => {
    expect(Math.abs(value - (logits[i] as number))).toBeLessThan(1e-5)
  })
})

test('names the file as llama.cpp looks for it', async () => {
  const model = createModel(LLAMA, { device, seed: 4 })
  const adapter = LoraAdapter.create(model, { r: 3, loraAlpha: 6, targetModules: ['q_proj', 'down_proj'] })
  adapter.baseModelName = 'someone/base'
  await writeGgufAdapter(adapter, path)
  model.dispose()
  const { metadata, tensors } = readGguf(path)
  expect(metadata.text('general.type')).toBe('adapter')
  expect(metadata.text('adapter.type')).toBe('lora')
  expect(metadata.text('general.architecture')).toBe('llama')
  expect(metadata.number('adapter.lora.alpha')).toBe(6)
  expect(ggufBaseModel(path)).toBe('someone/base')
  expect([...tensors.values()].map(({ name, shape }) => `${name} ${shape.join('x')}`)).toEqual([
    'blk.0.attn_q.weight.lora_a 3x48',
    'blk.0.attn_q.weight.lora_b 48x3',
    'blk.0.ffn_down.weight.lora_a 3x80',
    'blk.0.ffn_down.weight.lora_b 48x3',
    'blk.1.attn_q.weight.lora_a 3x48',
    'blk.1.attn_q.weight.lora_b 48x3',
    'blk.1.ffn_down.weight.lora_a 3x80',
    'blk.1.ffn_down.weight.lora_b 48x3',
  ])
})

test.each<[string, RawConfig, LoraOptions, string]>([
  ['modulesToSave', LLAMA, { r: 2, modulesToSave: ['norm'] }, "for format 'gguf-adapter', got one that also holds"],
  ['biases', { ...DECODER, model_type: 'qwen2' }, { r: 2, bias: 'lora_only' }, "(bias 'lora_only')"],
  [
    'a tied head',
    { ...LLAMA, tie_word_embeddings: true },
    { r: 2, targetModules: ['lm_head'] },
    'got an update of lm_head, whose weight is that of the embedding',
  ],
])('refuses an adapter with %s', async (_, config, options, message) => {
  const model = createModel(config, { device, seed: 4 })
  const adapter = LoraAdapter.create(model, options)
  await expect(writeGgufAdapter(adapter, path)).rejects.toThrow(message)
  model.dispose()
})

const KEYS: TypedKeys = {
  'general.architecture': string('llama'),
  'general.type': string('adapter'),
  'adapter.type': string('lora'),
  'adapter.lora.alpha': float32(4),
}
const zeros = (name: string, shape: number[]): GgufTensor => ({
  name,
  format: 'F32',
  shape,
  bytes: async () => new Uint8Array(4 * shape.reduce((product, size) => product * size, 1)),
})
const Q = 'blk.0.attn_q.weight'

test.each<[string, TypedKeys, GgufTensor[], string]>([
  ['a model', { ...KEYS, 'general.type': string('model') }, [], 'expected "adapter" for general.type, got "model"'],
  ['a control vector', { ...KEYS, 'adapter.type': string('control') }, [], 'expected "lora" for adapter.type'],
  ['one of another architecture', { ...KEYS, 'general.architecture': string('qwen2') }, [], 'expected "llama", which'],
  ['no pairs', KEYS, [], 'expected pairs of an adapter, got none'],
  ['other tensors', KEYS, [zeros('output_norm.weight', [48])], 'expected tensors named lora_a and lora_b'],
  ['half a pair', KEYS, [zeros(`${Q}.lora_a`, [2, 48])], 'got [2, 48] and [none]'],
  [
    'pairs of another size',
    KEYS,
    [zeros(`${Q}.lora_a`, [2, 48]), zeros(`${Q}.lora_b`, [64, 2])],
    'expected shapes [r, 48] and [48, r] for lora_a and lora_b of blk.0.attn_q.weight, got [2, 48] and [64, 2]',
  ],
  [
    'a layer that the model does not have',
    KEYS,
    [zeros('blk.9.attn_q.weight.lora_a', [2, 48]), zeros('blk.9.attn_q.weight.lora_b', [48, 2])],
    'got one for "blk.9.attn_q.weight"; is the adapter of this model?',
  ],
])('does not read %s', async (_, keys, tensors, message) => {
  const model = createModel(LLAMA, { device, seed: 4 })
  await writeGguf(path, keys, tensors)
  await expect(readGgufAdapter(path, model)).rejects.toThrow(message)
  model.dispose()
})
