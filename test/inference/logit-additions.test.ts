/** @file Biases of ids and penalties of ids that an answer has: sums in float64, draws, and log probabilities. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createInferenceEngine } from '../../src/inference/create-engine.js'
import { Drawing } from '../../src/inference/drawing.js'
import type { InferenceEngine, InferenceRequest, InferenceToken } from '../../src/inference/inference-request.js'
import { LogitAdditions, type SparseLogits } from '../../src/inference/logit-additions.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { testDevices } from '../support/devices.js'
import { isThorough } from '../support/long.js'
import { rejection, tinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const REQUEST: InferenceRequest = { promptIds: Int32Array.of(5), maxNewTokens: 12, eosTokenIds: new Set() }

/** OpenAI's formula, in float64. */
function expected(id: number, answer: readonly number[], request: InferenceRequest): number {
  const { logitBias, presencePenalty = 0, frequencyPenalty = 0 } = request
  const count = answer.filter((one) => one === id).length
  return (logitBias?.get(id) ?? 0) - count * frequencyPenalty - Number(count > 0) * presencePenalty
}

function entries({ ids, values }: SparseLogits): [number, number][] {
  return Array.from(ids, (id, i): [number, number] => [id, values[i] as number])
}

describe('the additions of an answer', () => {
  test('they are the bias of an id less its penalties, whatever the answer has', () => {
    const random = seededRandom(3)
    const logitBias = new Map([3, 17, 40, 90].map((id) => [id, 100 * random()]))
    const request = { ...REQUEST, logitBias, presencePenalty: -0.61, frequencyPenalty: 1.37 }
    const additions = LogitAdditions.of(request)!
    const answer: number[] = []
    for (let step = 0; step < 61; step++) {
      for (const [id, value] of entries(additions.next()!)) {
        // Rounded once to float32.
        expect(value).toBe(Math.fround(expected(id, answer, request)))
      }
      expect(additions.next()!.ids.length).toBe(new Set([...answer, ...logitBias.keys()]).size)
      const id = Math.floor(50 * Math.abs(random()))
      additions.accept(id)
      answer.push(id)
    }
  })

  test('there are none where a request asks for none', () => {
    expect(LogitAdditions.of(REQUEST)).toBeUndefined()
    const neutral = { presencePenalty: 0, frequencyPenalty: 0, logitBias: new Map([[4, 0]]) }
    expect(LogitAdditions.of({ ...REQUEST, ...neutral })).toBeUndefined()
    expect(LogitAdditions.of({ ...REQUEST, presencePenalty: 1 })?.next()).toBeUndefined()
  })
})

describe.each(testDevices({ everyLevel: isThorough }))('on $name', ({ open }) => {
  test('draws are those of the sums, and log probabilities and logits those of the model', async () => {
    const [rowCount, vocabSize] = [7, 517]
    const random = seededRandom(8)
    const device = open()
    const logits = Float32Array.from({ length: rowCount * vocabSize }, () => 4 * random())
    const additions = Array.from({ length: rowCount }, (_, i): SparseLogits | undefined => {
      if (i === 2) return undefined
      // The likeliest ids come down, and others up.
      const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize)
      const likely = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, 3 + i)
      const ids = Int32Array.from(new Set([...likely, 0, vocabSize - 1, 31 + i]))
      return { ids, values: Float32Array.from(ids, () => 6 * random() - 3) }
    })
    const sums = logits.slice()
    for (const [i, one] of additions.entries())
      for (const [id, value] of one ? entries(one) : []) sums[i * vocabSize + id] = sums[i * vocabSize + id]! + value
    const rowsOf = (drawing: Drawing) =>
      Array.from({ length: rowCount }, (_, i) => {
        const parameters = { temperature: 0.8, topK: 40, topP: 0.9, minP: 0, repetitionPenalty: i === 5 ? 1.3 : 1 }
        const row = { slot: i, promptIds: Int32Array.of(1, 2), pages: [], adapter: undefined, logprobs: i % 3 }
        return drawing.rowOf({ ...row, sampling: i < 3 ? undefined : { ...parameters, seed: i } }, i, 4)
      })
    const every = new Uint32Array(Math.ceil(vocabSize / 32)).fill(0x55555555)
    const masks = additions.map((_, i) => (i === 6 ? every : undefined))
    const tensor = (values: Float32Array): Tensor => Tensor.from(device, values, [rowCount, vocabSize])
    const draw = async (values: Tensor, added: typeof additions) => {
      const drawing = new Drawing(device, rowCount, vocabSize)
      const drawn = await drawing.draw(values, rowsOf(drawing), masks, added)
      drawing.dispose()
      return drawn
    }
    const given = tensor(logits)
    const drawn = await draw(given, additions)
    expect(await given.read()).toEqual(logits)
    const ofSums = await draw(tensor(sums), [])
    expect(drawn.map(({ token }) => token.id)).toEqual(ofSums.map(({ token }) => token.id))
    const unchanged = await draw(tensor(logits), [])
    expect(drawn.map(({ token }) => token.id)).not.toEqual(unchanged.map(({ token }) => token.id))
    for (const [i, { token }] of drawn.entries()) {
      const row = [...logits.subarray(i * vocabSize, (i + 1) * vocabSize)]
      const sum = Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0))
      // float32, as the sum of 517 numbers is.
      expect(token.logprob).toBeCloseTo(row[token.id]! - sum, 4)
      expect(token.topLogprobs).toEqual(unchanged[i]!.token.topLogprobs)
    }
    device.close()
  })
})

describe('an engine', () => {
  let model: CausalLM
  let engine: InferenceEngine
  beforeAll(async () => {
    model = await tinyModel()
    engine = await createInferenceEngine(model)
  })
  afterAll(async () => {
    await engine.close()
    model.device.close()
  })

  async function read(request: InferenceRequest): Promise<InferenceToken[]> {
    const tokens: InferenceToken[] = []
    for await (const token of engine.submit(request)) tokens.push(token)
    return tokens
  }

  test('takes the likeliest id after penalties of what the answer has, and tells log probabilities before', async () => {
    const plain = await read({ ...REQUEST, logprobs: 20 })
    const disliked = plain[1]!.id
    const penalties = { presencePenalty: 0.05, frequencyPenalty: 0.11, logitBias: new Map([[disliked, -0.3]]) }
    const request = { ...REQUEST, ...penalties, logprobs: 20 }
    const answer: number[] = []
    for (const { id, logprob, topLogprobs = [] } of await read(request)) {
      // Fewer than 20 ids have an addition, and none is positive: the likeliest sum is among these.
      const sums = topLogprobs.map((top) => ({ id: top.id, sum: top.logprob + expected(top.id, answer, request) }))
      const most = sums.reduce((best, one) => (one.sum > best.sum ? one : best))
      const own = sums.find((one) => one.id === id)
      // Ties within the rounding of float32.
      expect(own?.sum).toBeGreaterThan(most.sum - 1e-5)
      expect(logprob).toBe(topLogprobs.find((top) => top.id === id)?.logprob)
      answer.push(id)
    }
    expect(answer).not.toEqual(plain.map(({ id }) => id))
  })

  test('gives only the id that a bias of 100 names, and never one of -100', async () => {
    const sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 2 }
    const forced = await read({ ...REQUEST, sampling, logitBias: new Map([[499, 100]]) })
    expect(forced.map(({ id }) => id)).toEqual(Array(12).fill(499))
    const plain = await read({ ...REQUEST, sampling })
    const ids = plain.map(({ id }) => id)
    const without = await read({ ...REQUEST, sampling, logitBias: new Map(ids.map((id) => [id, -100])) })
    expect(without.filter(({ id }) => ids.includes(id))).toEqual([])
  })

  test('a penalty below zero makes an answer repeat itself', async () => {
    const ids = (await read({ ...REQUEST, frequencyPenalty: -2 })).map(({ id }) => id)
    expect(new Set(ids).size).toBe(1)
  })

  test.each<[Partial<InferenceRequest>, string]>([
    [{ logitBias: new Map([[512, 1]]) }, '[inference] expected ids in [0, 512) for logitBias, got 512'],
    [{ logitBias: new Map([[1.5, 1]]) }, '[inference] expected ids in [0, 512) for logitBias, got 1.5'],
    [{ logitBias: new Map([[1, Number.NaN]]) }, 'expected a Map of at most 1024 ids to numbers for logitBias'],
    [{ presencePenalty: Number.POSITIVE_INFINITY }, 'for presencePenalty, got Infinity'],
  ])('refuses %o by name', async (wrong, message) => {
    expect(await rejection(read({ ...REQUEST, ...wrong }))).toContain(message)
  })
})
