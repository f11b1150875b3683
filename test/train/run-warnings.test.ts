/** @file Warnings of what can hardly be meant, before the first step. */

import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { runWarnings } from '../../src/train/run-warnings.js'
import { ofType, temporaryDirectory, trainTiny, writeTinyModel } from '../support/tiny-model.js'

const directory = temporaryDirectory()
let model: string

beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
})

const warnings = (training: object, steps: number): string[] =>
  runWarnings(resolveTrainOptions({ model: 'a/b', dataset: 'x', training }).training, steps)

describe('runWarnings', () => {
  it('tell of a single step that is the first of a warm-up, which learns nothing', () => {
    const said = [
      'the only step is the first of a warm-up, whose learning rate is 0: nothing is learnt; take more steps, or set warmupSteps: 0',
    ]
    expect(warnings({}, 1)).toEqual(said)
    expect(warnings({ warmupSteps: 3 }, 1)).toEqual(said)
    expect(warnings({ lrSchedulerType: 'constant_with_warmup' }, 1)).toEqual(said)
    expect(warnings({ warmupSteps: 0 }, 1)).toEqual([])
    expect(warnings({ warmupRatio: 0 }, 1)).toEqual([])
    expect(warnings({ lrSchedulerType: 'constant', warmupRatio: 0 }, 1)).toEqual([])
    expect(warnings({}, 2)).toEqual([])
  })

  it('tell of learning rates that nobody means', () => {
    expect(warnings({ learningRate: 1 }, 9)).toEqual([])
    expect(warnings({ learningRate: 1e30 }, 9)).toEqual([
      'a learning rate of 1e+30 moves each weight by about that much in a step; 1e-5 to 1e-3 are usual',
    ])
  })

  it('are events of the run', async () => {
    const { events } = await trainTiny({ model, training: { maxSteps: 1, warmupSteps: 1 } }, join(directory, 'adapter'))
    expect(ofType(events, 'warning').map(({ message }) => message)).toEqual([
      expect.stringContaining('the only step is the first of a warm-up'),
    ])
  })
})
