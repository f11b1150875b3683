/** @file The memory of the largest step, found as plans find it: on a device that computes nothing. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { createModel } from '../causal-lm/create-model.js'
import { Device } from '../tensor/device.js'
import type { BatchRow } from './batch-executor.js'
import { MOST_BIASES } from './logit-additions.js'
import { ModelExecutor } from './model-executor.js'
import { MOST_SHAPES } from './recorded-steps.js'

/** What bounds a step. */
interface StepLimits {
  readonly pageSize: number
  readonly maxSequences: number
  readonly maxModelLen: number
  readonly prefillTokens: number
}

/** Drawing and log probabilities of every kind. */
const SAMPLING = { temperature: 1, topK: 50, topP: 0.9, minP: 0, repetitionPenalty: 1.1, seed: 0 }

/**
 * Bytes that a step takes beside weights, adapters and pages: one with as many tokens of prompts as it may have, while
 * all other places have answers that grow.
 */
export async function stepMemory(
  model: CausalLM,
  { pageSize, maxSequences, maxModelLen, prefillTokens }: StepLimits,
): Promise<number> {
  const { config, rawConfig, dtype, quantization } = model
  const device = Device.open(model.device.type, { dryRun: true })
  try {
    const dry = createModel(rawConfig, { device, dtype, ...(quantization && { quantization }) })
    const tokens = Math.min(prefillTokens, maxModelLen - 1)
    const pages = Array.from({ length: Math.ceil(maxModelLen / pageSize) }, () => 0)
    const { decoder, end } = dry.beginInference()
    const executor = new ModelExecutor(dry, decoder, { pages: 1, pageSize, maxSequences, maxModelLen })
    await device.sync()
    const { live } = device.memory()
    device.resetPeak()
    const row = (slot: number, length: number): BatchRow => ({
      ...{ slot, pages, adapter: undefined, sampling: SAMPLING, logprobs: 20 },
      promptIds: new Int32Array(length),
    })
    // An answer of all positions, each with a token of its own.
    const ids = new Int32Array(Math.min(config.vocabSize, MOST_BIASES + maxModelLen))
    const addition = { ids, values: new Float32Array(ids.length) }
    const additions = Array.from({ length: maxSequences }, () => addition)
    const growing = Array.from({ length: maxSequences - 1 }, (_, i) => ({ row: row(i + 1, 1), position: 1 }))
    const prompt = { row: row(0, tokens), first: 0, end: tokens }
    // From the second time on the answers of so many sequences are a list, which keeps what it computes. The prompt
    // keeps nothing: it counts once all lists are there.
    for (let fewer = Math.min(MOST_SHAPES - 1, growing.length); fewer >= 0; fewer--) {
      const rows = growing.slice(0, growing.length - fewer)
      const chunks = fewer === 0 ? [prompt] : []
      for (let time = 0; time < 2; time++) await executor.queue({ chunks, rows }).draw([], additions)
    }
    const { peak } = device.memory()
    executor.dispose()
    end()
    return peak - live
  } finally {
    device.close()
  }
}
