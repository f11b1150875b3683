/** @file writeGgufModel: what is written, read by our own reader: logits, config, tokenizer, and what is refused. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { writeGgufModel } from '../../src/export/gguf-model.js'
import { readGguf } from '../../src/gguf/reader.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { deviceOfFile, directoryOfTest, livelyModel, logitsOf } from '../support/gguf-files.js'
import {
  type TinyTokenizerFiles,
  type TinyTokenizerOptions,
  tinyByteLevelTokenizer,
  tinySentencePieceTokenizer,
} from '../support/tiny-tokenizer.js'

const LLAMA: RawConfig = {
  model_type: 'llama',
  vocab_size: 512,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 50000,
  tie_word_embeddings: false,
}
const LLAMA3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}
const GPT2: RawConfig = {
  model_type: 'gpt2',
  vocab_size: 512,
  n_embd: 64,
  n_layer: 2,
  n_head: 4,
  n_positions: 128,
  layer_norm_epsilon: 1e-5,
}
const CONFIGS: Record<string, RawConfig> = {
  llama: LLAMA,
  'llama with biases and a tied head': { ...LLAMA, attention_bias: true, mlp_bias: true, tie_word_embeddings: true },
  'llama with the rope scaling of Llama 3.1': { ...LLAMA, rope_scaling: LLAMA3 },
  'llama with linear rope scaling': { ...LLAMA, rope_scaling: { rope_type: 'linear', factor: 4 } },
  mistral: { ...LLAMA, model_type: 'mistral', sliding_window: 4, head_dim: 24 },
  qwen2: { ...LLAMA, model_type: 'qwen2' },
  'qwen2 with YaRN': {
    ...LLAMA,
    model_type: 'qwen2',
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 128 },
  },
  qwen3: { ...LLAMA, model_type: 'qwen3', head_dim: 24 },
  gpt2: GPT2,
  'gpt2 with a head of its own': { ...GPT2, n_inner: 160, tie_word_embeddings: false },
}
const TEMPLATE =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
const IDS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7]

const device = deviceOfFile()
let directory: string
let path: string
directoryOfTest((made) => {
  directory = made
  path = join(made, 'model.gguf')
})

const modelOf = (config: RawConfig, dtype: 'float32' | 'bfloat16' = 'float32'): Promise<CausalLM> =>
  livelyModel(config, device, dtype)

/** With every way to make a piece of two others as a merge, as tokenizers that come from SentencePiece have them. */
function tinyPieces(options: TinyTokenizerOptions): TinyTokenizerFiles {
  const files = tinySentencePieceTokenizer(options)
  const model = files.tokenizer.model as { vocab: Record<string, number>; merges: [string, string][] }
  const made = [...new Set(model.merges.map((pair) => pair.join('')))]
  model.merges = made.flatMap((piece) =>
    Array.from({ length: piece.length - 1 }, (_, i): [string, string] => [
      piece.slice(0, i + 1),
      piece.slice(i + 1),
    ]).filter((pair) => pair.every((part) => Object.hasOwn(model.vocab, part))),
  )
  return files
}

async function writeTokenizer({ tokenizer, config }: TinyTokenizerFiles): Promise<void> {
  await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(tokenizer))
  await writeFile(join(directory, 'tokenizer_config.json'), JSON.stringify(config))
}

async function writtenLogits(): Promise<Float32Array> {
  const model = await loadModel(path, { device, dtype: 'float32' })
  try {
    return await logitsOf(model, IDS)
  } finally {
    model.dispose()
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0)
}

describe.each(Object.entries(CONFIGS))('%s', (_, config) => {
  test('gives its logits again, and its config', async () => {
    await writeTokenizer(tinyByteLevelTokenizer())
    const model = await modelOf(config)
    const logits = await logitsOf(model, IDS)
    const { formats } = await writeGgufModel(model, path, { type: 'F32', tokenizerFrom: directory })
    model.dispose()
    expect(await writtenLogits()).toEqual(logits)
    expect(formats).toEqual({ F32: readGguf(path).tensors.size })
    const read = await loadModel(path, { device })
    const known = Object.keys(config).filter(
      (key) => JSON.stringify(read.rawConfig[key] ?? false) === JSON.stringify(config[key]),
    )
    expect(Object.keys(config).filter((key) => !known.includes(key))).toEqual([])
    read.dispose()
  })
})

// Twice what rounding to the format makes of logits of up to 20 in these models.
test.each([
  ['F16', 0.02],
  ['BF16', 0.15],
  ['Q8_0', 0.2],
  ['Q5_0', 2],
  ['Q4_0', 4],
] as const)('lies near the model in %s', async (type, tolerance) => {
  await writeTokenizer(tinyByteLevelTokenizer())
  const model = await modelOf(LLAMA)
  const logits = await logitsOf(model, IDS)
  await writeGgufModel(model, path, { type, tokenizerFrom: directory })
  model.dispose()
  const difference = largestDifference(await writtenLogits(), logits)
  expect(difference).toBeLessThan(tolerance)
  expect(difference).toBeGreaterThan(0)
})

test('keeps every bit of a bfloat16 model in BF16', async () => {
  await writeTokenizer(tinyByteLevelTokenizer())
  const model = await modelOf(LLAMA, 'bfloat16')
  await writeGgufModel(model, path, { type: 'BF16', tokenizerFrom: directory })
  const read = await loadModel(path, { device, dtype: 'bfloat16' })
  for (const [name, parameter] of model.parameters())
    expect(await read.parameters().get(name)?.read()).toEqual(await parameter.read())
  model.dispose()
  read.dispose()
})

test.each([
  ['byte-level', tinyByteLevelTokenizer],
  ['SentencePiece', tinyPieces],
])('keeps a %s tokenizer, its special tokens and its chat template', async (_, make) => {
  await writeTokenizer(make({ chatTemplate: TEMPLATE, eosToken: '<|im_end|>', bosToken: '<s>' }))
  const model = await modelOf(LLAMA)
  await writeGgufModel(model, path, { tokenizerFrom: directory })
  model.dispose()
  const [ours, theirs] = [await loadTokenizer(directory), await loadTokenizer(path)]
  for (const text of ['The assistant answers.', ' a  b\n\nc', 'x<|im_end|>', 'ünïcödé 漢字 👩'])
    expect(theirs.encode(text)).toEqual(ours.encode(text))
  const messages = [{ role: 'user', content: 'hello' }]
  expect(theirs.applyChatTemplate(messages, { addGenerationPrompt: true })).toBe(
    ours.applyChatTemplate(messages, { addGenerationPrompt: true }),
  )
  expect([theirs.bosTokenId, theirs.eosTokenId]).toEqual([ours.bosTokenId, ours.eosTokenId])
  expect(readGguf(path).metadata.get('tokenizer.ggml.add_bos_token')).toBe(true)
})

test('writes a model with the same tokenizer from a GGUF file', async () => {
  await writeTokenizer(tinyByteLevelTokenizer({ chatTemplate: TEMPLATE }))
  const first = await modelOf(LLAMA)
  await writeGgufModel(first, path, { type: 'F32', tokenizerFrom: directory })
  first.dispose()
  const model = await loadModel(path, { device, dtype: 'float32' })
  const again = join(directory, 'again.gguf')
  await writeGgufModel(model, again, { type: 'F32' })
  model.dispose()
  const [a, b] = [readGguf(path), readGguf(again)]
  expect([...b.metadata.keys()].filter((key) => key.startsWith('tokenizer.')).sort()).toEqual(
    [...a.metadata.keys()].filter((key) => key.startsWith('tokenizer.')).sort(),
  )
  for (const key of a.metadata.keys())
    if (key !== 'general.name') expect(b.metadata.get(key)).toEqual(a.metadata.get(key))
  const loaded = await loadModel(again, { device, dtype: 'float32' })
  const logits = await logitsOf(loaded, IDS)
  loaded.dispose()
  expect(logits).toEqual(await writtenLogits())
})

test('folds an adapter in, also one on a base in NF4', async () => {
  await writeTokenizer(tinyByteLevelTokenizer())
  const plain = await modelOf(LLAMA)
  await saveModel(plain, join(directory, 'base'))
  plain.dispose()
  const model = await loadModel(join(directory, 'base'), { device, dtype: 'float32', quantization: 'nf4' })
  const adapter = LoraAdapter.create(model, { r: 3, loraAlpha: 7, initLoraWeights: false })
  const logits = await logitsOf(model, IDS)
  await writeGgufModel(model, path, { type: 'F32', adapter, tokenizerFrom: directory })
  model.dispose()
  // The order of float32 sums: B A is added to W before it is multiplied.
  expect(largestDifference(await writtenLogits(), logits)).toBeLessThan(1e-3)
})

test.each<[string, RawConfig, string]>([
  [
    'a window of qwen2',
    { ...LLAMA, model_type: 'qwen2', use_sliding_window: true, sliding_window: 8, max_window_layers: 1 },
    'with a sliding window of 8 tokens for qwen2',
  ],
  [
    'dynamic rope scaling',
    { ...LLAMA, rope_scaling: { rope_type: 'dynamic', factor: 2 } },
    'with rope scaling dynamic',
  ],
  ['another gelu', { ...GPT2, activation_function: 'gelu' }, "with activation_function 'gelu'"],
  [
    'scores scaled by layer',
    { ...GPT2, scale_attn_by_inverse_layer_idx: true },
    'scale_attn_by_inverse_layer_idx true',
  ],
])('refuses %s, which llama.cpp computes otherwise', async (_, config, message) => {
  await writeTokenizer(tinyByteLevelTokenizer())
  const model = await modelOf(config)
  await expect(writeGgufModel(model, path, { tokenizerFrom: directory })).rejects.toThrow(message)
  model.dispose()
})

test.each<[string, (file: Record<string, unknown>) => void, string]>([
  [
    'a pre-tokenizer without a name',
    (file) => {
      file.pre_tokenizer = {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: '[aeiou]+' }, behavior: 'Isolated', invert: false },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      }
    },
    'with a pre-tokenizer that llama.cpp has no name for: it cuts by [aeiou]+',
  ],
  [
    'a normalizer',
    (file) => {
      file.normalizer = { type: 'Lowercase' }
    },
    'with the normalizer "Lowercase", which llama.cpp does not have',
  ],
  [
    'more than the begin of a text before each text',
    (file) => {
      const place = (id: string) => ({ SpecialToken: { id, type_id: 0 } })
      const special = (id: string) => [
        id,
        {
          id,
          ids: [(file.added_tokens as { content: string; id: number }[]).find(({ content }) => content === id)?.id],
          tokens: [id],
        },
      ]
      file.post_processor = {
        type: 'TemplateProcessing',
        single: [place('<s>'), place('<|user|>'), { Sequence: { id: 'A', type_id: 0 } }],
        pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
        special_tokens: Object.fromEntries(['<s>', '<|user|>'].map(special)),
      }
    },
    'put round each text',
  ],
  [
    'an added token that takes white space with it',
    (file) => {
      ;(file.added_tokens as Record<string, unknown>[])[0]!.lstrip = true
    },
    'which has lstrip',
  ],
])('refuses a tokenizer with %s', async (_, change, message) => {
  const files = tinyByteLevelTokenizer({ bosToken: '<s>' })
  change(files.tokenizer)
  await writeTokenizer(files)
  const model = await modelOf(LLAMA)
  await expect(writeGgufModel(model, path, { tokenizerFrom: directory })).rejects.toThrow(message)
  model.dispose()
})

test('refuses merges that are not those of SentencePiece', async () => {
  await writeTokenizer(tinySentencePieceTokenizer())
  const model = await modelOf(LLAMA)
  await expect(writeGgufModel(model, path, { tokenizerFrom: directory })).rejects.toThrow(
    'with merges that no scores of pieces give: it is not of SentencePiece',
  )
  model.dispose()
})

test('refuses weights that the format does not hold, naming the tensor', async () => {
  await writeTokenizer(tinyByteLevelTokenizer())
  const model = await modelOf(LLAMA)
  const name = 'model.layers.1.mlp.up_proj.weight'
  const weight = model.parameters().get(name)!
  const values = await weight.read()
  values[5] = 70000
  weight.set(values)
  await expect(writeGgufModel(model, path, { tokenizerFrom: directory })).rejects.toThrow(
    `[gguf] expected the values of "${name}" to fit F16; some are too large for it: choose BF16 or F32`,
  )
  values[5] = Number.NaN
  weight.set(values)
  await expect(writeGgufModel(model, path, { type: 'Q4_0', tokenizerFrom: directory })).rejects.toThrow(
    'some are infinite or no numbers',
  )
  model.dispose()
})
