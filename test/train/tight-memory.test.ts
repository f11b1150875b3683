/** @file Runs whose memory is tight: what the plan lets begin comes to its end, whatever the lengths of its rows. */

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createModel } from '../../src/causal-lm/create-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { planTraining } from '../../src/train/plan.js'
import { trainLora } from '../../src/train/train-lora.js'
import { cases } from '../support/long.js'
import { rejection, TINY_CONFIG, temporaryDirectory, tinyRows } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'

const MIB = 2 ** 20
const CONFIG = { ...TINY_CONFIG, hidden_size: 192, intermediate_size: 700, num_hidden_layers: 3 }
const folder = temporaryDirectory()

test('a run is refused before it begins, or makes its steps, at every budget', async () => {
  const directory = join(folder, 'model')
  const source = createModel(CONFIG)
  await saveModel(source, directory)
  source.dispose()
  await writeTinyTokenizer(directory, tinyByteLevelTokenizer())
  const training = {
    maxSteps: 6,
    maxLength: 160,
    perDeviceTrainBatchSize: 4,
    gradientAccumulationSteps: 2,
    gradientCheckpointing: 'auto',
  } as const
  // Short rows beside long ones: blocks of all sizes come and go.
  const dataset = tinyRows(40).map((row, i) => ({ ...row, completion: row.completion.repeat(1 + ((i * 7) % 12)) }))
  const free = await planTraining({
    model: CONFIG,
    dtype: 'float32',
    training: { ...training, gradientCheckpointing: false },
  })
  const least = await planTraining({
    model: CONFIG,
    dtype: 'float32',
    training: { ...training, gradientCheckpointing: 'full' },
  })
  // The rows are shorter than maxLength, and so is what the run takes.
  const from = least.peakTensors / 2
  const to = free.residentTensors + 3 * MIB
  const outcomes = { refused: 0, trained: 0 }
  const budgets = cases(8, 120)
  for (let i = 0; i < budgets; i++) {
    const memoryBudget = Math.round(from + ((to - from) * i) / (budgets - 1))
    let begun = false
    const ended = trainLora({
      model: directory,
      dataset,
      dtype: 'float32',
      memoryBudget,
      training,
      onEvent: ({ type }) => {
        if (type === 'step') begun = true
      },
    }).then((run) => {
      expect(run.step).toBe(6)
      expect(run.model.device.memory().reserved).toBeLessThanOrEqual(memoryBudget)
      run.dispose()
    })
    const text = await rejection(ended)
    if (text === 'nothing was thrown') outcomes.trained++
    else {
      expect(text).toMatch(/expected a run that fits the memory budget|the weights of .* take/)
      expect(begun).toBe(false)
      outcomes.refused++
    }
  }
  expect(outcomes.refused).toBeGreaterThan(0)
  expect(outcomes.trained).toBeGreaterThan(budgets / 3)
})
