/**
 * @file A request's ids and the bits of its log probabilities are the same alone, among seven others, with what was
 * computed before and without, and beside other adapters, at every level of instructions and in every type.
 */

import { describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { createInferenceEngine } from '../../src/inference/create-engine.js'
import type { InferenceEngine, InferenceRequest, InferenceToken } from '../../src/inference/inference-request.js'
import { testDevices } from '../support/devices.js'
import { isThorough } from '../support/long.js'
import { TINY_CONFIG, temporaryDirectory, tinyAdapter } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const NAMES = ['first', 'second', 'third']

/** Eight requests of the base model and of three adapters; the beginnings of some are the same. */
function requests(adapters: readonly string[]): InferenceRequest[] {
  const random = seededRandom(12)
  const ids = (length: number): Int32Array =>
    Int32Array.from({ length }, () => Math.min(511, Math.floor(((random() + 1) / 2) * 512)))
  const shared = ids(140)
  return Array.from({ length: 8 }, (_, i) => {
    const adapter = adapters[i % (adapters.length + 1)]
    return {
      promptIds: i % 3 === 0 ? ids(5 + 31 * i) : Int32Array.from([...shared.subarray(0, 60 + 10 * i), ...ids(3 + i)]),
      maxNewTokens: 7,
      eosTokenIds: new Set<number>(),
      logprobs: 2,
      ...(adapter !== undefined && { adapter }),
      ...(i % 2 === 1 && {
        sampling: { temperature: 0.9, topK: 0, topP: 0.95, minP: 0, repetitionPenalty: i === 3 ? 1.2 : 1, seed: i },
      }),
      ...(i > 3 && { frequencyPenalty: 0.4, presencePenalty: 0.1 * i, logitBias: new Map([[17 * i, 1.5]]) }),
    }
  })
}

async function read(engine: InferenceEngine, request: InferenceRequest): Promise<InferenceToken[]> {
  const tokens: InferenceToken[] = []
  for await (const token of engine.submit(request)) tokens.push(token)
  return tokens
}

async function engineOf(model: CausalLM, directory: string, names: readonly string[], options = {}) {
  const engine = await createInferenceEngine(model, { maxSequences: 8, ...options })
  for (const name of names) await engine.loadAdapter(name, `${directory}/${name}`)
  return engine
}

describe.each(testDevices({ everyLevel: isThorough }))('on $name', ({ open }) => {
  const directory = temporaryDirectory()

  test.each([
    ['float32', undefined],
    ['bfloat16', undefined],
    ['bfloat16', 'nf4'],
  ] as const)('answers in %s %s have the same bits in any company', async (dtype, quantization) => {
    const device = open()
    const model = createModel(
      { ...TINY_CONFIG, hidden_size: 64, intermediate_size: 192 },
      { seed: 4, device, dtype, ...(quantization && { quantization }) },
    )
    for (const [i, name] of NAMES.entries()) {
      const adapter = tinyAdapter(model, { r: 3 + 4 * i, loraAlpha: 30 })
      await adapter.save(`${directory}/${name}`)
      adapter.dispose()
    }
    const all = requests(NAMES)
    const alone: InferenceToken[][] = []
    for (const adapter of [undefined, ...NAMES]) {
      const options = { prefixCaching: false }
      const engine = await engineOf(model, directory, adapter === undefined ? [] : [adapter], options)
      for (const [i, request] of all.entries()) if (request.adapter === adapter) alone[i] = await read(engine, request)
      await engine.close()
    }
    expect(new Set(alone.map((tokens) => tokens.map(({ id }) => id).join())).size).toBe(8)
    const engine = await engineOf(model, directory, NAMES, { prefillTokens: 64 })
    const together = () => Promise.all(all.map((request) => read(engine, request)))
    expect(await together()).toEqual(alone)
    // Now the pages of the prompts are there.
    expect(await together()).toEqual(alone)
    expect(engine.figures().cachedTokens).toBeGreaterThan(64 * 8)
    for (const [i, request] of all.entries()) expect(await read(engine, request)).toEqual(alone[i])
    await engine.close()
    const none = await engineOf(model, directory, NAMES, { prefixCaching: false, maxSequences: 5 })
    expect(await Promise.all(all.map((request) => read(none, request)))).toEqual(alone)
    expect(none.figures().cachedTokens).toBe(0)
    await none.close()
    model.dispose()
    device.close()
  })
})
