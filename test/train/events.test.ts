/** @file What a run reports: which events, in which order, with which figures. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { prepareDataset } from '../../src/data/dataset.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { evaluateLoss } from '../../src/train/evaluate-loss.js'
import type { TrainEvent } from '../../src/train/events.js'
import { listCheckpoints } from '../../src/train/output-directory.js'
import { PRESETS } from '../../src/train/presets.js'
import { learningRateAt } from '../../src/train/schedule.js'
import { trainLora } from '../../src/train/train-lora.js'
import {
  ofType,
  rejection,
  TINY_TRAINING,
  type TinyRun,
  temporaryDirectory,
  tinyRows,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const packageJson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}
const directory = temporaryDirectory()
const outputDir = join(directory, 'run')
const evalDataset = tinyRows(7, 31)
let model: string
let tiny: TinyRun
let events: Extract<TrainEvent, { step: number }>[]

beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
  tiny = await trainTiny(
    {
      model,
      outputDir,
      evalDataset,
      training: { maxSteps: 7, evalSteps: 3, saveSteps: 2, loggingSteps: 3, warmupSteps: 2 },
    },
    join(directory, 'adapter'),
  )
  events = tiny.events.filter((event) => 'step' in event)
})

describe('events', () => {
  it('come in the order in which things happen', () => {
    expect(events.map((event) => `${event.type} ${event.step}`)).toEqual([
      'start 0',
      'step 1',
      'step 2',
      'save 2',
      'step 3',
      'log 3',
      'evaluate 3',
      'step 4',
      'save 4',
      'step 5',
      'step 6',
      'log 6',
      'evaluate 6',
      'save 6',
      'step 7',
      'log 7',
      'evaluate 7',
      'save 7',
      'end 7',
      // The adapter, which the program saves behind the run.
      'save 7',
    ])
  })

  it('say before the start how far the data are, and what became of every row', () => {
    const types = tiny.events.map((event) => ('split' in event ? `${event.type} ${event.split}` : event.type))
    const before = types.slice(0, types.indexOf('start'))
    expect([...new Set(before)]).toEqual(['load', 'prepare train', 'data train', 'prepare eval', 'data eval'])
    const prepared = ofType(tiny.events, 'prepare')
    expect(prepared.find(({ split }) => split === 'train')).toEqual({
      type: 'prepare',
      split: 'train',
      rows: 0,
      fraction: 0,
    })
    expect(prepared.at(-1)).toEqual({ type: 'prepare', split: 'eval', rows: 7, fraction: 1 })
    const [train, evaluation] = ofType(tiny.events, 'data')
    const { evaluation: ofEvaluation, ...ofTraining } = tiny.run.statistics
    expect(train).toEqual({
      type: 'data',
      split: 'train',
      ...ofTraining,
      lineage: [],
      maxLength: expect.any(Number),
      warnings: [],
    })
    expect(evaluation).toMatchObject({ ...ofEvaluation, rows: 7, split: 'eval' })
  })

  it('end with how long the run read rows, which is a part of its time', () => {
    const [end] = ofType(tiny.events, 'end')
    expect(end?.dataSeconds).toBeGreaterThan(0)
    expect(end?.dataSeconds).toBeLessThan(end?.seconds as number)
  })

  it('say which rows were lost, and that the model has fewer positions than maxLength', async () => {
    const rows = [
      { prompt: 'a', completion: 'b' },
      { prompt: 'a', completion: 'b c d e f g h'.repeat(99) },
      { prompt: 'a b c d e f g'.repeat(99), completion: 'h' },
      { prompt: 'a', completion: 'c' },
    ]
    const training = { maxSteps: 1, maxLength: 100_000 }
    const run = await trainTiny({ model, dataset: rows, training, evalDataset: rows }, join(directory, 'unused'))
    for (const split of ['train', 'eval'] as const) {
      const event = ofType(run.events, 'data').find((data) => data.split === split)
      const used = event?.maxLength as number
      expect(event).toMatchObject({
        rows: 4,
        truncatedRows: 2,
        rowsCutToNothing: 1,
        clippedMaxLength: { wanted: 100_000, used },
        warnings: [
          {
            code: 'maxLengthClipped',
            rows: 4,
            message: `rows are cut at ${used} tokens, not at maxLength 100000: the model has no more positions`,
          },
          {
            code: 'cutToNothing',
            rows: 1,
            message: `1 of 4 rows left out: their answer begins beyond maxLength ${used}; shorten the prompts`,
          },
          {
            code: 'truncated',
            rows: 1,
            message: `1 of 4 rows lost their end to maxLength ${used}; split them to learn all of them`,
          },
        ],
      })
    }
    expect(run.run.statistics).toMatchObject({ rowsCutToNothing: 1, evaluation: { rowsCutToNothing: 1 } })
  })

  it('tell of a maxLength beyond the model without a warning where no row needs it', async () => {
    const rows = [{ prompt: 'a', completion: 'b' }]
    const training = { maxSteps: 1, maxLength: 100_000 }
    const { events } = await trainTiny({ model, dataset: rows, training }, join(directory, 'unused'))
    const [event] = ofType(events, 'data')
    const used = event?.maxLength as number
    expect(event).toMatchObject({ truncatedRows: 0, clippedMaxLength: { wanted: 100_000, used }, warnings: [] })
  })

  it('events of a step come while the next one is computed, not after it', async () => {
    const forward = vi.spyOn(CausalLM.prototype, 'forwardRagged')
    try {
      const forwards: number[] = []
      const training = { maxSteps: 3, gradientAccumulationSteps: 9, packing: false }
      const onEvent = ({ type }: TrainEvent): void => {
        // What came before the start was the plan of the run's memory.
        if (type === 'start') forward.mockClear()
        if (type === 'step') forwards.push(forward.mock.calls.length)
      }
      await trainTiny({ model, training, onEvent }, join(directory, 'early'))
      // Nine micro-batches a step: the event is there before the next nine are queued.
      expect(forwards[0]).toBeLessThan(18)
      expect(forwards[1]).toBeLessThan(27)
      expect(forwards.at(-1)).toBe(27)
    } finally {
      forward.mockRestore()
    }
  })

  it('are plain objects of finite numbers that JSON keeps', () => {
    for (const event of events) {
      expect(JSON.parse(JSON.stringify(event))).toEqual(event)
      for (const [name, value] of Object.entries(event)) {
        if (typeof value === 'number') expect(Number.isFinite(value), `${event.type}.${name}`).toBe(true)
      }
      expect(event.totalSteps).toBe(7)
    }
  })

  it('begin with what is trained, and on how much', () => {
    // 2 layers of 7 projections, r 4: r * (in + out) each.
    const layer = 4 * (2 * (48 + 48) + 2 * (48 + 24) + 3 * (48 + 88))
    expect(ofType(events, 'start')).toEqual([
      {
        type: 'start',
        runId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
        startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        outputDir,
        options: expect.any(Object),
        versions: { lowrank: packageJson.version, node: process.versions.node },
        step: 0,
        totalSteps: 7,
        epoch: 0,
        trainableParameters: 2 * layer,
        totalParameters: expect.any(Number),
        quantization: null,
        trainRows: 40,
        evalRows: 7,
        gradientCheckpointing: false,
        plannedMemory: expect.any(Number),
        device: 'cpu',
      },
    ])
    const [start] = ofType(events, 'start')
    const base = 2 * 512 * 48 + 48 + 2 * (2 * 48 + 2 * 48 * 48 + 2 * 48 * 24 + 3 * 48 * 88)
    expect(start?.totalParameters).toBe(base + 2 * layer)
  })

  it('carry at the start the options that train.yaml has, without secrets and what no file can hold', async () => {
    const [start] = ofType(events, 'start')
    const { resumeFromCheckpoint, ...written } = parse(
      readFileSync(join(outputDir, 'train.yaml'), 'utf8'),
    ) as object & {
      resumeFromCheckpoint: boolean
    }
    expect(resumeFromCheckpoint).toBe(true)
    expect(start?.options).toEqual(written)
    const token = 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345'
    const training = { maxSteps: 1, chatTemplateKwargs: { key: token } }
    const callbacks = [{ name: 'none', onEvent: () => {} }]
    const other = await trainTiny({ model, token, training, callbacks }, join(directory, 'unused'))
    const [event] = ofType(other.events, 'start')
    expect(JSON.stringify(other.events)).not.toContain(token)
    expect(event?.options).toMatchObject({ model, training: { maxSteps: 1, chatTemplateKwargs: { key: '***' } } })
    for (const name of ['token', 'callbacks', 'onEvent', 'signal']) expect(event?.options).not.toHaveProperty(name)
    expect(event).not.toHaveProperty('outputDir')
  })

  it('carry the same id of the run when it is resumed in its directory, and the checkpoint that it goes on from', async () => {
    const resumed = await trainTiny(
      {
        model,
        outputDir,
        evalDataset,
        training: { maxSteps: 8, evalSteps: 3, saveSteps: 2, loggingSteps: 3, warmupSteps: 2 },
        resumeFromCheckpoint: true,
      },
      join(directory, 'unused'),
    )
    const [start] = ofType(resumed.events, 'start')
    expect(start).toMatchObject({ step: 7, runId: ofType(events, 'start')[0]?.runId })
    expect(start?.resumedFrom).toBe(join(outputDir, 'checkpoint-7'))
  })

  it('name a preset first of all, with what is done in another way here', async () => {
    const { events: seen } = await trainTiny(
      { model, preset: 'qlora-all-linear-small', training: { maxSteps: 1 } },
      join(directory, 'unused'),
    )
    const { description, differences } = PRESETS['qlora-all-linear-small']
    expect(seen[0]).toEqual({ type: 'preset', name: 'qlora-all-linear-small', description, differences })
  })

  it('tell of what the program saves behind the run, by its kind', async () => {
    for (const method of ['lora', 'full'] as const) {
      const path = join(directory, `saved-${method}`)
      const { events: seen } = await trainTiny({ model, method, training: { maxSteps: 1 } }, path)
      const kind = method === 'lora' ? 'adapter' : 'model'
      expect(seen.slice(-2)).toMatchObject([{ type: 'end' }, { type: 'save', kind, step: 1, totalSteps: 1, path }])
    }
  })

  it('carry the learning rate of the schedule and a growing count of tokens', () => {
    const steps = ofType(events, 'step')
    const schedule = { type: 'cosine', learningRate: 5e-3, warmupSteps: 2, totalSteps: 7 } as const
    expect(steps.map(({ learningRate }) => learningRate)).toEqual(steps.map((_, i) => learningRateAt(i, schedule)))
    let seen = 0
    let epoch = 0
    for (const step of steps) {
      expect(step.numInputTokensSeen).toBeGreaterThan(seen)
      expect(step.epoch).toBeGreaterThan(epoch)
      expect(step.tokensPerSecond).toBeGreaterThan(0)
      expect(step.gradNorm).toBeGreaterThan(0)
      seen = step.numInputTokensSeen
      epoch = step.epoch
    }
    expect(steps.at(-1)?.etaSeconds).toBe(0)
  })

  it('events of type log average the steps since the last one', () => {
    const steps = ofType(events, 'step')
    const mean = (from: number, to: number, name: 'loss' | 'gradNorm') =>
      steps.slice(from, to).reduce((sum, step) => sum + step[name], 0) / (to - from)
    const logs = ofType(events, 'log')
    ;[
      [0, 3],
      [3, 6],
      [6, 7],
    ].forEach(([from, to], i) => {
      for (const name of ['loss', 'gradNorm'] as const) {
        expect(logs[i]?.[name]).toBeCloseTo(mean(from as number, to as number, name), 12)
      }
      expect(logs[i]?.learningRate).toBe(steps[(to as number) - 1]?.learningRate)
    })
    expect(ofType(events, 'end')[0]?.loss).toBeCloseTo(mean(0, 7, 'loss'), 12)
  })

  it('events of type evaluate give what scoring the checkpoint anew gives', async () => {
    const tokenizer = await loadTokenizer(model)
    const { examples: rows } = await prepareDataset(evalDataset, tokenizer)
    const evaluations = ofType(events, 'evaluate')
    for (const step of [6, 7]) {
      const loaded = await loadModel(model, { dtype: 'float32' })
      await LoraAdapter.load(loaded, join(outputDir, `checkpoint-${step}`))
      const { loss, perplexity, tokens } = await evaluateLoss(loaded, rows, { batchSize: 8 })
      expect(evaluations.find((event) => event.step === step)).toMatchObject({ loss, perplexity, tokens })
      expect(perplexity).toBe(Math.exp(loss))
      expect(tokens).toBe(rows.reduce((sum, { numSupervised }) => sum + numSupervised, 0))
      loaded.device.close()
    }
    expect(tiny.run.evaluation).toMatchObject({ loss: evaluations.at(-1)?.loss })
    expect(tiny.run.history).toEqual(events.filter(({ type }) => type === 'log' || type === 'evaluate'))
  })

  it('events of type save name a checkpoint that is complete when they come', async () => {
    const found: string[] = []
    await trainTiny(
      {
        model,
        outputDir: join(directory, 'saves'),
        training: { maxSteps: 2, saveSteps: 1 },
        onEvent: (event) => {
          if (event.type === 'save') found.push(...readdirSync(event.path))
        },
      },
      join(directory, 'unused'),
    )
    expect(found.filter((name) => name === 'trainer_state.json')).toHaveLength(2)
    expect(found.filter((name) => name.includes('.lowrank-'))).toEqual([])
  })

  it('tell every half second how far an evaluation is, so that short ones have none', async () => {
    const now = vi.spyOn(performance, 'now')
    let clock = 0
    now.mockImplementation(() => {
      clock += 100
      return clock
    })
    try {
      const { events: seen } = await trainTiny(
        { model, evalDataset, training: { maxSteps: 1, perDeviceEvalBatchSize: 1 } },
        join(directory, 'unused'),
      )
      const told = ofType(seen, 'evaluating')
      expect(told.map(({ rows, totalRows, step }) => [rows, totalRows, step])).toEqual([[4, 7, 1]])
    } finally {
      now.mockRestore()
    }
  })
})

describe('a listener that fails', () => {
  const failure = new Error('the disk of the log is full')
  const failAt =
    (type: TrainEvent['type'], step: number, how: () => unknown, seen: string[] = []) =>
    (event: TrainEvent): unknown => {
      seen.push(event.type)
      return event.type === type && 'step' in event && event.step === step ? how() : undefined
    }
  const thrown = (): never => {
    throw failure
  }
  const training = { ...TINY_TRAINING, maxSteps: 6, saveStrategy: 'no' as const }
  const run = (outputDir: string | undefined, onEvent: (event: TrainEvent) => unknown) =>
    trainLora({
      model,
      dataset: tinyRows(40),
      dtype: 'float32',
      lora: { r: 4, loraAlpha: 8 },
      training,
      outputDir,
      onEvent: onEvent as (event: TrainEvent) => void,
    }).then(
      () => 'nothing was thrown',
      (error: unknown) => error,
    )

  it.each([
    ['throws', thrown],
    ['returns a promise that rejects', () => Promise.reject(failure)],
  ])(
    'a listener that fails and %s ends the run after its step, with a checkpoint, with its own error',
    async (_, how) => {
      const outputDir = join(directory, `failing-${_.length}`)
      expect(await run(outputDir, failAt('step', 2, how))).toBe(failure)
      const [name] = readdirSync(outputDir).filter((entry) => entry.startsWith('checkpoint-'))
      // The next step may be under way.
      expect(['checkpoint-2', 'checkpoint-3']).toContain(name)
      const whole = await trainTiny({ model, lora: { r: 4, loraAlpha: 8 }, training }, join(directory, 'whole'))
      const resumed = await trainTiny(
        { model, lora: { r: 4, loraAlpha: 8 }, training, outputDir, resumeFromCheckpoint: true },
        join(directory, 'resumed'),
      )
      expect(resumed.bytes === whole.bytes).toBe(true)
    },
  )

  it('is not called again', async () => {
    const seen: string[] = []
    await run(join(directory, 'once'), failAt('step', 1, thrown, seen))
    expect(seen.filter((type) => type === 'step' || type === 'save' || type === 'end')).toEqual(['step'])
  })

  it('a listener that fails at the end of a run that kept no checkpoint still has its weights saved', async () => {
    const outputDir = join(directory, 'failing-end')
    expect(await run(outputDir, failAt('end', 6, thrown))).toBe(failure)
    expect(readdirSync(outputDir)).toContain('checkpoint-6')
  })

  it('a listener that fails before the first step ends the run with nothing trained', async () => {
    const outputDir = join(directory, 'failing-start')
    const seen: string[] = []
    expect(await run(outputDir, failAt('start', 0, thrown, seen))).toBe(failure)
    expect(await listCheckpoints(outputDir)).toEqual([])
    expect(seen).not.toContain('step')
    const atOnce = (event: TrainEvent): void => {
      if (event.type === 'prepare') throw failure
    }
    expect(await run(undefined, atOnce)).toBe(failure)
  })

  it('a listener that fails may throw what is no error', async () => {
    const nothing = () => {
      throw undefined
    }
    expect(await run(undefined, failAt('step', 1, nothing))).toBe(undefined)
  })
})

describe('lengths of runs', () => {
  it.each([
    [{ numTrainEpochs: 1 }, 1],
    [{ numTrainEpochs: 0.5 }, 0.5],
    [{ numTrainEpochs: 1.5 }, 1.5],
  ])('%o', async (training, epochs) => {
    const { run, events: seen } = await trainTiny(
      { model, training: { ...training, packing: false, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 3 } },
      join(directory, 'unused'),
    )
    // 40 rows in batches of 4, three to a step: 4 steps an epoch, the last of one batch.
    expect(run.step).toBe(4 * epochs)
    expect(ofType(seen, 'end')[0]).toMatchObject({ reason: 'completed', epoch: epochs === 1 ? 1 : epochs + 0.1 })
  })
})

describe('evaluateLoss', () => {
  it('does not depend on how rows are put together', async () => {
    const tokenizer = await loadTokenizer(model)
    const { examples: rows } = await prepareDataset(evalDataset, tokenizer)
    const loaded = await loadModel(model, { dtype: 'float32' })
    let sum = 0
    let tokens = 0
    for (const row of rows) {
      const { loss } = loaded.forward({
        inputIds: [[...row.inputIds]],
        labels: [[...row.labels]],
      })
      sum += ((await loss.read())[0] as number) * row.numSupervised
      tokens += row.numSupervised
    }
    const progress: number[] = []
    const together = await evaluateLoss(loaded, rows, { batchSize: 3, onProgress: (done) => progress.push(done) })
    expect(progress).toEqual([3, 6, 7])
    expect(together.tokens).toBe(tokens)
    // Means of float32 sums in another order.
    expect(Math.abs(together.loss / (sum / tokens) - 1)).toBeLessThan(1e-6)
    expect(await rejection(evaluateLoss(loaded, [], {}))).toBe(
      '[evaluate] expected supervised tokens, got none in 0 rows',
    )
    loaded.device.close()
  })
})
