/** @file Many requests at once on a small model: each gets what it gets alone. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import type { TokenMask } from '../../src/decoding/token-mask.js'
import { createInferenceEngine } from '../../src/inference/create-engine.js'
import type { InferenceOptions } from '../../src/inference/engine-options.js'
import type {
  InferenceAnswer,
  InferenceEngine,
  InferenceRequest,
  InferenceToken,
} from '../../src/inference/inference-request.js'
import type { SamplingParameters } from '../../src/ops/sample.js'
import type { Device } from '../../src/tensor/device.js'
import { testDevices } from '../support/devices.js'
import {
  rejection,
  TINY_CONFIG,
  TINY_GPT2_CONFIG,
  TINY_QWEN3_CONFIG,
  temporaryDirectory,
  tinyAdapter,
  tinyModel,
} from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const SAMPLING: SamplingParameters = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 }

/** A whole number in [0, limit), from a seed. */
function dice(seed: number): (limit: number) => number {
  const random = seededRandom(seed)
  return (limit) => Math.min(limit - 1, Math.floor(((random() + 1) / 2) * limit))
}

function randomIds(length: number, seed: number): Int32Array {
  const below = dice(seed)
  return Int32Array.from({ length }, () => below(512))
}

function request(promptIds: Int32Array, rest: Partial<InferenceRequest> = {}): InferenceRequest {
  return { promptIds, maxNewTokens: 9, eosTokenIds: new Set(), ...rest }
}

async function read(answer: InferenceAnswer): Promise<InferenceToken[]> {
  const tokens: InferenceToken[] = []
  for await (const token of answer) tokens.push(token)
  return tokens
}

async function idsOf(answer: InferenceAnswer): Promise<number[]> {
  return (await read(answer)).map(({ id }) => id)
}

/** Runs `use` with an engine of its own, which is closed afterwards. */
async function withEngine<T>(
  model: CausalLM,
  options: InferenceOptions,
  use: (engine: InferenceEngine) => Promise<T>,
): Promise<T> {
  const engine = await createInferenceEngine(model, options)
  try {
    return await use(engine)
  } finally {
    await engine.close()
    expect(engine.figures()).toMatchObject({ running: 0, waiting: 0, pages: { held: 0 } })
  }
}

/** Prompts of odd lengths around pages and chunks. */
const LENGTHS = [1, 3, 63, 64, 65, 130, 191, 7, 200, 2, 129]
const PROMPTS = LENGTHS.map((length, i) => randomIds(length, 100 + i))

describe.each([
  ['llama', TINY_CONFIG],
  ['qwen3', TINY_QWEN3_CONFIG],
  ['gpt2', TINY_GPT2_CONFIG],
])('an engine on %s', (_, config) => {
  let model: CausalLM
  beforeAll(async () => {
    model = await tinyModel({ config })
  })
  afterAll(() => model.device.close())

  test('answers as generate() does, whatever runs beside and however few tokens of prompts a step takes', async () => {
    const expected: number[][] = []
    for (const ids of PROMPTS) expected.push(await model.generate([...ids], { maxNewTokens: 9, eosTokenId: [] }))
    for (const options of [{}, { maxSequences: 3, prefillTokens: 64 }, { maxSequences: 8, pageSize: 128 }]) {
      await withEngine(model, options, async (engine) => {
        const answers = PROMPTS.map((ids) => engine.submit(request(ids)))
        expect(await Promise.all(answers.map(idsOf))).toEqual(expected)
        expect(answers.map(({ finishReason }) => finishReason)).toEqual(PROMPTS.map(() => 'length'))
        expect(engine.figures()).toMatchObject({
          generatedTokens: 9 * PROMPTS.length,
          promptTokens: LENGTHS.reduce((sum, length) => sum + length, 0),
          finishedRequests: PROMPTS.length,
        })
      })
    }
  })
})

describe('an engine', () => {
  let model: CausalLM
  let adapters: LoraAdapter[]
  const directory = temporaryDirectory()
  beforeAll(async () => {
    model = await tinyModel()
    adapters = [tinyAdapter(model, { r: 4 }), tinyAdapter(model, { r: 7, loraAlpha: 40 })]
    for (const [i, adapter] of adapters.entries()) await adapter.save(`${directory}/${i}`)
    for (const adapter of adapters) adapter.dispose()
  })
  afterAll(() => model.device.close())

  test('draws as generate() does with the same seed, alone and in company, with penalties and without', async () => {
    const samplings: Partial<SamplingParameters>[] = [
      { seed: 3 },
      { temperature: 0.7, topK: 20, seed: 4 },
      { temperature: 1.4, topP: 0.8, repetitionPenalty: 1.3, seed: 5 },
      { temperature: 0, repetitionPenalty: 1.9 },
      { minP: 0.02, seed: 6 },
    ]
    const requests = samplings.map((sampling, i) =>
      request(randomIds(20 + 9 * i, i), { sampling: { ...SAMPLING, ...sampling } }),
    )
    const expected: number[][] = []
    for (const { promptIds, sampling } of requests) {
      const { temperature, topK, topP, minP, repetitionPenalty, seed } = sampling as SamplingParameters
      const draws = temperature > 0 ? { doSample: true, temperature, topK, topP, minP } : {}
      const options = { ...draws, repetitionPenalty, seed, maxNewTokens: 9, eosTokenId: [] }
      expected.push(await model.generate([...promptIds], options))
    }
    await withEngine(model, {}, async (engine) => {
      expect(await Promise.all(requests.map((one) => idsOf(engine.submit(one))))).toEqual(expected)
      for (const [i, one] of requests.entries()) expect(await idsOf(engine.submit(one))).toEqual(expected[i])
    })
  })

  test('finds the beginning of a prompt that came before, and answers the same', async () => {
    const shared = randomIds(150, 1)
    const prompts = [3, 20, 70].map((length, i) => Int32Array.from([...shared, ...randomIds(length, 50 + i)]))
    const expected: number[][] = []
    for (const ids of prompts) expected.push(await model.generate([...ids], { maxNewTokens: 9, eosTokenId: [] }))
    await withEngine(model, {}, async (engine) => {
      for (const [i, ids] of prompts.entries()) {
        const answer = engine.submit(request(ids))
        expect(await idsOf(answer)).toEqual(expected[i])
        expect(answer.cachedTokens).toBe(i === 0 ? 0 : 128)
      }
      // A conversation that goes on: its first prompt is there, its answer is computed as a prompt once.
      const next = Int32Array.from([...(prompts[2] as Int32Array), ...(expected[2] as number[]), ...randomIds(70, 9)])
      const cached: number[] = []
      for (let i = 0; i < 2; i++) {
        const answer = engine.submit(request(next))
        expect(await idsOf(answer)).toEqual(await model.generate([...next], { maxNewTokens: 9, eosTokenId: [] }))
        cached.push(answer.cachedTokens)
      }
      expect(cached).toEqual([192, 256])
      expect(engine.figures().cachedTokens).toBe(128 + 128 + 192 + 256)
    })
    await withEngine(model, { prefixCaching: false }, async (engine) => {
      for (const [i, ids] of prompts.entries()) {
        const answer = engine.submit(request(ids))
        expect(await idsOf(answer)).toEqual(expected[i])
        expect(answer.cachedTokens).toBe(0)
      }
      expect(engine.figures().pages.cached).toBe(0)
    })
  })

  test('prompts that come together compute what they share once', async () => {
    const shared = randomIds(200, 2)
    await withEngine(model, {}, async (engine) => {
      const answers = [1, 2, 3, 4].map((length) =>
        engine.submit(request(Int32Array.from([...shared, ...randomIds(length, length)]))),
      )
      await Promise.all(answers.map(idsOf))
      expect(answers.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 192, 192, 192])
    })
  })

  test('answers with several adapters at once, each as if it was alone on the model', async () => {
    const prompts = PROMPTS.slice(0, 6)
    const names = [undefined, 'first', 'second']
    const expected = new Map<string | undefined, number[][]>()
    for (const [i, name] of names.entries()) {
      const active = i > 0 ? tinyAdapter(model, i === 1 ? { r: 4 } : { r: 7, loraAlpha: 40 }) : undefined
      const answers: number[][] = []
      for (const ids of prompts) answers.push(await model.generate([...ids], { maxNewTokens: 7, eosTokenId: [] }))
      expected.set(name, answers)
      active?.dispose()
    }
    expect(new Set([...expected.values()].map((answers) => answers.join())).size).toBe(3)
    await withEngine(model, {}, async (engine) => {
      await engine.loadAdapter('first', `${directory}/0`)
      await engine.loadAdapter('second', `${directory}/1`)
      expect(engine.adapters).toEqual(['first', 'second'])
      // The same prompts twice: pages of one adapter are no other's.
      for (let round = 0; round < 2; round++) {
        const all = names.flatMap((adapter) =>
          prompts.map((ids) => engine.submit(request(ids, { maxNewTokens: 7, ...(adapter && { adapter }) }))),
        )
        const ids = await Promise.all(all.map(idsOf))
        expect(ids).toEqual(names.flatMap((name) => expected.get(name)))
      }
    })
  })

  test('swaps and removes adapters while answers use them', async () => {
    const [prompt] = PROMPTS.slice(5)
    await withEngine(model, { maxLoras: 1, maxLoraRank: 7 }, async (engine) => {
      const ask = (): InferenceAnswer =>
        engine.submit(request(prompt as Int32Array, { adapter: 'it', maxNewTokens: 40 }))
      await engine.loadAdapter('it', `${directory}/0`)
      const before = ask()
      await engine.loadAdapter('it', `${directory}/1`)
      const after = ask()
      const removed = engine.removeAdapter('it')
      expect(engine.adapters).toEqual([])
      expect(() => ask()).toThrow(
        '[inference] expected the name of a loaded adapter for adapter, got "it"; there is none',
      )
      const [first, second] = await Promise.all([before, after].map(idsOf))
      await removed
      expect(first).not.toEqual(second)
      await model.device.sync()
      const kept = model.device.memory().live
      await engine.loadAdapter('it', `${directory}/0`)
      expect(await idsOf(ask())).toEqual(first)
      expect(await rejection(engine.loadAdapter('other', `${directory}/1`))).toBe(
        '[inference] expected at most 1 adapters (maxLoras), got "other" as one more; remove one of it',
      )
      await engine.removeAdapter('it')
      await model.device.sync()
      expect(model.device.memory().live).toBe(kept)
      expect(await rejection(engine.removeAdapter('it'))).toBe(
        '[inference] expected the name of a loaded adapter for adapter, got "it"; there is none',
      )
    })
    await withEngine(model, { maxLoraRank: 6 }, async (engine) => {
      expect(await rejection(engine.loadAdapter('it', `${directory}/1`))).toBe(
        `[inference] expected an adapter of rank 6 at most (maxLoraRank), got rank 7 in ${directory}/1; raise maxLoraRank`,
      )
      expect(engine.adapters).toEqual([])
    })
  })

  test('refuses an adapter that has no room beside pages and steps, and goes on', async () => {
    const device = testDevices({ everyLevel: false })[0]?.open({ memoryBudget: 16 * 2 ** 20 }) as Device
    const small = await tinyModel({ device })
    const text = await rejection(createInferenceEngine(small, { kvCacheMemory: 2 ** 30, maxSequences: 2 }))
    const [, ofSteps = 0, free = 0] = (text.match(/\d+/g) ?? []).map(Number)
    // Less than a page is left, and the adapter takes more.
    await withEngine(small, { kvCacheMemory: free - ofSteps, maxSequences: 2 }, async (engine) => {
      expect(await rejection(engine.loadAdapter('it', `${directory}/1`))).toMatch(
        /^\[inference\] expected an adapter of at most \d+ bytes, which are free beside pages and steps, got \d+ in /,
      )
      expect(await idsOf(engine.submit(request(Int32Array.of(1, 2))))).toHaveLength(9)
    })
    device.close()
  })

  test('leaves the active adapters of the model to the model', async () => {
    const adapter = tinyAdapter(model, { r: 4 })
    const ids = [...(PROMPTS[3] as Int32Array)]
    const adapted = await model.generate(ids, { maxNewTokens: 9, eosTokenId: [] })
    await withEngine(model, {}, async (engine) => {
      const base = engine.submit(request(PROMPTS[3] as Int32Array))
      const named = engine.submit(request(PROMPTS[3] as Int32Array, { adapter: adapter.name }))
      // Both at the same time: neither sees that modules show other adapters in between.
      expect(await model.generate(ids, { maxNewTokens: 9, eosTokenId: [] })).toEqual(adapted)
      expect(await idsOf(named)).toEqual(adapted)
      expect(await idsOf(base)).not.toEqual(adapted)
    })
    adapter.dispose()
  })

  test('ends answers at an id, when it is told to stop, and by the signal of a request', async () => {
    const prompt = PROMPTS[4] as Int32Array
    const free = await model.generate([...prompt], { maxNewTokens: 30, eosTokenId: [] })
    await withEngine(model, {}, async (engine) => {
      const eos = free[6] as number
      const byId = engine.submit(request(prompt, { maxNewTokens: 30, eosTokenIds: new Set([eos]) }))
      expect(await idsOf(byId)).toEqual(free.slice(0, free.indexOf(eos) + 1))
      expect(byId.finishReason).toBe('stop')

      const stopped = engine.submit(request(prompt, { maxNewTokens: 30 }))
      const some: number[] = []
      for await (const { id } of stopped) {
        some.push(id)
        if (some.length === 4) stopped.stop()
      }
      expect(some).toEqual(free.slice(0, 4))
      expect(stopped.finishReason).toBe('stop')
      stopped.stop()

      const left = engine.submit(request(prompt, { maxNewTokens: 30 }))
      for await (const _ of left) break
      expect(left.finishReason).toBe('stop')

      const controller = new AbortController()
      const aborted = engine.submit(request(prompt, { maxNewTokens: 30 }), controller.signal)
      const beside = engine.submit(request(prompt, { maxNewTokens: 30 }))
      const got: number[] = []
      const reason = await rejection(
        (async () => {
          for await (const { id } of aborted) if (got.push(id) === 3) controller.abort(new Error('gone'))
        })(),
      )
      expect([reason, got, aborted.finishReason]).toEqual(['gone', free.slice(0, 3), undefined])
      expect(await idsOf(beside)).toEqual(free)
      expect(await rejection(idsOf(engine.submit(request(prompt), controller.signal)))).toBe('gone')
    })
  })

  test('refuses one more than may wait, and takes it later', async () => {
    await withEngine(model, { maxSequences: 2, maxWaiting: 1 }, async (engine) => {
      const ask = (): InferenceAnswer => engine.submit(request(PROMPTS[1] as Int32Array))
      const answers = [ask(), ask(), ask()]
      expect(engine.figures()).toMatchObject({ running: 2, waiting: 1 })
      expect(() => ask()).toThrow(
        expect.objectContaining({
          code: 'BUSY',
          message: '[inference] expected at most 1 requests that wait (maxWaiting), got one more; ask again later',
        }),
      )
      const all = await Promise.all(answers.map(idsOf))
      expect(await idsOf(ask())).toEqual(all[0])
    })
  })

  test('lets requests wait that do not fit beside others, and refuses what never fits', async () => {
    const page = 2 * 2 * 2 * 12 * 64 * 4
    await withEngine(model, { kvCacheMemory: 5 * page }, async (engine) => {
      expect(engine.figures().pages).toEqual({ total: 5, held: 0, cached: 0 })
      const answers = [200, 150, 1].map((length) => engine.submit(request(randomIds(length, length))))
      expect(engine.figures()).toMatchObject({ running: 1, waiting: 2 })
      for (const [i, length] of [200, 150, 1].entries())
        expect(await idsOf(answers[i] as InferenceAnswer)).toEqual(
          await model.generate([...randomIds(length, length)], { maxNewTokens: 9, eosTokenId: [] }),
        )
      expect(() => engine.submit(request(randomIds(300, 1), { maxNewTokens: 30 }))).toThrow(
        '[inference] expected a request that 5 pages of 64 tokens hold (kvCacheMemory), got 300 tokens and maxNewTokens 30, which need 6',
      )
    })
    await withEngine(model, { maxModelLen: 100 }, async (engine) => {
      expect(() => engine.submit(request(randomIds(92, 1)))).toThrow(
        '[inference] expected a prompt and an answer of 100 tokens together at most (maxModelLen), got 92 and maxNewTokens 9',
      )
      expect(await idsOf(engine.submit(request(randomIds(91, 1))))).toHaveLength(9)
    })
    expect(await rejection(createInferenceEngine(model, { kvCacheMemory: page - 1 }))).toBe(
      `[inference] expected room for a page of keys and values, which takes ${page} bytes, got kvCacheMemory ${page - 1}`,
    )
    const { budget } = model.device.memory()
    expect(await rejection(createInferenceEngine(model, { kvCacheMemory: budget }))).toMatch(
      /^\[inference\] expected \d+ bytes for keys and values beside \d+ for a step, got \d+ that are free; lower kvCacheMemory/,
    )
    expect(await rejection(createInferenceEngine(model, { maxModelLen: 513 }))).toBe(
      '[inference] expected at most 512 positions for maxModelLen, which is what the model has, got 513',
    )
  })

  test('refuses requests that no model answers, and says what is wrong', async () => {
    await withEngine(model, {}, async (engine) => {
      const refusals: [Partial<InferenceRequest>, string][] = [
        [
          { promptIds: new Int32Array(0) },
          'an Int32Array with at least one id for promptIds, got Int32Array of 0 bytes',
        ],
        [{ promptIds: Int32Array.of(3, 512) }, 'ids in [0, 512) for promptIds, got 512'],
        [{ maxNewTokens: 0 }, 'a whole number of at least 1 and at most 2147483647 for maxNewTokens, got 0'],
        [{ logprobs: 21 }, 'a whole number of at least 0 and at most 20 for logprobs, got 21'],
        [{ sampling: { ...SAMPLING, topP: 2 } }, 'a number of at least 0 and at most 1 for topP, got 2'],
        [{ sampling: { ...SAMPLING, seed: undefined as never } }, 'a whole number of at least 0 for seed, got nothing'],
        [{ adapter: 'none' }, 'the name of a loaded adapter for adapter, got "none"; there is none'],
      ]
      for (const [rest, text] of refusals)
        expect(() => engine.submit(request(Int32Array.of(1), rest))).toThrow(`[inference] expected ${text}`)
    })
  })

  test('gives the log probabilities of the tokens and of the most likely ids', async () => {
    const prompt = PROMPTS[5] as Int32Array
    await withEngine(model, {}, async (engine) => {
      const sampling = { ...SAMPLING, temperature: 3, seed: 8 }
      const [tokens] = await Promise.all([
        read(engine.submit(request(prompt, { logprobs: 4, sampling }))),
        ...PROMPTS.slice(0, 6).map((ids) => read(engine.submit(request(ids)))),
      ])
      const ids = [...prompt]
      for (const { id, logprob, topLogprobs } of tokens as InferenceToken[]) {
        const { logits } = model.forward({ inputIds: [ids] }, { logits: true })
        const values = (await logits.read()).slice(-512)
        logits.dispose()
        const sum = Math.log(values.reduce((total, value) => total + Math.exp(value), 0))
        const order = [...values.keys()].sort((a, b) => (values[b] as number) - (values[a] as number)).slice(0, 4)
        expect(topLogprobs?.map((top) => top.id)).toEqual(order)
        // Sums in float32 of another order.
        for (const top of [...(topLogprobs ?? []), { id, logprob: logprob as number }])
          expect(top.logprob).toBeCloseTo((values[top.id] as number) - sum, 4)
        ids.push(id)
      }
    })
  })

  test('draws only what a mask lets come, and asks it with the id that came', async () => {
    const prompt = PROMPTS[3] as Int32Array
    const mask = (): TokenMask & { came: number[] } => {
      const came: number[] = []
      return {
        came,
        // After an even number of ids all that 3 divides, else those above 500; every fourth time anything.
        allowed: (words) => {
          if (came.length % 4 === 3) return false
          for (let id = 0; id < 512; id++)
            if (came.length % 2 === 0 ? id % 3 === 0 : id > 500)
              words[id >> 5] = (words[id >> 5] as number) | (1 << (id % 32))
          return true
        },
        accept: (id) => void came.push(id),
      }
    }
    await withEngine(model, {}, async (engine) => {
      const samplings = [undefined, { ...SAMPLING, seed: 2 }, { ...SAMPLING, temperature: 2, topK: 5 }]
      const runs: number[][][] = []
      for (const company of [0, 5]) {
        const masks = samplings.map(mask)
        const answers = samplings.map((sampling, i) =>
          engine.submit(
            request(prompt, { mask: masks[i] as TokenMask, ...(sampling && { sampling }), maxNewTokens: 12 }),
          ),
        )
        const others = PROMPTS.slice(0, company).map((ids) => read(engine.submit(request(ids))))
        runs.push(await Promise.all(answers.map(idsOf)))
        await Promise.all(others)
        expect(masks.map(({ came }) => came)).toEqual(runs.at(-1))
      }
      expect(runs[1]).toEqual(runs[0])
      for (const ids of runs[0] as number[][])
        for (const [i, id] of ids.entries()) if (i % 4 !== 3) expect(i % 2 === 0 ? id % 3 === 0 : id > 500).toBe(true)
    })
  })

  test('waits for a mask that is made in turns, and ends the answer whose mask could not be made', async () => {
    const prompt = PROMPTS[2] as Int32Array
    await withEngine(model, {}, async (engine) => {
      let isMade = false
      const slow: TokenMask = {
        prepare: () =>
          new Promise((resolve) =>
            setImmediate(() => {
              isMade = true
              resolve()
            }),
          ),
        allowed: (words) => {
          if (!isMade) throw new Error('not made')
          isMade = false
          words[0] = 1 << 7
          return true
        },
        accept: () => undefined,
      }
      const failing: TokenMask = { ...slow, prepare: () => Promise.reject(new Error('no such state')) }
      const [ids, error] = await Promise.all([
        idsOf(engine.submit(request(prompt, { mask: slow, maxNewTokens: 5 }))),
        rejection(idsOf(engine.submit(request(prompt, { mask: failing })))),
      ])
      expect(ids).toEqual([7, 7, 7, 7, 7])
      expect(error).toBe('no such state')
    })
  })

  test('a mask that fails, or lets nothing come, ends its own answer alone', async () => {
    const prompt = PROMPTS[2] as Int32Array
    await withEngine(model, {}, async (engine) => {
      const expected = await idsOf(engine.submit(request(prompt)))
      let count = 0
      const failing = {
        allowed: () => false,
        accept: () => {
          if (++count === 3) throw new Error('no such rule')
        },
      }
      const none = { allowed: () => true, accept: () => undefined }
      const answers = [failing, none].map((mask) => rejection(idsOf(engine.submit(request(prompt, { mask })))))
      const beside = engine.submit(request(prompt))
      expect(await Promise.all(answers)).toEqual([
        'no such rule',
        '[inference] expected a mask that lets some id come, got one that lets none',
      ])
      expect(await idsOf(beside)).toEqual(expected)
    })
  })

  test('fails what ran when the device had a fault, and answers what comes then', async () => {
    const broken = tinyAdapter(model, { r: 4 })
    for (const parameter of broken.parameters().values())
      parameter.set(new Float32Array(parameter.size).fill(Number.NaN))
    await broken.save(`${directory}/broken`)
    const prompt = PROMPTS[5] as Int32Array
    await withEngine(model, {}, async (engine) => {
      expect(await rejection(engine.loadAdapter('it', `${directory}/broken`))).toBe(
        `[inference] expected an adapter that gives finite logits, got NaN or infinity with ${directory}/broken; ` +
          'its training diverged, or its file is damaged',
      )
      const expected = await idsOf(engine.submit(request(prompt)))
      expect(await rejection(idsOf(engine.submit(request(prompt, { adapter: broken.name }))))).toContain(
        'mostly weights of the model or its adapter are no numbers',
      )
      const again = engine.submit(request(prompt))
      expect(await idsOf(again)).toEqual(expected)
      expect(again.cachedTokens).toBe(0)
    })
    broken.dispose()
  })

  test('fails what runs and waits when the device is closed, and closes all the same', async () => {
    const gone = await tinyModel({ device: testDevices({ everyLevel: false })[0]?.open() as Device })
    const engine = await createInferenceEngine(gone, { maxSequences: 1 })
    const answers = [1, 2].map(() => engine.submit(request(PROMPTS[3] as Int32Array, { maxNewTokens: 200 })))
    const [first] = answers
    for await (const _ of first as InferenceAnswer) {
      gone.device.close()
      break
    }
    expect(await rejection(read(answers[1] as InferenceAnswer))).toMatch(/closed/)
    expect(await rejection(read(engine.submit(request(PROMPTS[3] as Int32Array))))).toMatch(/closed/)
    expect(engine.figures()).toMatchObject({ running: 0, waiting: 0 })
    await engine.close()
  })

  test('closes when all have ended, at once by its signal, and takes nothing then', async () => {
    const engine = await createInferenceEngine(model, { maxSequences: 1 })
    expect(await rejection(model.changeWeights('merge', async () => undefined))).toContain('expected a model at rest')
    const answers = [1, 2, 3].map(() => engine.submit(request(PROMPTS[3] as Int32Array, { maxNewTokens: 200 })))
    const ended = Promise.all(answers.map((answer) => rejection(read(answer))))
    const controller = new AbortController()
    const closed = engine.close(controller.signal)
    expect(() => engine.submit(request(Int32Array.of(1)))).toThrow(
      '[inference] expected an engine that is open, got one that was closed',
    )
    expect(await rejection(engine.loadAdapter('it', directory))).toContain('got one that was closed')
    controller.abort(new Error('over'))
    await closed
    expect(await ended).toEqual(['over', 'over', 'over'])
    await engine.close()
    await model.changeWeights('merge', async () => undefined)
  })
})
