/**
 * @file The model that users hold: forward with every kind of batch, and greedy generation. Values are PyTorch's in
 * golden.test.ts.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { testDevices } from '../support/devices.js'
import { relativeDifference } from '../support/golden.js'
import { seededRandom } from '../support/values.js'

const VOCAB = 61
const LLAMA: RawConfig = {
  model_type: 'llama',
  vocab_size: VOCAB,
  hidden_size: 30,
  intermediate_size: 57,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  eos_token_id: 7,
}
const GPT2: RawConfig = { model_type: 'gpt2', vocab_size: VOCAB, n_positions: 24, n_embd: 30, n_layer: 2, n_head: 3 }

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let models: Record<'llama' | 'gpt2', CausalLM>
  beforeAll(async () => {
    device = open()
    models = { llama: await lively(LLAMA), gpt2: await lively(GPT2) }
  })
  afterAll(() => device.close())

  /** Fresh weights are so small that every answer is the same; these are not. */
  async function lively(config: RawConfig): Promise<CausalLM> {
    const model = createModel(config, { device })
    for (const parameter of model.parameters().values())
      if (parameter.shape.length === 2) parameter.set((await parameter.read()).map((value) => 12 * value))
    return model
  }

  const random = seededRandom(3)
  const ids = (count: number): number[] => Array.from({ length: count }, () => Math.floor((random() + 1) * 0.5 * VOCAB))
  const rowsOf = (logits: Float32Array, from: number, to: number): Float32Array =>
    logits.subarray(from * VOCAB, to * VOCAB)
  // Sums in another order; see golden.test.ts.
  const CLOSE = 5e-6

  describe('forward', () => {
    test.each(['llama', 'gpt2'] as const)(
      '%s: padded rows give the logits of each row alone, and zeros in padding',
      async (name) => {
        const model = models[name]
        const [long, short] = [ids(9), ids(4)]
        const inputIds = [long, [...short, 0, 0, 0, 0, 0]]
        const attentionMask = [long.map(() => 1), [1, 1, 1, 1, 0, 0, 0, 0, 0]]
        const { logits } = model.forward({ inputIds, attentionMask }, { logits: true })
        expect(logits).toMatchObject({ shape: [2, 9, VOCAB], dtype: 'float32' })
        const all = await logits.read()
        const alone = await model.forward({ inputIds: [short] }, { logits: true }).logits.read()
        expect(relativeDifference(rowsOf(all, 9, 13), alone)).toBeLessThan(CLOSE)
        expect(rowsOf(all, 13, 18).every((value) => value === 0)).toBe(true)
      },
    )

    test('llama: padding on the left or on the right makes no difference to the tokens', async () => {
      const row = ids(5)
      const other = ids(8)
      const mask = other.map(() => 1)
      const left = { inputIds: [[0, 0, 0, ...row], other], attentionMask: [[0, 0, 0, 1, 1, 1, 1, 1], mask] }
      const right = { inputIds: [[...row, 0, 0, 0], other], attentionMask: [[1, 1, 1, 1, 1, 0, 0, 0], mask] }
      const onLeft = await models.llama.forward(left, { logits: true }).logits.read()
      const onRight = await models.llama.forward(right, { logits: true }).logits.read()
      expect(relativeDifference(rowsOf(onLeft, 3, 8), rowsOf(onRight, 0, 5))).toBeLessThan(CLOSE)
      expect(rowsOf(onLeft, 0, 3).every((value) => value === 0)).toBe(true)
    })

    test.each(['llama', 'gpt2'] as const)('%s: a row of padding alone is all zeros', async (name) => {
      const batch = {
        inputIds: [ids(3), [0, 0, 0]],
        attentionMask: [
          [1, 1, 1],
          [0, 0, 0],
        ],
      }
      const logits = await models[name].forward(batch, { logits: true }).logits.read()
      expect(rowsOf(logits, 3, 6).every((value) => value === 0)).toBe(true)
    })

    test.each(['llama', 'gpt2'] as const)('%s: ragged sequences do not see each other', async (name) => {
      const model = models[name]
      const parts = [ids(6), ids(1), ids(4)]
      const batch = { inputIds: Int32Array.from(parts.flat()), cuSeqlens: [0, 6, 7, 11] }
      const { logits } = model.forward(batch, { logits: true })
      expect(logits.shape).toEqual([11, VOCAB])
      const all = await logits.read()
      const alone = await model.forward({ inputIds: [parts[2] as number[]] }, { logits: true }).logits.read()
      expect(relativeDifference(rowsOf(all, 7, 11), alone)).toBeLessThan(CLOSE)
    })

    test('int32 tensors give the bits of arrays', async () => {
      const rows = [ids(5), ids(5)]
      const tensor = Tensor.from(device, Int32Array.from(rows.flat()), [2, 5])
      const fromArrays = models.llama.forward({ inputIds: rows, labels: rows }, { logits: true })
      const fromTensors = models.llama.forward({ inputIds: tensor, labels: tensor }, { logits: true })
      expect(await fromTensors.logits.read()).toEqual(await fromArrays.logits.read())
      expect(await fromTensors.loss.read()).toEqual(await fromArrays.loss.read())
    })

    test('the loss is the mean over labelled tokens of -log softmax, from the logits', async () => {
      const row = ids(6)
      const labels = [[-100, -100, row[2] as number, -100, row[4] as number, row[5] as number]]
      const { loss, logits } = models.llama.forward({ inputIds: [row], labels }, { logits: true })
      const values = await logits.read()
      let sum = 0
      for (const at of [2, 4, 5]) {
        const scores = rowsOf(values, at - 1, at)
        const normalizer = Math.log(scores.reduce((total, score) => total + Math.exp(score), 0))
        sum += normalizer - (scores[row[at] as number] as number)
      }
      const [got] = (await loss.read()) as unknown as [number]
      expect(loss.shape).toEqual([1])
      expect(Math.abs(got - sum / 3)).toBeLessThan(1e-5)
    })

    test('numItemsInBatch replaces the count of labelled tokens', async () => {
      const row = ids(6)
      const batch = { inputIds: [row], labels: [row] }
      const [mean] = (await models.llama.forward(batch).loss.read()) as unknown as [number]
      const [part] = (await models.llama.forward({ ...batch, numItemsInBatch: 20 }).loss.read()) as unknown as [number]
      expect(Math.abs(part - (mean * 5) / 20)).toBeLessThan(1e-6)
    })

    test('a batch whose labels are all -100 has the loss 0', async () => {
      const { loss } = models.llama.forward({ inputIds: [ids(3)], labels: [[-100, -100, -100]] })
      expect(await loss.read()).toEqual(Float32Array.of(0))
    })

    test('what was not asked for is an error that says how to ask', () => {
      const row = ids(3)
      expect(() => models.llama.forward({ inputIds: [row] }).loss).toThrow(
        '[forward] expected labels in the batch: there is no loss without them',
      )
      expect(() => models.llama.forward({ inputIds: [row], labels: [row] }).logits).toThrow(
        '[forward] expected forward(batch, { logits: true }): logits are not computed unless asked for',
      )
      expect(() => models.llama.forward({ inputIds: [row] }, { logit: true } as object)).toThrow(
        '[forward] unknown option "logit"; did you mean "logits"?',
      )
    })

    test('gpt2 has no positions beyond n_positions', () => {
      expect(() => models.gpt2.forward({ inputIds: [ids(25)] }, { logits: true })).toThrow(
        '[gpt2] expected at most 24 tokens in a sequence (n_positions), got 25; lower maxLength',
      )
    })

    test('leaves nothing in memory but what it returns', async () => {
      const row = ids(6)
      await models.llama.forward({ inputIds: [row], labels: [row] }).loss.read()
      await device.sync()
      const before = device.memory().live
      const { loss, logits } = models.llama.forward({ inputIds: [row], labels: [row] }, { logits: true })
      loss.dispose()
      logits.dispose()
      await device.sync()
      expect(device.memory().live).toBe(before)
    })
  })

  describe('generate', () => {
    const NO_END = { eosTokenId: [] }
    test.each(['llama', 'gpt2'] as const)('%s: the cache gives what recomputing everything gives', async (name) => {
      const model = models[name]
      const prompt = ids(5)
      const all = [...prompt]
      for (let step = 0; step < 12; step++) {
        const logits = await model.forward({ inputIds: [all] }, { logits: true }).logits.read()
        const last = rowsOf(logits, all.length - 1, all.length)
        all.push(last.indexOf(Math.max(...last)))
      }
      const generated = await model.generate(prompt, { maxNewTokens: 12, ...NO_END })
      expect(generated).toEqual(all.slice(5))
      expect(new Set(generated).size).toBeGreaterThan(3)
    })

    test('the cache grows with the answer, and gives the same', async () => {
      const prompt = ids(5)
      const generated = await models.llama.generate(prompt, { maxNewTokens: 600, ...NO_END })
      expect(generated).toHaveLength(600)
      // Teacher forcing: where the two differ, the logits of one pass over everything say another best id.
      const all = [...prompt, ...generated]
      const logits = await models.llama.forward({ inputIds: [all] }, { logits: true }).logits.read()
      generated.forEach((id, step) => {
        const last = rowsOf(logits, prompt.length - 1 + step, prompt.length + step)
        const best = Math.max(...last)
        expect(best - (last[id] as number), `token ${step}`).toBeLessThan(1e-4 * Math.abs(best))
      })
    })

    test('stops at an ending id, which is the last of the result; [] never stops', async () => {
      const prompt = ids(4)
      const free = await models.llama.generate(prompt, { maxNewTokens: 15, ...NO_END })
      expect(free).toHaveLength(15)
      const end = free[6] as number
      const stopped = free.slice(0, free.indexOf(end) + 1)
      expect(await models.llama.generate(prompt, { maxNewTokens: 15, eosTokenId: end })).toEqual(stopped)
      expect(await models.llama.generate(prompt, { maxNewTokens: 15, eosTokenId: [60, end] })).toEqual(
        free.slice(0, free.findIndex((id) => id === end || id === 60) + 1),
      )
    })

    test('stops at the ending id of the config unless told otherwise', async () => {
      const prompt = ids(4)
      const free = await models.llama.generate(prompt, { maxNewTokens: 4, ...NO_END })
      const ending = await lively({ ...LLAMA, eos_token_id: [free[1] as number] })
      expect(await ending.generate(prompt, { maxNewTokens: 4 })).toEqual(
        free.slice(0, free.indexOf(free[1] as number) + 1),
      )
      ending.dispose()
    })

    test('tells each id as soon as it is known, and nothing between', async () => {
      const prompt = ids(3)
      const heard: number[] = []
      const controller = new AbortController()
      const onToken = (id: number): void => {
        if (heard.push(id) === 3) controller.abort()
      }
      const { signal } = controller
      const run = models.llama.generate(prompt, { maxNewTokens: 5, ...NO_END, onToken, signal })
      await expect(run).rejects.toThrow('aborted')
      expect(heard).toEqual(await models.llama.generate(prompt, { maxNewTokens: 3, ...NO_END }))
    })

    test('maxNewTokens 0 gives nothing', async () => {
      expect(await models.llama.generate(ids(3), { maxNewTokens: 0 })).toEqual([])
    })

    test('an aborted signal ends it with its reason, before and between tokens', async () => {
      const reason = new Error('enough')
      await expect(
        models.llama.generate(ids(3), { maxNewTokens: 5, ...NO_END, signal: AbortSignal.abort(reason) }),
      ).rejects.toBe(reason)
      const controller = new AbortController()
      const running = models.llama.generate(ids(3), { maxNewTokens: 100_000, ...NO_END, signal: controller.signal })
      setImmediate(() => controller.abort(reason))
      await expect(running).rejects.toBe(reason)
    })

    test('frees its cache, also after an error', async () => {
      await device.sync()
      const before = device.memory().live
      await models.llama.generate(ids(3), { maxNewTokens: 3, ...NO_END })
      await models.llama.generate([VOCAB], { maxNewTokens: 3 }).catch(() => undefined)
      await device.sync()
      expect(device.memory().live).toBe(before)
    })

    test.each<[string, number[], object, string]>([
      ['an empty prompt', [], {}, '[forward] expected at least one token in inputIds, got none'],
      [
        'an id outside the vocabulary',
        [VOCAB],
        {},
        `[forward] expected token ids in [0, ${VOCAB}) for inputIds, got ${VOCAB}`,
      ],
      [
        'a negative count',
        [1],
        { maxNewTokens: -1 },
        '[generate] expected a whole number of at least 0 for maxNewTokens, got -1',
      ],
      [
        'a misspelled option',
        [1],
        { maxTokens: 3 },
        '[generate] unknown option "maxTokens"; did you mean "maxNewTokens"?',
      ],
    ])('%s is an error', async (_, prompt, options, message) => {
      await expect(models.llama.generate(prompt, { maxNewTokens: 2, ...options })).rejects.toThrow(message)
    })

    test('gpt2 ends with an error where its positions end', async () => {
      await expect(models.gpt2.generate(ids(20), { maxNewTokens: 8, ...NO_END })).rejects.toThrow(
        '[gpt2] expected at most 24 tokens in a sequence (n_positions), got 28',
      )
    })
  })

  describe('createModel', () => {
    test('draws the same weights for a seed, others for another; norms are one and biases zero', async () => {
      const [first, again, other] = [
        createModel(GPT2, { device }),
        createModel(GPT2, { device }),
        createModel(GPT2, { device, seed: 1 }),
      ]
      const read = (model: CausalLM, name: string) => model.parameters().get(name)?.read()
      const name = 'transformer.h.1.mlp.c_fc.weight'
      expect(await read(again, name)).toEqual(await read(first, name))
      expect(await read(other, name)).not.toEqual(await read(first, name))
      const values = (await read(first, name)) as Float32Array
      const deviation = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
      // 3600 draws: the deviation of a deviation of 0.02 is 0.00024.
      expect(Math.abs(deviation - 0.02)).toBeLessThan(0.001)
      expect(new Set(await read(first, 'transformer.ln_f.weight'))).toEqual(new Set([1]))
      expect(new Set(await read(first, 'transformer.h.0.attn.c_attn.bias'))).toEqual(new Set([0]))
      for (const model of [first, again, other]) model.dispose()
    })

    test('makes norms of heads one and biases zero too', async () => {
      const model = createModel(
        { ...LLAMA, model_type: 'qwen3', num_key_value_heads: 1, attention_bias: true },
        { device },
      )
      const values = async (name: string) =>
        new Set(await model.parameters().get(`model.layers.1.self_attn.${name}`)?.read())
      expect(await values('q_norm.weight')).toEqual(new Set([1]))
      expect(await values('k_norm.weight')).toEqual(new Set([1]))
      expect(await values('o_proj.bias')).toEqual(new Set([0]))
      model.dispose()
    })

    test('refuses unknown options', () => {
      expect(() => createModel(GPT2, { device, sed: 3 } as object)).toThrow(
        '[createModel] unknown option "sed"; did you mean "seed"?',
      )
    })
  })
})
