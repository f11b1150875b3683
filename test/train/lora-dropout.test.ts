/**
 * @file LoRA dropout as a user sees it: on while training, off in evaluation and generation, a function of seed and
 * step.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { collate, type TrainingBatch } from '../../src/data/batches.js'
import { evaluateLoss } from '../../src/train/evaluate-loss.js'
import { randomExamples, readGradients, tinyAdapter, tinyModel } from '../support/tiny-model.js'

const examples = randomExamples([17, 5, 33, 2], 512)
const batch: TrainingBatch = collate(examples)

let plain: CausalLM
let model: CausalLM
let adapter: LoraAdapter

beforeAll(async () => {
  plain = await tinyModel()
  tinyAdapter(plain)
  model = await tinyModel()
  adapter = tinyAdapter(model, { loraDropout: 0.05 })
})

afterAll(() => {
  plain.device.close()
  model.device.close()
})

const lossOf = async (of: CausalLM) => (await of.forwardRagged(batch).loss.read())[0] as number

/** Loss and gradients of a training pass whose masks are those of `microStep`. */
async function trainingPass(microStep: number, gradientCheckpointing = false) {
  model.train()
  model.gradientCheckpointing = gradientCheckpointing
  model.dropoutState.microStep = microStep
  for (const parameter of adapter.parameters().values()) parameter.zeroGrad()
  const { loss } = model.forwardRagged(batch)
  loss.backward()
  const value = (await loss.read())[0] as number
  const gradients = await readGradients(adapter)
  model.eval()
  model.gradientCheckpointing = false
  return {
    loss: value,
    gradients: [...gradients].map(([name, values]) => [name, Buffer.from(values.buffer).toString('hex')]),
  }
}

describe('in evaluation', () => {
  it('a model that was just loaded has no dropout', async () => {
    expect(model.training).toBe(false)
    expect(await lossOf(model)).toBe(await lossOf(plain))
  })

  it('is off after eval(), and evaluating counts no step', async () => {
    model.train()
    const step = model.dropoutState.microStep
    expect(await lossOf(model)).not.toBe(await lossOf(plain))
    expect(model.dropoutState.microStep).toBe(step + 1)
    model.eval()
    expect(await lossOf(model)).toBe(await lossOf(plain))
    expect(model.dropoutState.microStep).toBe(step + 1)
  })

  it('is off in evaluateLoss, which leaves the model in the mode that it was in', async () => {
    model.train()
    const first = await evaluateLoss(model, examples, { batchSize: 3 })
    expect(model.training).toBe(true)
    expect(await evaluateLoss(model, examples, { batchSize: 3 })).toEqual(first)
    model.eval()
    expect(await evaluateLoss(plain, examples, { batchSize: 3 })).toEqual(first)
  })

  it('is off in generation, even while training', async () => {
    const expected = await plain.generate([1, 2, 3], { maxNewTokens: 12, eosTokenId: [] })
    model.train()
    expect(await model.generate([1, 2, 3], { maxNewTokens: 12, eosTokenId: [] })).toEqual(expected)
    model.eval()
    expect(expected).toHaveLength(12)
  })
})

describe('in training', () => {
  it('draws other masks in each step, the same ones for the same step', async () => {
    const first = await trainingPass(3)
    const next = await trainingPass(4)
    expect(next.loss).not.toBe(first.loss)
    expect(next.gradients).not.toEqual(first.gradients)
    expect(await trainingPass(3)).toEqual(first)
  })

  it('draws other masks from another seed', async () => {
    const { seed } = model.dropoutState
    const first = await trainingPass(3)
    model.dropoutState.seed = seed + 1
    expect((await trainingPass(3)).loss).not.toBe(first.loss)
    model.dropoutState.seed = seed
  })

  it('draws the same masks when layers are computed again', async () => {
    expect(await trainingPass(5, true)).toEqual(await trainingPass(5, false))
  })

  it('keeps the expected value: the mean over many masks is the loss without dropout', async () => {
    model.train()
    let sum = 0
    let squares = 0
    const count = 200
    for (let i = 0; i < count; i++) {
      const value = await lossOf(model)
      sum += value
      squares += value * value
    }
    model.eval()
    const mean = sum / count
    const deviation = Math.sqrt(squares / count - mean * mean)
    // Four standard errors of the mean, and the curvature of the loss, which is of the order of the variance.
    expect(Math.abs(mean - (await lossOf(plain)))).toBeLessThan((4 * deviation) / Math.sqrt(count) + deviation)
    expect(deviation).toBeGreaterThan(1e-4)
  })
})
