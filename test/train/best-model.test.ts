/** @file The best model of a run, and runs that end early: decisions, checkpoints, and going on. */

import { cp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { BestModel } from '../../src/train/best-model.js'
import { isLong } from '../support/long.js'
import {
  ofType,
  rejection,
  type TinyRun,
  type TinyRunOptions,
  temporaryDirectory,
  tinyRows,
  trainedBytes,
  trainTiny,
  withoutDocuments,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
let model: string
beforeAll(async () => {
  model = await writeTinyModel(at('model'))
})

/** What the rows of training say in part: the loss falls and then rises. */
const evalDataset = tinyRows(8, 77).map(({ prompt }) => ({ prompt, completion: ' nine the hello' }))
const trains = async (name: string, options: Partial<TinyRunOptions>, final = at(`${name}-final`)): Promise<TinyRun> =>
  await trainTiny(
    {
      model,
      outputDir: at(name),
      dataset: tinyRows(24, 3),
      evalDataset,
      ...options,
      training: {
        maxSteps: 20,
        perDeviceTrainBatchSize: 4,
        gradientAccumulationSteps: 1,
        packing: false,
        learningRate: 0.02,
        lrSchedulerType: 'constant',
        warmupRatio: 0,
        evalSteps: 2,
        loadBestModelAtEnd: true,
        ...options.training,
      },
    },
    final,
  )
const stateOf = async (...names: string[]) => JSON.parse(await readFile(at(...names, 'trainer_state.json'), 'utf8'))

describe('decisions', () => {
  const decide = (values: readonly number[], options: object = {}) => {
    const best = new BestModel({ metric: 'eval_loss', greaterIsBetter: false, patience: 2, ...options })
    return values.map((value, at) => {
      const { isBest, earlyStopping } = best.observe(at + 1, value)
      return [isBest, earlyStopping?.counter, best.isOver]
    })
  }

  it('count evaluations that improve nothing, and begin anew with one that does', () => {
    expect(decide([3, 2, 2, 1, 1.5, 1.2])).toEqual([
      [true, 0, false],
      [true, 0, false],
      [false, 1, false],
      [true, 0, false],
      [false, 1, false],
      [false, 2, true],
    ])
  })

  it('an improvement below the threshold is the best one, and counts against the run', () => {
    expect(decide([3, 2.95, 2.9, 2.5], { threshold: 0.1 })).toEqual([
      [true, 0, false],
      [true, 1, false],
      [true, 2, true],
      [true, 0, false],
    ])
  })

  it('what is no number is never the best one', () => {
    expect(decide([Number.NaN, Number.NaN, 3, Number.NaN])).toEqual([
      [false, 0, false],
      [false, 1, false],
      [true, 0, false],
      [false, 1, false],
    ])
    expect(decide([1, 2, 1], { greaterIsBetter: true }).map(([isBest]) => isBest)).toEqual([true, true, false])
  })

  it('are made again from the log of a run, without what was evaluated before its first step', () => {
    const best = new BestModel({ metric: 'eval_a_loss', greaterIsBetter: false, patience: 3 })
    best.replay([
      { step: 0, eval_a_loss: 0.1 },
      { step: 2, loss: 4 },
      { step: 2, eval_a_loss: 3 },
      { step: 2, eval_b_loss: 1 },
      { step: 4, eval_a_loss: null },
      { step: 6, eval_a_loss: 3 },
    ])
    expect(best.best).toEqual({ metric: 'eval_a_loss', value: 3, step: 2 })
    expect(best.earlyStopping?.counter).toBe(2)
  })
})

describe('loadBestModelAtEnd', () => {
  it('ends with the weights of the best checkpoint, and says so everywhere', async () => {
    const { run, events, bytes } = await trains('best', { training: { saveTotalLimit: 2 } })
    const evaluations = ofType(events, 'evaluate')
    expect(evaluations).toHaveLength(10)
    const least = evaluations.reduce((best, each) => (each.loss < best.loss ? each : best))
    // Else these rows show nothing.
    expect(least.step).toBeLessThan(20)
    const checkpoint = at('best', `checkpoint-${least.step}`)
    const best = { metric: 'eval_loss', value: least.loss, step: least.step, checkpoint }
    expect(run.best).toEqual(best)
    expect(ofType(events, 'end')).toMatchObject([{ reason: 'completed', step: 20, best, loadedStep: least.step }])
    expect(ofType(events, 'evaluate').map(({ isBest }) => isBest)).toEqual(
      evaluations.map(({ loss }, index) => evaluations.slice(0, index).every((before) => loss < before.loss)),
    )
    expect(bytes).toBe(await trainedBytes(checkpoint))
    expect(bytes).not.toBe(await trainedBytes(at('best', 'checkpoint-20')))
    expect(await withoutDocuments(at('best'))).toEqual(['checkpoint-20', `checkpoint-${least.step}`].sort())
    expect(await stateOf('best')).toMatchObject({
      best_global_step: least.step,
      best_metric: least.loss,
      best_model_checkpoint: checkpoint,
      stateful_callbacks: {},
    })
    const card = await readFile(at('best', 'README.md'), 'utf8')
    expect(card).toContain(`| Best evaluation | \`eval_loss\` ${least.loss.toFixed(4)} at step ${least.step} |`)
    expect(card).toContain(`| Weights | those of step ${least.step} |`)
  })

  it('keeps the best checkpoint alone with saveTotalLimit 1, once the run is complete', async () => {
    const { run } = await trains('one', { training: { saveTotalLimit: 1 } })
    expect(await withoutDocuments(at('one'))).toEqual([`checkpoint-${run.best?.step}`])
  })

  it("saves only what is the best one with saveStrategy 'best', and goes on from there to the same bytes", async () => {
    const whole = await trains('only-best', { training: { saveStrategy: 'best' } })
    const saved = ofType(whole.events, 'save').filter(({ kind }) => kind === 'checkpoint')
    const best = ofType(whole.events, 'evaluate').filter(({ isBest }) => isBest)
    expect(saved.map(({ step }) => step)).toEqual(best.map(({ step }) => step))
    const again = await trains('only-best', { training: { saveStrategy: 'best' }, resumeFromCheckpoint: true })
    expect(again.bytes).toBe(whole.bytes)
    expect(again.run.best).toEqual(whole.run.best)
    expect(ofType(again.events, 'start')[0]?.step).toBe(best.at(-1)?.step)
  })

  it('says what is lacking where the best checkpoint is gone', async () => {
    await trains('gone', {})
    const state = await stateOf('gone', 'checkpoint-20')
    await rm(state.best_model_checkpoint, { recursive: true })
    const { events, run } = await trains('gone', { resumeFromCheckpoint: true })
    expect(ofType(events, 'warning').map(({ message }) => message)).toContain(
      `[resume] ${state.best_model_checkpoint}, the best checkpoint so far, is not there any more: until a better one is written, the run has none`,
    )
    expect(ofType(events, 'end')[0]?.loadedStep).toBe(undefined)
    expect(run.best?.checkpoint).toBe(undefined)
  })

  it('finds the best checkpoint where the directory of the run has been moved', async () => {
    const { bytes } = await trains('moved', {})
    await cp(at('moved'), at('moved-here'), { recursive: true })
    await rm(at('moved'), { recursive: true })
    const again = await trains('moved-here', { resumeFromCheckpoint: true })
    expect(again.bytes).toBe(bytes)
  })
})

describe('early stopping', () => {
  it('ends a run that improves no more, as a complete one, with what transformers writes of it', async () => {
    const { run, events } = await trains('early', { training: { earlyStoppingPatience: 2 } })
    const evaluations = ofType(events, 'evaluate')
    expect(evaluations.map(({ earlyStopping }) => earlyStopping?.counter).slice(-2)).toEqual([1, 2])
    expect(run.reason).toBe('completed')
    expect(run.step).toBe((run.best?.step ?? 0) + 4)
    expect(ofType(events, 'end')).toMatchObject([{ totalSteps: 20, earlyStopping: { counter: 2, patience: 2 } }])
    expect(ofType(events, 'warning')).toEqual([])
    expect((await stateOf('early')).stateful_callbacks).toEqual({
      EarlyStoppingCallback: {
        args: { early_stopping_patience: 2, early_stopping_threshold: 0 },
        attributes: { early_stopping_patience_counter: 2 },
      },
    })
    expect(await readFile(at('early', 'README.md'), 'utf8')).toContain(
      'stopped early, after 2 evaluations without an improvement',
    )
    const again = await trains('early', { training: { earlyStoppingPatience: 2 }, resumeFromCheckpoint: true })
    expect(ofType(again.events, 'step')).toEqual([])
    expect(again.run.reason).toBe('completed')
    const more = await trains('early', { training: { earlyStoppingPatience: 8 }, resumeFromCheckpoint: true })
    expect(more.run.step).toBeGreaterThan(run.step)
  })

  it('decides from a checkpoint as the run that was not interrupted', async () => {
    const whole = await trains('decided', { training: { earlyStoppingPatience: 2 } })
    const saved = (await readdir(at('decided'))).filter((entry) => entry.startsWith('checkpoint-'))
    expect(saved.length).toBeGreaterThan(5)
    // All of them, or some at the beginning, in the middle and at the end.
    for (const name of saved.filter((_, i) => isLong || i % Math.ceil(saved.length / 3) === 0)) {
      const { run, bytes } = await trains(`from-${name}`, {
        training: { earlyStoppingPatience: 2 },
        resumeFromCheckpoint: at('decided', name),
      })
      expect([run.step, run.best?.value, run.best?.step, bytes === whole.bytes], name).toEqual([
        whole.run.step,
        whole.run.best?.value,
        whole.run.best?.step,
        true,
      ])
    }
  })
})

describe('evaluations', () => {
  const steps = ({ events }: TinyRun) => ofType(events, 'evaluate').map(({ step }) => step)

  it('begin before the first step, or after a delay', async () => {
    const off = { loadBestModelAtEnd: false, maxSteps: 6 }
    expect(steps(await trains('start', { training: { ...off, evalOnStart: true } }))).toEqual([0, 2, 4, 6])
    expect(steps(await trains('delay', { training: { ...off, evalDelay: 3 } }))).toEqual([4, 6])
    const epochs = { ...off, maxSteps: -1, numTrainEpochs: 3, evalStrategy: 'epoch' as const }
    expect(steps(await trains('delay-epochs', { training: { ...epochs, evalDelay: 2 } }))).toEqual([12, 18])
  })

  it('change no byte of what is trained', async () => {
    const off = { loadBestModelAtEnd: false, maxSteps: 6 }
    const plain = await trains('plain', { training: { ...off, evalStrategy: 'no' } })
    const often = await trains('often', { training: { ...off, evalSteps: 1, evalOnStart: true } })
    expect(often.bytes).toBe(plain.bytes)
  })

  it('several data sets have a score each, and an entry each in the log of the trainer', async () => {
    const sets = { near: tinyRows(5, 3), 'far-1': tinyRows(4, 99) }
    const { events, run } = await trains('named', {
      evalDataset: sets,
      training: { maxSteps: 4, metricForBestModel: 'far-1_loss' },
    })
    const [first] = ofType(events, 'evaluate')
    const metrics = first?.metrics ?? {}
    expect(Object.keys(metrics)).toEqual([
      'eval_near_loss',
      'eval_near_perplexity',
      'eval_far-1_loss',
      'eval_far-1_perplexity',
    ])
    const single = await trains('single', { evalDataset: sets['far-1'], training: { maxSteps: 4 } })
    expect(metrics['eval_far-1_loss']).toBe(ofType(single.events, 'evaluate')[0]?.loss)
    expect(single.bytes).toBe(
      (
        await trains('named-again', {
          evalDataset: sets,
          training: { maxSteps: 4, metricForBestModel: 'eval_far-1_loss' },
        })
      ).bytes,
    )
    expect(run.best?.metric).toBe('eval_far-1_loss')
    expect(Object.keys(run.statistics.evaluations ?? {})).toEqual(['near', 'far-1'])
    expect(ofType(events, 'data').map(({ split, name }) => [split, name])).toEqual([
      ['train', undefined],
      ['eval', 'near'],
      ['eval', 'far-1'],
    ])
    const { log_history: history } = await stateOf('named')
    const entries = history.filter((entry: object) => Object.keys(entry).some((key) => key.startsWith('eval_')))
    expect(entries.slice(0, 2).map((entry: object) => Object.keys(entry))).toEqual([
      [
        'epoch',
        'eval_near_loss',
        'eval_near_perplexity',
        'eval_near_runtime',
        'eval_near_samples_per_second',
        'eval_near_steps_per_second',
        'step',
      ],
      [
        'epoch',
        'eval_far-1_loss',
        'eval_far-1_perplexity',
        'eval_far-1_runtime',
        'eval_far-1_samples_per_second',
        'eval_far-1_steps_per_second',
        'step',
      ],
    ])
  })

  it('log the first step where asked to', async () => {
    const { events } = await trains('first', { training: { maxSteps: 4, loggingSteps: 3, loggingFirstStep: true } })
    expect(ofType(events, 'log').map(({ step }) => step)).toEqual([1, 3, 4])
  })
})

describe('log events', () => {
  it('tell the gradient norms of each layer, and the memory, where asked to', async () => {
    const training = { maxSteps: 4, loggingSteps: 3, logGradNorms: true, includeMemoryMetrics: true }
    const { events } = await trains('details', { training })
    const logs = ofType(events, 'log')
    expect(logs).toHaveLength(2)
    for (const { gradNorms = {}, memory } of logs) {
      expect(Object.keys(gradNorms).map((name) => name.replace(/^.*layers/, 'layers'))).toEqual([
        'layers.0',
        'layers.1',
      ])
      expect(memory?.processRss).toBeGreaterThan(1e7)
      expect(memory?.devicePeak).toBeGreaterThanOrEqual(memory?.deviceLive ?? Number.NaN)
    }
    const [, last] = logs
    // One step: the squares of the layers add up to that of all, but for rounding.
    expect(Math.hypot(...Object.values(last?.gradNorms ?? {}))).toBeCloseTo(last?.gradNorm ?? 0, 4)
    const plain = await trains('no-details', { training: { maxSteps: 4, loggingSteps: 3 } })
    expect(ofType(plain.events, 'log').some((event) => 'gradNorms' in event || 'memory' in event)).toBe(false)
  })
})

describe('options that do not go together', () => {
  it.each([
    [
      { saveStrategy: 'epoch', evalStrategy: 'steps' },
      "expected saveStrategy to be evalStrategy, 'steps', or 'best' with loadBestModelAtEnd, got 'epoch'; set it",
    ],
    [
      { saveSteps: 3 },
      'expected saveSteps to be a multiple of evalSteps, 2, with loadBestModelAtEnd, got 3; set both to the same',
    ],
    [{ evalStrategy: 'no' }, "expected evalStrategy 'steps' or 'epoch' with loadBestModelAtEnd, got 'no'; set one"],
    [
      { loadBestModelAtEnd: false, greaterIsBetter: true },
      'expected metricForBestModel with greaterIsBetter; set it, or remove greaterIsBetter',
    ],
    [
      { earlyStoppingThreshold: 0.1 },
      'expected earlyStoppingPatience with earlyStoppingThreshold; set it, or remove earlyStoppingThreshold',
    ],
    [
      { metricForBestModel: 'accuracy' },
      "expected a metric of this run's evaluations for metricForBestModel, got eval_accuracy; they tell eval_loss, eval_perplexity",
    ],
  ] as const)('options that do not go together: %j', async (training, message) => {
    expect(await rejection(trains('refused', { training }))).toBe(`[training] ${message}`)
  })

  it('options that do not go together: a data set of several without its name in the metric', async () => {
    const sets = { a: tinyRows(2), b: tinyRows(2) }
    expect(await rejection(trains('refused', { evalDataset: sets }))).toBe(
      "[training] expected a metric of this run's evaluations for metricForBestModel, got eval_loss; did you mean eval_a_loss? they tell eval_a_loss, eval_a_perplexity, eval_b_loss, eval_b_perplexity",
    )
  })
})
