/** @file Thousands of short requests on the model that the package ships: what they take is given back. */

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { createInferenceEngine } from '../../src/inference/create-engine.js'
import { cases } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))

/** Requests between two looks at the memory. */
const ROUND = 250

/** The heap of a process breathes; a leak of a kilobyte per request would be twice as much in the long series. */
const MOST_GROWTH = 10 * 2 ** 20

test('requests that end, fail and vanish leave nothing behind', async () => {
  const model = await loadModel(MODEL)
  const directory = temporaryDirectory()
  const adapter = LoraAdapter.create(model, { r: 4 }, { active: false })
  await adapter.save(directory)
  adapter.dispose()
  const engine = await createInferenceEngine(model, { kvCacheMemory: 40 * 2 ** 20, maxSequences: 8, maxWaiting: 1000 })
  const random = seededRandom(77)
  const below = (limit: number): number => Math.min(limit - 1, Math.floor(((random() + 1) / 2) * limit))
  const beginnings = Array.from({ length: 30 }, () =>
    Int32Array.from({ length: 1 + below(90) }, () => below(model.config.vocabSize)),
  )
  const sampling = { temperature: 1, topK: 20, topP: 0.9, minP: 0, repetitionPenalty: 1.1, seed: 0 }
  const ask = async (n: number): Promise<void> => {
    const controller = new AbortController()
    const answer = engine.submit(
      {
        promptIds: Int32Array.from([...(beginnings[below(30)] as Int32Array), below(model.config.vocabSize)]),
        maxNewTokens: 1 + below(4),
        eosTokenIds: new Set([0]),
        ...(n % 3 === 0 && { adapter: 'it' }),
        ...(n % 4 === 1 && { sampling: { ...sampling, seed: n } }),
        ...(n % 5 === 2 && { logprobs: 2 }),
        ...(n % 7 === 3 && {
          mask: { allowed: (words) => words.fill(2 ** 32 - 1) !== undefined, accept: () => undefined },
        }),
      },
      controller.signal,
    )
    let tokens = 0
    try {
      for await (const _ of answer) {
        tokens++
        if (n % 11 === 4) controller.abort(new Error('gone'))
        if (n % 13 === 5) answer.stop()
      }
    } catch (error) {
      expect((error as Error).message).toBe('gone')
    }
    expect(tokens).toBeGreaterThan(0)
  }
  const looks: { live: number; resident: number }[] = []
  const rounds = cases(500, 20_000) / ROUND
  for (let round = 0; round < rounds; round++) {
    await engine.loadAdapter('it', directory)
    await Promise.all(Array.from({ length: ROUND }, (_, i) => ask(round * ROUND + i)))
    await model.device.sync()
    const { live } = model.device.memory()
    looks.push({ live, resident: process.memoryUsage().rss })
    expect(engine.figures()).toMatchObject({ running: 0, waiting: 0, pages: { held: 0 } })
  }
  const last = looks.at(-1) as (typeof looks)[number]
  // Recorded steps of other shapes may stand there.
  const middle = looks[Math.floor(looks.length / 2)] as (typeof looks)[number]
  expect(last.live).toBeLessThan(middle.live + 2 ** 20)
  if (rounds > 10) expect(last.resident).toBeLessThan(middle.resident + MOST_GROWTH)
  await engine.close()
  model.dispose()
})
