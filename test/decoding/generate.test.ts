/**
 * @file generate() with all its options: draws, penalties, batches, streaming. Greedy decoding itself is in
 * model.test.ts.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import type { GenerateInput } from '../../src/decoding/generate-options.js'
import type { GenerateOptions } from '../../src/decoding/sampling-options.js'
import { Device } from '../../src/tensor/device.js'
import { candidates } from '../reference/sample.js'
import { testDevices } from '../support/devices.js'
import { rejection, TINY_GPT2_CONFIG, tinyAdapter, tinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let model: CausalLM
  beforeAll(async () => {
    device = open()
    model = await tinyModel({ device })
  })
  afterAll(() => device.close())

  const random = seededRandom(8)
  const ids = (count: number): number[] => Array.from({ length: count }, () => Math.floor((random() + 1) * 256))
  const FREE = { eosTokenId: [], maxNewTokens: 20 }

  test('draws follow the logits of the model, and the seed', async () => {
    const prompt = ids(6)
    const options = { ...FREE, temperature: 0.9, topK: 12, seed: 4 }
    const answer = await model.generate(prompt, options)
    expect(await model.generate(prompt, options)).toEqual(answer)
    expect(await model.generate(prompt, { ...options, seed: 5 })).not.toEqual(answer)
    const all = [...prompt, ...answer]
    const logits = await model.forward({ inputIds: [all] }, { logits: true }).logits.read()
    answer.forEach((id, step) => {
      const at = (prompt.length - 1 + step) * model.config.vocabSize
      const row = [...logits.subarray(at, at + model.config.vocabSize)]
      // One more than topK: the last two may be closer than two ways to the same logits.
      const allowed = candidates(row, new Set(), { ...options, topK: 13, topP: 1, minP: 0, repetitionPenalty: 1 })
      expect(allowed.map((item) => item.id)).toContain(id)
    })
  })

  test('topK of one and a very low temperature are greedy', async () => {
    const prompt = ids(5)
    const greedy = await model.generate(prompt, FREE)
    expect(await model.generate(prompt, { ...FREE, topK: 1 })).toEqual(greedy)
    expect(await model.generate(prompt, { ...FREE, temperature: 1e-6, topK: 0 })).toEqual(greedy)
    expect(await model.generate(prompt, { ...FREE, doSample: false })).toEqual(greedy)
  })

  test('a large penalty lets no id come twice, nor any of the prompt', async () => {
    const prompt = ids(10)
    const answer = await model.generate(prompt, { ...FREE, maxNewTokens: 60, repetitionPenalty: 1e9 })
    const all = [...prompt, ...answer]
    expect(new Set(answer).size).toBe(60)
    expect(new Set(all).size).toBe(new Set(prompt).size + 60)
  })

  test('several prompts, as lists or padded on the left, get the answers that each gets alone', async () => {
    const prompts = [ids(7), ids(2), ids(12)]
    const alone = await Promise.all(prompts.map((prompt) => model.generate(prompt, FREE)))
    expect(await model.generate(prompts, FREE)).toEqual(alone)
    const padded = {
      inputIds: prompts.map((prompt) => [...new Array<number>(12 - prompt.length).fill(0), ...prompt]),
      attentionMask: prompts.map((prompt) => [
        ...new Array<number>(12 - prompt.length).fill(0),
        ...prompt.map(() => 1),
      ]),
    }
    expect(await model.generate(padded, FREE)).toEqual(alone)
    expect(await model.generate([prompts[1] as number[]], FREE)).toEqual([alone[1]])
  })

  test('each sequence of a batch ends by itself', async () => {
    const prompts = [ids(4), ids(9)]
    const [first, second] = (await model.generate(prompts, FREE)) as [number[], number[]]
    const end = first.find((id) => !second.includes(id)) as number
    const heard: [number, number][] = []
    const answers = await model.generate(prompts, {
      ...FREE,
      eosTokenId: end,
      onToken: (id, sequence) => heard.push([sequence, id]),
    })
    expect(answers).toEqual([first.slice(0, first.indexOf(end) + 1), second])
    expect(heard.filter(([sequence]) => sequence === 1).map(([, id]) => id)).toEqual(second)
    expect(heard).toHaveLength((answers[0] as number[]).length + second.length)
    expect(await model.generate([ids(3), ids(4)], { maxNewTokens: 0 })).toEqual([[], []])
  })

  test('a sequence that has ended takes no more positions than it has', async () => {
    const gpt2 = await tinyModel({ config: { ...TINY_GPT2_CONFIG, n_positions: 32 }, device })
    const prompts = [ids(28), ids(2)]
    const [first] = await gpt2.generate(prompts[0] as number[], { maxNewTokens: 1, eosTokenId: [] })
    const alone = await gpt2.generate(prompts[1] as number[], { maxNewTokens: 20, eosTokenId: first as number })
    const options = { maxNewTokens: 20, eosTokenId: first as number }
    expect(await gpt2.generate(prompts, options)).toEqual([[first], alone])
    expect(await rejection(gpt2.generate(prompts, { ...options, eosTokenId: [] }))).toContain(
      '[gpt2] expected at most 32',
    )
    gpt2.dispose()
  })

  test('an answer that ran out of memory leaves the device as it was', async () => {
    // Every thread has working memory of its own.
    const small = Device.open('cpu', { memoryBudget: 8 * 2 ** 20, threads: 2 })
    const limited = await tinyModel({ device: small })
    const prompt = ids(4)
    const answer = await limited.generate(prompt, FREE)
    expect(await rejection(limited.generate(ids(9000), FREE))).toContain('of the memory budget of 8.0 MiB are live')
    expect(await limited.generate(prompt, FREE)).toEqual(answer)
    small.close()
  })

  test('adapters may not be switched where a step has to be recorded anew', async () => {
    const other = await tinyModel({ device })
    const iterator = other.stream(ids(3), { maxNewTokens: 600, eosTokenId: [] })
    await iterator.next()
    const adapter = tinyAdapter(other)
    const rest = (async () => {
      for await (const id of iterator) expect(id).toBeGreaterThanOrEqual(0)
    })()
    expect(await rejection(rest)).toBe(
      '[generate] expected the adapters unchanged while an answer is generated; switch them between answers',
    )
    adapter.dispose()
    other.dispose()
  })

  test('stream gives the ids of generate, and its loop may be left', async () => {
    const prompt = ids(5)
    const expected = await model.generate(prompt, FREE)
    const got: number[] = []
    for await (const id of model.stream(prompt, FREE)) got.push(id)
    expect(got).toEqual(expected)
    await device.sync()
    const before = device.memory().live
    for await (const id of model.stream(prompt, { ...FREE, repetitionPenalty: 1.5 })) if (id >= 0) break
    await device.sync()
    expect(device.memory().live).toBe(before)
  })

  test.each<[GenerateOptions, string]>([
    [
      { temperature: 0 },
      'expected a number from 1e-20 to 1e20 (doSample: false takes the most likely token) for temperature, got 0',
    ],
    [{ topK: -1 }, 'expected a whole number of at least 0 for topK, got -1'],
    [{ topK: 1.5 }, 'expected a whole number of at least 0 for topK, got 1.5'],
    [{ topP: 0 }, 'expected a number above 0 and at most 1 (1 draws from all) for topP, got 0'],
    [{ topP: 1.1 }, 'expected a number above 0 and at most 1 (1 draws from all) for topP, got 1.1'],
    [{ minP: -0.1 }, 'expected a number from 0 to 1 for minP, got -0.1'],
    [{ repetitionPenalty: 0 }, 'expected a number from 1e-20 to 1e20 (1 is no penalty) for repetitionPenalty, got 0'],
    [
      { repetitionPenalty: 1e-46 },
      'expected a number from 1e-20 to 1e20 (1 is no penalty) for repetitionPenalty, got 1e-46',
    ],
    [
      { temperature: 1e-46 },
      'expected a number from 1e-20 to 1e20 (doSample: false takes the most likely token) for temperature, got 1e-46',
    ],
    [
      { temperature: 1e39 },
      'expected a number from 1e-20 to 1e20 (doSample: false takes the most likely token) for temperature, got 1e+39',
    ],
    [
      { temperature: '1' } as unknown as GenerateOptions,
      'expected a number from 1e-20 to 1e20 (doSample: false takes the most likely token) for temperature, got "1"',
    ],
    [{ doSample: 'false' } as unknown as GenerateOptions, 'expected true or false for doSample, got "false"'],
    [{ maxNewTokens: Number.NaN }, 'expected a whole number of at least 0 for maxNewTokens, got NaN'],
    [
      { maxNewTokens: Number.POSITIVE_INFINITY },
      'expected a whole number of at least 0 for maxNewTokens, got Infinity',
    ],
    [{ maxNewTokens: 2 ** 60 }, 'expected a whole number of at least 0 for maxNewTokens, got 1152921504606847000'],
    [
      { maxNewTokens: 5n } as unknown as GenerateOptions,
      'expected a whole number of at least 0 for maxNewTokens, got 5n',
    ],
    [{ seed: 2 ** 53 }, 'expected a whole number of at least 0 for seed, got 9007199254740992'],
    [{ eosTokenId: 512 }, 'expected a token id, or several, in [0, 512) for eosTokenId, got 512'],
    [
      { eosTokenId: [3, 2 ** 32 + 5] },
      'expected a token id, or several, in [0, 512) for eosTokenId, got [3, 4294967301]',
    ],
    [{ eosTokenId: -1 }, 'expected a token id, or several, for eosTokenId, got -1'],
    [{ eosTokenId: 1.5 }, 'expected a token id, or several, for eosTokenId, got 1.5'],
    [{ eosTokenId: '2' } as unknown as GenerateOptions, 'expected a token id, or several, for eosTokenId, got "2"'],
    [{ onToken: 1 } as unknown as GenerateOptions, 'expected a function for onToken, got 1'],
    [{ signal: {} } as unknown as GenerateOptions, 'expected an AbortSignal for signal, got {}'],
    [{ seed: -3 }, 'expected a whole number of at least 0 for seed, got -3'],
    [{ doSample: false, topP: 0.5 }, 'expected doSample: true with topP, got doSample: false'],
    [{ topk: 3 } as GenerateOptions, 'unknown option "topk"; did you mean "topK"?'],
  ])('%o is an error', async (options, message) => {
    expect(await rejection(model.generate([1], options))).toContain(`[generate] ${message}`)
  })

  test.each<[string, unknown, string]>([
    [
      'a text',
      'hello',
      'expected ids as number[], number[][] or { inputIds, attentionMask }, got "hello"; generateText()',
    ],
    [
      'nothing',
      undefined,
      '[generate] expected ids as number[], number[][] or { inputIds, attentionMask }, got undefined',
    ],
    ['a typed array', Int32Array.of(1), '[generate] expected ids as number[], number[][] or'],
    ['an id that 32 bits would cut to 5', [2 ** 32 + 5], 'from -2147483648 to 2147483647 in inputIds, got 4294967301'],
    ['an id with a fraction', [5.5], '[forward] expected whole numbers in inputIds, got 5.5 at row 0, column 0'],
    ['an id that is no number', [Number.NaN], '[forward] expected whole numbers in inputIds, got NaN'],
    ['an id as text', ['5'], '[forward] expected whole numbers in inputIds, got "5"'],
    ['an id as bigint', [5n], '[forward] expected whole numbers in inputIds, got 5n'],
    ['ids with a hole', new Array(2), '[forward] expected whole numbers in inputIds, got undefined'],
    ['ids of the second prompt', [[1], [2 ** 32 + 5]], 'got 4294967301 at row 0, column 0'],
  ])('%s is no prompt', async (_, input, message) => {
    expect(await rejection(model.generate(input as number[], FREE))).toContain(message)
  })

  test.each<[string, GenerateOptions]>([
    ['greedily', {}],
    ['drawn', { temperature: 1 }],
    ['drawn of the likeliest', { topK: 5 }],
    ['penalised', { repetitionPenalty: 1.3 }],
  ])('logits that are no numbers are an error, %s, and the device goes on', async (_, options) => {
    const broken = await tinyModel({ device })
    const norm = broken.parameters().get('model.norm.weight')
    const weights = (await norm?.read()) as Float32Array
    norm?.set(weights.map((value, i) => (i === 3 ? Number.NaN : value)))
    const message = await rejection(broken.generate(ids(9), { ...FREE, ...options }))
    expect(message).toContain('expected a logit above -infinity for sequence 0, got none')
    expect(message).toContain(
      'mostly weights of the model or its adapter are no numbers, as after a download that was cut',
    )
    norm?.set(weights)
    // One row of the head alone.
    const head = broken.parameters().get('lm_head.weight')
    const rows = (await head?.read()) as Float32Array
    head?.set(rows.map((value, i) => (i === 48 * 500 ? Number.NaN : value)))
    expect(await rejection(broken.generate(ids(9), { ...FREE, ...options }))).toContain(
      'expected logits that are numbers for sequence 0, got NaN; mostly weights of the model or its adapter are no numbers',
    )
    head?.set(rows)
    expect(await broken.generate([1, 2, 3], FREE)).toEqual(await model.generate([1, 2, 3], FREE))
    broken.dispose()
  })

  test.each<[string, GenerateInput, string]>([
    ['no prompts', [[]], '[forward] expected at least one token in inputIds, got none'],
    [
      'a row of padding',
      {
        inputIds: [
          [1, 2],
          [0, 0],
        ],
        attentionMask: [
          [1, 1],
          [0, 0],
        ],
      },
      '[generate] expected at least one token in every row, got a row of padding alone',
    ],
  ])('%s is an error', async (_, input, message) => {
    expect(await rejection(model.generate(input as number[], FREE))).toContain(message)
  })
})
