/** @file Log probabilities of continuations: those of the plain forward pass, in float64 from its logits. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { type ContinuationItem, scoreContinuations } from '../../src/generation/score-continuations.js'
import { rejection, TINY_CONFIG, TINY_GPT2_CONFIG, tinyAdapter, tinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

/** A log probability is a difference of logits up to 20 and sums of float32 over 88 products and 512 weights. */
const TOLERANCE = 2e-4

function randomIds(random: () => number, length: number): number[] {
  return Array.from({ length }, () => Math.floor(((random() + 1) / 2) * 512))
}

/** Several choices for each context, of uneven lengths, and one context that another begins with. */
function someItems(): ContinuationItem[] {
  const random = seededRandom(4)
  const contexts = [1, 7, 30, 2, 65].map((length) => randomIds(random, length))
  contexts.push([...(contexts[2] as number[]), 5, 6])
  return contexts.flatMap((context) =>
    [1, 1, 4, 2, 9].map((length) => ({ context, continuation: randomIds(random, length) })),
  )
}

async function fromLogits(model: CausalLM, { context, continuation }: ContinuationItem) {
  const inputIds = [[...context, ...continuation]]
  const { logits } = model.forward({ inputIds }, { logits: true })
  const [, , width] = logits.shape as [number, number, number]
  const values = await logits.read()
  logits.dispose()
  const rows = continuation.map((_, i) => {
    const start = (context.length - 1 + i) * width
    return values.subarray(start, start + width)
  })
  const tokenLogProbs = continuation.map((id, i) => {
    const row = Float64Array.from(rows[i] as Float32Array)
    const largest = Math.max(...row)
    return (row[id] as number) - largest - Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0))
  })
  const isGreedy = continuation.every((id, i) => {
    const row = rows[i] as Float32Array
    return row.indexOf(Math.max(...row)) === id
  })
  return { tokenLogProbs, isGreedy, logProb: tokenLogProbs.reduce((sum, value) => sum + value, 0) }
}

async function expectScoresOfLogits(model: CausalLM, items: readonly ContinuationItem[], batchSize: number | 'auto') {
  const scores = await scoreContinuations(model, items, { batchSize })
  expect(scores).toHaveLength(items.length)
  for (const [i, item] of items.entries()) {
    const expected = await fromLogits(model, item)
    const score = scores[i] as (typeof scores)[number]
    expect(score.isGreedy).toBe(expected.isGreedy)
    expect(score.tokenLogProbs).toHaveLength(item.continuation.length)
    for (const [t, value] of expected.tokenLogProbs.entries())
      expect(Math.abs((score.tokenLogProbs[t] as number) - value)).toBeLessThan(TOLERANCE)
    expect(Math.abs(score.logProb - expected.logProb)).toBeLessThan(TOLERANCE * item.continuation.length)
  }
}

describe('scoreContinuations', () => {
  let model: CausalLM
  beforeAll(async () => {
    model = await tinyModel()
  })
  afterAll(() => model.device.close())

  test.each([1, 4, 'auto'] as const)('are the log probabilities of the logits, in batches of %s', async (batchSize) => {
    await expectScoresOfLogits(model, someItems(), batchSize)
  })

  test('a beginning that all contexts share changes nothing but the work', async () => {
    const beginning = randomIds(seededRandom(8), 130)
    const items = someItems().map(({ context, continuation }) => ({
      context: [...beginning, ...context],
      continuation,
    }))
    await expectScoresOfLogits(model, items.slice(5, 17), 3)
  })

  test('takes no more memory for more items', async () => {
    const items = someItems()
    const peakOf = async (some: ContinuationItem[]): Promise<number> => {
      model.device.resetPeak()
      await scoreContinuations(model, some, { batchSize: 2 })
      await model.device.sync()
      return model.device.memory().peak
    }
    const few = await peakOf(items)
    expect(await peakOf([...items, ...items, ...items])).toBe(few)
    expect(model.device.memory().live).toBeLessThan(few)
  })

  test('knows what greedy decoding writes', async () => {
    const context = [3, 1, 4, 1, 5]
    const continuation = await model.generate(context, { maxNewTokens: 4, eosTokenId: [] })
    const other = [...continuation.slice(0, 3), ((continuation[3] as number) + 1) % 512]
    const scores = await scoreContinuations(model, [
      { context, continuation },
      { context, continuation: other },
    ])
    expect(scores.map(({ isGreedy }) => isGreedy)).toEqual([true, false])
  })

  test('counts adapters as they are active', async () => {
    const items = someItems().slice(3, 9)
    const before = await scoreContinuations(model, items)
    const adapter = tinyAdapter(model)
    await expectScoresOfLogits(model, items, 'auto')
    expect((await scoreContinuations(model, items))[0]).not.toEqual(before[0])
    adapter.dispose()
    expect(await scoreContinuations(model, items)).toEqual(before)
  })

  test('tells each score once, and a signal ends the work with its reason', async () => {
    const items = someItems()
    const told: number[] = []
    await scoreContinuations(model, items, { batchSize: 3, onScore: (index) => told.push(index) })
    expect(told.sort((a, b) => a - b)).toEqual([...items.keys()])
    const controller = new AbortController()
    const onScore = () => controller.abort(new Error('enough'))
    const options = { batchSize: 3, signal: controller.signal, onScore }
    expect(await rejection(scoreContinuations(model, items, options))).toBe('enough')
    expect(await scoreContinuations(model, [])).toEqual([])
  })

  test('says so of weights that are no numbers, and the model is as good as before without them', async () => {
    const items = someItems().slice(0, 3)
    const before = await scoreContinuations(model, items)
    const adapter = tinyAdapter(model)
    for (const [, parameter] of adapter.parameters()) parameter.fill(Number.NaN)
    expect(await rejection(scoreContinuations(model, items))).toContain('are no numbers, as after a download')
    adapter.dispose()
    const { logits } = model.forward({ inputIds: [[1, 2]] }, { logits: true })
    expect((await logits.read()).every(Number.isFinite)).toBe(true)
    logits.dispose()
    expect(await scoreContinuations(model, items)).toEqual(before)
  })

  test('refuses an empty context or continuation and ids that the model does not have, and says where', async () => {
    const good = { context: [1], continuation: [2] }
    expect(await rejection(scoreContinuations(model, [good, { context: [], continuation: [1] }]))).toBe(
      '[scoreContinuations] expected at least one id as number[] for context of item 1, got []',
    )
    expect(await rejection(scoreContinuations(model, [{ context: [1], continuation: [] }]))).toBe(
      '[scoreContinuations] expected at least one id as number[] for continuation of item 0, got []',
    )
    expect(await rejection(scoreContinuations(model, [{ context: [1], continuation: [512] }]))).toContain(
      'expected token ids in [0, 512) for inputIds, got 512 at token 0',
    )
  })
})

describe('models of other kinds', () => {
  test.each([
    ['a sliding window', { ...TINY_CONFIG, model_type: 'mistral', sliding_window: 5 }],
    ['learned positions', TINY_GPT2_CONFIG],
  ])('%s', async (_, config) => {
    const model = await tinyModel({ config })
    await expectScoresOfLogits(model, someItems().slice(8, 20), 4)
    model.device.close()
  })

  test('a sequence beyond the learned positions is refused', async () => {
    const model = await tinyModel({ config: { ...TINY_GPT2_CONFIG, n_positions: 8 } })
    const items = [{ context: [1, 2, 3, 4, 5, 6, 7, 8], continuation: [1, 2] }]
    expect(await rejection(scoreContinuations(model, items))).toContain('expected at most 8 tokens in a sequence')
    model.device.close()
  })
})
