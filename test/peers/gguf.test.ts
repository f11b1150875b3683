/** @file GGUF models and adapters in llama.cpp: the same ids, texts and ends of answers as here. */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { writeGgufAdapter } from '../../src/export/gguf-adapter-files.js'
import { writeGgufModel } from '../../src/export/gguf-model.js'
import { Device } from '../../src/tensor/device.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { trainLora } from '../../src/train/train-lora.js'
import { dice } from '../support/awkward-texts.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'
import { CONVERSATIONS, lines, MOST_TIES, PROMPTS, partings, sentences, TIE } from './gguf-answers.js'
import { describeWithLlamaCpp, type LlamaCppOutput, runLlamaCpp } from './llama-cpp.js'

const VOCABULARY = 512
const DECODER: RawConfig = {
  vocab_size: VOCABULARY,
  hidden_size: 96,
  intermediate_size: 160,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 20000,
  tie_word_embeddings: false,
}
const LLAMA3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}
const YARN = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 64 }

/** How text is cut, by the name of llama.cpp. */
const CUTS: Record<string, unknown[]> = {
  'gpt-2': [{ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }],
  smollm: [
    { type: 'Digits', individual_digits: true },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  ],
  'llama-bpe': split(String.raw`\p{N}{1,3}`),
  qwen2: split(String.raw`\p{N}`),
}

function split(digits: string): unknown[] {
  const regex = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
  return [
    { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false },
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  ]
}

const CASES: Record<string, { config: RawConfig; cut: string }> = {
  llama: { config: { ...DECODER, model_type: 'llama', rope_scaling: LLAMA3 }, cut: 'llama-bpe' },
  mistral: { config: { ...DECODER, model_type: 'mistral', sliding_window: null, head_dim: 32 }, cut: 'smollm' },
  qwen2: { config: { ...DECODER, model_type: 'qwen2', tie_word_embeddings: true, rope_scaling: YARN }, cut: 'qwen2' },
  qwen3: { config: { ...DECODER, model_type: 'qwen3', head_dim: 32 }, cut: 'qwen2' },
  gpt2: {
    config: { model_type: 'gpt2', vocab_size: VOCABULARY, n_embd: 96, n_layer: 3, n_head: 4, n_positions: 256 },
    cut: 'gpt-2',
  },
}

const TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
const TOKENS = 8
// Another program starts, on a machine that may do other work.
const HOOK_MS = 120_000
const TEST_MS = 60_000

const folder = temporaryDirectory()
let device: Device
beforeAll(() => {
  device = Device.open()
})
afterAll(() => device.close())

function prompts(count = PROMPTS): number[][] {
  const random = dice(11)
  return Array.from({ length: count }, () => Array.from({ length: 3 + random.below(12) }, () => random.below(400)))
}

async function writeTokenizer(directory: string, cut: string): Promise<void> {
  const files = tinyByteLevelTokenizer({ chatTemplate: TEMPLATE, eosToken: '<|im_end|>', bosToken: '<s>' })
  files.tokenizer.pre_tokenizer = { type: 'Sequence', pretokenizers: CUTS[cut] }
  ;(files.tokenizer.model as Record<string, unknown>).ignore_merges = cut === 'llama-bpe'
  await writeTinyTokenizer(directory, files)
}

/**
 * Weights that count: every bias and norm differs, and the row of the end of a turn in the head is larger than others,
 * so that some answers end.
 */
async function randomModel(config: RawConfig, eos: number): Promise<CausalLM> {
  const model = createModel({ ...config, eos_token_id: eos }, { device, dtype: 'float32', seed: 4 })
  for (const parameter of model.parameters().values()) {
    const values = await parameter.read()
    const width = parameter.shape[1]
    const isHead = parameter === model.head.weight
    const scaled = values.map((value, i) => {
      if (width === undefined) return value + 0.1 * Math.sin(i)
      if (isHead) return value * (Math.floor(i / width) === eos ? 12 : 6)
      return value * 6
    })
    parameter.set(scaled)
  }
  return model
}

/** A model that has learnt sentences: random ones hardly prefer one token to another. */
async function trainedModel(config: RawConfig, directory: string): Promise<CausalLM> {
  const fresh = createModel(config, { device, dtype: 'float32', seed: 6 })
  await saveModel(fresh, directory)
  fresh.dispose()
  const run = await trainLora({
    model: directory,
    method: 'full',
    dtype: 'float32',
    dataset: sentences().map((text) => ({ text })),
    training: {
      maxSteps: 150,
      perDeviceTrainBatchSize: 10,
      gradientAccumulationSteps: 1,
      learningRate: 4e-3,
      maxLength: 96,
    },
  })
  await run.save(join(directory, 'trained'))
  run.dispose()
  return await loadModel(join(directory, 'trained'), { device, dtype: 'float32' })
}

describeWithLlamaCpp('a GGUF file in llama.cpp', () => {
  describe.each(Object.entries(CASES))('%s', (name, { config, cut }) => {
    const directory = join(folder, name)
    const path = join(directory, 'f16.gguf')
    let output: LlamaCppOutput
    let model: CausalLM
    let written: CausalLM
    let tokenizer: Tokenizer

    beforeAll(async () => {
      await writeTokenizer(directory, cut)
      tokenizer = await loadTokenizer(directory)
      model = await randomModel(config, tokenizer.eosTokenId as number)
      await writeGgufModel(model, path, { type: 'F16', tokenizerFrom: directory })
      written = await loadModel(path, { device, dtype: 'float32' })
      output = await runLlamaCpp({
        model: path,
        texts: lines(),
        prompts: prompts(),
        maxTokens: TOKENS,
        conversations: CONVERSATIONS,
      })
    }, HOOK_MS)
    afterAll(() => {
      model?.dispose()
      written?.dispose()
    })

    /** Compares greedy answers; those that part may do so at a tie alone. */
    async function compare(of: CausalLM, answers: LlamaCppOutput['answers'], tie = TIE): Promise<void> {
      const ours = await of.generate(prompts(), { maxNewTokens: TOKENS, doSample: false })
      const shares = await partings(
        of,
        prompts(),
        ours,
        answers.map(({ ids }) => ids),
      )
      expect(shares.filter((share) => share >= tie)).toEqual([])
      expect(shares.length).toBeLessThanOrEqual(MOST_TIES)
      const ends = of.generationDefaults?.eosTokenIds ?? []
      for (const { ids, ended } of answers) expect(ended).toBe(ends.includes(ids.at(-1) as number))
    }

    it('gives the ids of greedy answers in F16, and ends them at the same tokens', async () => {
      await compare(written, output.answers)
      const ends = output.answers.filter(({ ended }) => ended).length
      expect(ends).toBeGreaterThan(0)
      expect(ends).toBeLessThan(PROMPTS)
    })

    it(
      'gives the same ids in float32 throughout, to the last',
      async () => {
        const whole = join(directory, 'f32.gguf')
        await writeGgufModel(model, whole, { type: 'F32', tokenizerFrom: directory })
        const { answers } = await runLlamaCpp({ model: whole, prompts: prompts(), maxTokens: TOKENS })
        const read = await loadModel(whole, { device, dtype: 'float32' })
        // GPT-2's gelu comes from a table of float16 numbers there.
        await compare(read, answers, name === 'gpt2' ? TIE : 1e-5)
        read.dispose()
      },
      TEST_MS,
    )

    it('cuts 1,000 lines into the same ids', () => {
      const texts = lines()
      expect(texts).toHaveLength(1000)
      const ours = texts.map((line) => tokenizer.encode(line, { addSpecialTokens: false }))
      const different = texts.filter((_, i) => JSON.stringify(ours[i]) !== JSON.stringify(output.ids[i]))
      expect(different).toEqual([])
      expect([output.addBos, output.bos, output.eos]).toEqual([true, tokenizer.bosTokenId, tokenizer.eosTokenId])
    })

    it('renders conversations alike', () => {
      const ours = CONVERSATIONS.map((messages) => {
        const text = tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })
        return tokenizer.encode(text, { addSpecialTokens: false })
      })
      expect(output.rendered).toEqual(ours)
    })

    it(
      'has the next token of a trained model in Q8_0, and stops where it does',
      async () => {
        const trained = await trainedModel(config, directory)
        const packed = join(directory, 'q8_0.gguf')
        await writeGgufModel(trained, packed, { type: 'Q8_0', tokenizerFrom: directory })
        // Beginnings of sentences that it has learnt, each of another length, some whole.
        const asked = sentences().map((text, i) => {
          const ids = tokenizer.encode(text)
          return ids.slice(0, i % 5 === 0 ? ids.length : 2 + (i % (ids.length - 2)))
        })
        const { answers } = await runLlamaCpp({ model: packed, prompts: asked, maxTokens: 1 })
        const ours = await trained.generate(asked, { maxNewTokens: 1, doSample: false })
        trained.dispose()
        const same = answers.filter(({ ids }, i) => ids[0] === ours[i]?.[0])
        expect(asked).toHaveLength(PROMPTS)
        expect(same.length).toBeGreaterThanOrEqual(0.98 * PROMPTS)
        expect(answers.filter(({ ended }) => ended).length).toBeGreaterThanOrEqual(PROMPTS / 5 - 2)
        for (const { ids, ended } of answers) expect(ended).toBe(ids[0] === tokenizer.eosTokenId)
      },
      TEST_MS,
    )

    it(
      'takes an adapter',
      async () => {
        const rankPattern = { [name === 'gpt2' ? 'c_fc' : 'down_proj']: 6 }
        const options = { r: 4, loraAlpha: 9, initLoraWeights: false, useRslora: true, rankPattern }
        const adapter = LoraAdapter.create(written, options)
        const file = join(directory, 'adapter.gguf')
        await writeGgufAdapter(adapter, file)
        const { answers } = await runLlamaCpp({ model: path, adapter: file, prompts: prompts(), maxTokens: TOKENS })
        await compare(written, answers)
        adapter.dispose()
        const changed = answers.filter(({ ids }, i) => JSON.stringify(ids) !== JSON.stringify(output.answers[i]?.ids))
        expect(changed.length).toBeGreaterThan(PROMPTS / 2)
      },
      TEST_MS,
    )
  })
})
