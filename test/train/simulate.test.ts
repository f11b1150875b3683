/** @file A simulated run: the steps, rates and tokens of the real one, the loss of the formula. */

import { describe, expect, it } from 'vitest'
import { planTraining, simulateTraining } from '../../src/index.js'
import type { LogEvent } from '../../src/train/events.js'
import { learningRateAt } from '../../src/train/schedule.js'
import { trainLora } from '../../src/train/train-lora.js'
import { TINY_CONFIG, temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

const LENGTH = 12
const directory = temporaryDirectory()

describe('simulateTraining', () => {
  it.each([
    ['cosine with warm-up', { numTrainEpochs: 2, warmupRatio: 0.3, lrSchedulerType: 'cosine' }],
    ['steps that end within an epoch', { maxSteps: 7, lrSchedulerType: 'linear', loggingFirstStep: true }],
    ['packs', { numTrainEpochs: 1.5, packing: true, gradientAccumulationSteps: 1 }],
  ] as const)('%s: steps, epochs, rates and tokens are those of the run', async (_, given) => {
    const training = {
      ...{ perDeviceTrainBatchSize: 3, gradientAccumulationSteps: 2, loggingSteps: 2, maxLength: LENGTH },
      ...given,
    }
    const model = await writeTinyModel(directory)
    const logs: LogEvent[] = []
    const result = await trainLora({
      // All are longer than maxLength.
      ...{ model, dataset: Array.from({ length: 23 }, (__, row) => ({ text: `${row} `.repeat(40) })) },
      ...{ training: { ...training, saveStrategy: 'no' }, lora: { r: 2 } },
      onEvent: (event) => event.type === 'log' && logs.push(event),
    })
    result.dispose()
    const simulated = await simulateTraining({ model, training, lora: { r: 2 } }, { rows: 23, tokensPerRow: 1e6 })
    expect(simulated.isSimulated).toBe(true)
    expect(simulated.logs.map(({ loss, ...log }) => log)).toEqual(
      logs.map(({ step, totalSteps, epoch, learningRate, numInputTokensSeen }) => ({
        ...{ step, totalSteps, epoch, learningRate, numInputTokensSeen },
      })),
    )
    expect(simulated.totalSteps).toBe(logs.at(-1)?.step)
    expect(simulated.numInputTokens).toBe(logs.at(-1)?.numInputTokensSeen)
  })

  it('the loss is that of the formula, with noise that rows of a step make smaller', async () => {
    const training = { maxSteps: 40, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 1, loggingSteps: 1 }
    const options = { model: TINY_CONFIG, training: { ...training, warmupSteps: 5 } }
    const made = { rows: 50, initialLoss: 3, finalLoss: 1 }
    const { logs } = await simulateTraining(options, { ...made, noise: 0 })
    const schedule = { type: 'linear', learningRate: 1, warmupSteps: 5, totalSteps: 40 } as const
    const rates = logs.map(({ learningRate }) => learningRate)
    const highest = Math.max(...rates)
    let learnt = 0
    for (const [at, { loss }] of logs.entries()) {
      expect(loss).toBeCloseTo(1 + 2 / Math.sqrt(1 + learnt / 10), 12)
      learnt += (rates[at] as number) / highest
    }
    expect(learningRateAt(0, schedule)).toBe(0)
    // Spread of the noise: 0.4 / sqrt(4) of the loss.
    const noisy = await simulateTraining(
      { ...options, training: { ...options.training, maxSteps: 2000 } },
      {
        ...{ ...made, initialLoss: 1, noise: 0.4 },
      },
    )
    const losses = noisy.logs.map(({ loss }) => loss)
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length
    const deviation = Math.sqrt(losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / losses.length)
    expect(mean).toBeCloseTo(1, 1)
    // Five standard errors of a deviation of 2,000.
    expect(Math.abs(deviation - 0.2)).toBeLessThan((5 * 0.2) / Math.sqrt(4000))
  })

  it('lengths have the mean that was asked for, and the seed gives them', async () => {
    const simulate = (seed: number) =>
      simulateTraining({ model: TINY_CONFIG, training: { numTrainEpochs: 1, seed } }, { rows: 4000, tokensPerRow: 40 })
    const [first, again, other] = [await simulate(1), await simulate(1), await simulate(2)]
    expect(again).toEqual(first)
    expect(other.numInputTokens).not.toBe(first.numInputTokens)
    // exp(0.6^2) - 1 is the square of their relative spread; five standard errors.
    const error = (5 * Math.sqrt(Math.exp(0.36) - 1)) / Math.sqrt(4000)
    expect(Math.abs(first.numInputTokens / 4000 / 40 - 1)).toBeLessThan(error)
  })

  it('memory is planned, and says when a run would not fit', async () => {
    const options = { model: TINY_CONFIG, training: { maxLength: 64 } }
    const limits = { memory: 91 * 2 ** 20 }
    const { plan, memory } = await simulateTraining(options, { rows: 10, ...limits })
    expect(plan).toEqual(await planTraining(options, limits))
    expect(plan.fits).toBe(false)
    const at = Object.fromEntries(memory.map(({ moment, bytes }) => [moment, bytes]))
    expect(at['within a step']).toBe(plan.peakResident)
    expect(at['between steps']).toBe(
      plan.process + plan.tensors.weights + plan.tensors.trained + plan.tensors.optimizer,
    )
    expect(at['before the first step']).toBeLessThan(at['between steps'] as number)
  })

  it.each([
    [{ finalLoss: 3 }, '[simulate] expected a finalLoss of at most initialLoss 2.5, got 3'],
    [{ rows: 0 }, '[simulate] expected a whole number of at least 1 and at most 10000000 for rows, got 0'],
    [{ row: 9 }, 'unknown option "row"; did you mean "rows"?'],
  ])('refuses %j', async (made, message) => {
    await expect(simulateTraining({ model: TINY_CONFIG }, made as object)).rejects.toThrow(message)
  })
})
