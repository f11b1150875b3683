/**
 * @file SmolLM2-135M-Instruct from GGUF in Q4_1: ids, answers and loss that transformers has for the same file. Runs
 * where the file is; see CONTRIBUTING.md.
 */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import type { ChatMessage } from '../../src/tokenizer/chat-template.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { trainLora } from '../../src/train/train-lora.js'
import { lowrank } from '../cli/run-cli.js'
import { SMOLLM2 } from '../support/real-model.js'
import { temporaryDirectory, tinyRows } from '../support/tiny-model.js'

/** Written by test/golden/gguf_cases.py. */
interface Golden {
  lines: string[]
  ids: number[][]
  answers: { messages: ChatMessage[]; text: string; prompt: number[]; answer: number[] }[]
  perplexity: { text: string; ids: number[]; loss: number }
  /** SHA-256 of float32 weights. */
  embedding: string
  query: string
}

// Float32 answers take a while where others compute too.
describe.skipIf(SMOLLM2 === undefined)('SmolLM2-135M-Instruct', { timeout: 600_000 }, () => {
  const path = SMOLLM2 as string
  let golden: Golden
  let tokenizer: Tokenizer
  let model: CausalLM
  const directory = temporaryDirectory()

  beforeAll(async () => {
    const file = fileURLToPath(new URL('../golden/gguf/smollm2.json.gz', import.meta.url))
    golden = JSON.parse(gunzipSync(readFileSync(file)).toString())
    tokenizer = await loadTokenizer(path)
    model = await loadModel(path, { dtype: 'float32' })
  })
  afterAll(() => {
    model?.dispose()
    model?.device.close()
  })

  test('has the ids of 1000 lines, and gives the lines back', () => {
    golden.lines.forEach((line, i) => {
      const ids = tokenizer.encode(line)
      expect(ids, JSON.stringify(line)).toEqual(golden.ids[i])
      expect(tokenizer.decode(ids)).toBe(line)
    })
    expect(golden.lines).toHaveLength(1000)
  })

  test('has the weights bit for bit, rows of q_proj in order', async () => {
    const digest = async (name: string): Promise<string> => {
      const values = await model.parameters().get(name)!.read()
      return createHash('sha256')
        .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
        .digest('hex')
    }
    expect(await digest('model.embed_tokens.weight')).toBe(golden.embedding)
    expect(await digest('model.layers.7.self_attn.q_proj.weight')).toBe(golden.query)
  })

  test('answers five chats with the same 40 ids', async () => {
    for (const { messages, text, prompt, answer } of golden.answers) {
      expect(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })).toBe(text)
      expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(prompt)
      expect(await model.generate(prompt, { maxNewTokens: answer.length, eosTokenId: [] })).toEqual(answer)
    }
    expect(model.config.eosTokenId).toEqual([tokenizer.eosTokenId])
  })

  test('has the loss of a text within 1e-4', async () => {
    const { text, ids, loss } = golden.perplexity
    expect(tokenizer.encode(text)).toEqual(ids)
    const result = model.forward({ inputIds: [ids], labels: [ids] })
    const [ours] = await result.loss.read()
    result.loss.dispose()
    // A relative difference of perplexities is a difference of losses.
    expect(Math.abs(Math.expm1((ours as number) - loss))).toBeLessThan(1e-4)
  })

  test('trains an adapter in NF4 and in bfloat16, which names the file as its base and loads on it', async () => {
    for (const quantization of ['nf4', undefined] as const) {
      const training = { maxSteps: 2, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1, learningRate: 1e-3 }
      const run = await trainLora({
        model: path,
        dataset: tinyRows(4),
        quantization,
        dtype: 'bfloat16',
        lora: { r: 4 },
        training,
      })
      expect(run.model.quantization).toBe(quantization)
      expect(run.loss).toBeGreaterThan(0)
      const saved = join(directory, String(quantization))
      await run.save(saved)
      run.dispose()
      expect(JSON.parse(readFileSync(join(saved, 'adapter_config.json'), 'utf8')).base_model_name_or_path).toBe(path)
    }
    const { prompt, answer } = golden.answers[0] as Golden['answers'][0]
    const adapter = await LoraAdapter.load(model, join(directory, 'undefined'))
    expect(await model.generate(prompt, { maxNewTokens: 5 })).toHaveLength(5)
    adapter.dispose()
    expect(await model.generate(prompt, { maxNewTokens: 5 })).toEqual(answer.slice(0, 5))
  })

  test('is planned and asked on the command line', async () => {
    const plan = await lowrank(['plan', '--model', path, '--set', 'training.maxLength=256', '--json'])
    expect(plan.stderr).toBe('')
    expect(JSON.parse(plan.stdout)).toMatchObject({
      totalParameters: 134515008 + 4884480,
      settings: { maxLength: 256 },
    })
    const answer = await lowrank([
      'generate',
      '--model',
      path,
      '--chat',
      '--prompt',
      'What is the capital of France?',
      '--json',
      '--max-new-tokens',
      '24',
    ])
    expect(answer.stderr).toBe('')
    expect(JSON.parse(answer.stdout).text).toContain('Paris')
  })
})
