/** @file Training in float16: the loss curve of float32, steps that overflow, and how the loss scale gets on. */

import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { AdamW } from '../../src/train/adamw.js'
import type { TrainEvent } from '../../src/train/events.js'
import { LossScaler } from '../../src/train/loss-scaler.js'
import { learningRateAt } from '../../src/train/schedule.js'
import { readSafetensorsHeader } from '../../src/weights/safetensors.js'
import { isThorough } from '../support/long.js'
import { editState } from '../support/run-checkpoint.js'
import {
  ofType,
  rejection,
  type TinyRun,
  type TinyRunOptions,
  temporaryDirectory,
  trainedBytes,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
let model: string
let whole: TinyRun

const train = (options: Partial<TinyRunOptions>, saveTo: string): Promise<TinyRun> =>
  trainTiny({ model, dtype: 'float16', ...options, training: { numTrainEpochs: 3, ...options.training } }, saveTo)

const stepsOf = ({ events }: TinyRun) => ofType(events, 'step')

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  whole = await train({ outputDir: at('whole') }, at('whole', 'final'))
})

interface StoredState {
  step: number
  optimizerSteps: number
  lossScaler: { scale: number; growthTracker: number }
}

const stateOf = async (checkpoint: string): Promise<StoredState> =>
  JSON.parse(await readFile(join(checkpoint, 'lowrank_state.json'), 'utf8'))

/** The second checkpoint of the whole run with another scaler. */
async function checkpointWith(lossScaler: Record<string, unknown>, name: string): Promise<string> {
  const path = at(name)
  await rm(path, { recursive: true, force: true })
  await cp(at('whole', 'checkpoint-2'), path, { recursive: true })
  await editState(path, (state) => ({ ...state, lossScaler }))
  return path
}

describe('training in float16', () => {
  it('follows the losses of float32, with the scale that it started with', async () => {
    const { run, events } = await train({ dtype: 'float32' }, at('float32'))
    const steps = stepsOf(whole)
    expect(steps).toHaveLength(run.step)
    for (const [i, step] of ofType(events, 'step').entries()) {
      // Activations are rounded to 2^-12 of themselves: of a loss of 6 that leaves less than a thousandth, though steps
      // add it up.
      expect(Math.abs((steps[i]?.loss as number) - step.loss)).toBeLessThan(1e-3)
      expect(Math.abs((steps[i]?.gradNorm as number) / step.gradNorm - 1)).toBeLessThan(0.01)
      expect(steps[i]).toMatchObject({ lossScale: 65_536, skipped: false })
      expect(step).not.toHaveProperty('lossScale')
      expect(step).not.toHaveProperty('skipped')
    }
    expect(await stateOf(at('whole', 'checkpoint-2'))).toMatchObject({
      optimizerSteps: 2,
      lossScaler: { scale: 65_536, growthTracker: 2 },
    })
  })

  it('queues the decoder of the next step before it hears of the last one, and its loss after', async () => {
    const begin = vi.spyOn(CausalLM.prototype, 'beginRagged')
    try {
      const begun: number[] = []
      const training = { maxSteps: 3, gradientAccumulationSteps: 9, packing: false }
      const onEvent = ({ type }: TrainEvent): void => {
        // What came before the start was the plan of the run's memory.
        if (type === 'start') begin.mockClear()
        if (type === 'step') begun.push(begin.mock.calls.length)
      }
      await train({ training, onEvent }, at('unused'))
      // Nine micro-batches a step, and the first of the next one where there is one.
      expect(begun).toEqual([10, 19, 27])
    } finally {
      begin.mockRestore()
    }
  })

  it('has the same gradients whatever the scale, over several micro-batches', async () => {
    const norms: number[][] = []
    for (const scale of [2 ** 15, 2 ** 17]) {
      const resumeFromCheckpoint = await checkpointWith({ scale, growthTracker: 0 }, `scale-${scale}`)
      const steps = stepsOf(await train({ outputDir: at(`from-${scale}`), resumeFromCheckpoint }, at('unused')))
      expect(steps.every(({ skipped }) => skipped === false)).toBe(true)
      norms.push(steps.map(({ gradNorm }) => gradNorm))
    }
    norms[0]?.forEach((norm, i) => {
      // The smallest ones have steps of 2^-24 before they are unscaled: few of them, far below the norm.
      expect(Math.abs((norms[1]?.[i] as number) / norm - 1)).toBeLessThan(1e-3)
    })
  })
})

describe('a step whose gradient overflows', () => {
  const huge = { scale: 2 ** 24, growthTracker: 5 }
  let overflowing: TinyRun

  beforeAll(async () => {
    const resumeFromCheckpoint = await checkpointWith(huge, 'huge')
    overflowing = await train(
      { outputDir: at('overflowing'), resumeFromCheckpoint, training: { saveSteps: 1 } },
      at('o'),
    )
  })

  it('is skipped and halves the scale, until the gradient fits; all figures say so', () => {
    const steps = stepsOf(overflowing)
    const skipped = steps.filter((step) => step.skipped)
    expect(steps.slice(0, 2).map((step) => step.skipped)).toEqual([true, true])
    expect(skipped.length).toBeLessThan(steps.length - 2)
    let scale = huge.scale
    for (const { lossScale, skipped: wasSkipped, gradNorm, loss } of steps) {
      expect(lossScale).toBe(scale)
      expect(Number.isFinite(gradNorm)).toBe(!wasSkipped)
      expect(loss).toBeLessThan(8)
      if (wasSkipped) scale /= 2
    }
    const logs = ofType(overflowing.events, 'log')
    expect(logs.reduce((sum, { skippedSteps = 0 }) => sum + skippedSteps, 0)).toBe(skipped.length)
    expect(logs.at(-1)).toMatchObject({ lossScale: steps.at(-1)?.lossScale })
    expect(logs.at(-1)?.gradNorm).toBeGreaterThan(0)
    expect(ofType(whole.events, 'log').every(({ skippedSteps }) => skippedSteps === 0)).toBe(true)
  })

  it('leaves parameters and moments as they were, bit for bit, and trains on from there', async () => {
    const bytesOf = async (checkpoint: string): Promise<string[]> => [
      await trainedBytes(checkpoint),
      (await readFile(join(checkpoint, 'optimizer.safetensors'))).toString('hex'),
    ]
    let before = await bytesOf(at('huge'))
    let made = 2
    let growthTracker = huge.growthTracker
    for (const { step, skipped, lossScale } of stepsOf(overflowing)) {
      const checkpoint = at('overflowing', `checkpoint-${step}`)
      const after = await bytesOf(checkpoint)
      const same = after.map((bytes, i) => bytes === before[i])
      expect(same, `step ${step}`).toEqual(skipped ? [true, true] : [false, false])
      made += skipped ? 0 : 1
      growthTracker = skipped ? 0 : growthTracker + 1
      const scale = skipped ? (lossScale as number) / 2 : lossScale
      expect(await stateOf(checkpoint)).toMatchObject({ optimizerSteps: made, lossScaler: { scale, growthTracker } })
      before = after
    }
    const losses = stepsOf(overflowing).map(({ loss }) => loss)
    expect(losses.at(-1)).toBeLessThan(losses[0] as number)
  })

  it('counts as a step, but the learning rate goes on with those that were made', () => {
    const steps = stepsOf(overflowing)
    const { step: totalSteps } = whole.run
    const schedule = { type: 'cosine', learningRate: 5e-3, warmupSteps: 1, totalSteps } as const
    expect(overflowing.run.step).toBe(totalSteps)
    let made = 2
    for (const { learningRate, skipped } of steps) {
      expect(learningRate).toBe(learningRateAt(made, schedule))
      if (!skipped) made++
    }
  })

  it('does not keep a stopped run from going on to the same bytes, while and after it looks for a scale', async () => {
    const { step: totalSteps } = whole.run
    for (let step = 3; step < totalSteps; step += isThorough ? 1 : 3) {
      const outputDir = at(`stop-${step}`)
      const controller = new AbortController()
      const stopped = await train(
        {
          outputDir,
          resumeFromCheckpoint: at('huge'),
          signal: controller.signal,
          onEvent: (event) => {
            if (event.type === 'step' && event.step === step) controller.abort()
          },
        },
        at('unused'),
      )
      const resumed = await train({ outputDir, resumeFromCheckpoint: true }, at('unused'))
      expect(resumed.run.step).toBe(totalSteps)
      expect(resumed.bytes === overflowing.bytes, `stopped after step ${step}`).toBe(true)
      // The numbers of a step do not depend on when its checkpoint was written.
      const figures = [...stepsOf(stopped), ...stepsOf(resumed)].map(
        ({ lossScale, skipped, learningRate, gradNorm }) => ({
          lossScale,
          skipped,
          learningRate,
          gradNorm,
        }),
      )
      expect(stepsOf(overflowing)).toMatchObject(figures)
    }
  })
})

describe('the loss scale', () => {
  it('doubles after 2000 steps without an overflow, two of them here', async () => {
    const resumeFromCheckpoint = await checkpointWith({ scale: 1024, growthTracker: 1998 }, 'grows')
    const steps = stepsOf(await train({ outputDir: at('growing'), resumeFromCheckpoint }, at('unused')))
    expect(steps.map(({ lossScale }) => lossScale)).toEqual([1024, 1024, ...steps.slice(2).map(() => 2048)])
  })

  it('follows the rules of torch.amp.GradScaler', () => {
    const scaler = new LossScaler()
    expect(scaler.state).toEqual({ scale: 65_536, growthTracker: 0 })
    for (let step = 0; step < 1999; step++) scaler.update(false)
    expect(scaler.state).toEqual({ scale: 65_536, growthTracker: 1999 })
    scaler.update(true)
    expect(scaler.state).toEqual({ scale: 32_768, growthTracker: 0 })
    for (let step = 0; step < 4000; step++) scaler.update(false)
    expect(scaler.state).toEqual({ scale: 131_072, growthTracker: 0 })
    // Not beyond what float32 holds.
    const largest = new LossScaler({ scale: 2 ** 127, growthTracker: 1999 })
    largest.update(false)
    expect(largest.state).toEqual({ scale: 2 ** 127, growthTracker: 0 })
  })

  it('ends the run when no scale helps, naming the step and the largest gradient', async () => {
    const norms = {
      total: Number.POSITIVE_INFINITY,
      byName: new Map([['some.lora_A.weight', Number.POSITIVE_INFINITY]]),
    }
    const spy = vi.spyOn(AdamW.prototype, 'gradNorms').mockResolvedValue(norms)
    try {
      const training = { maxSteps: 60, saveSteps: 20 }
      // 65536 is halved 31 times before it is below 2^-14.
      expect(await rejection(train({ outputDir: at('never'), training }, at('unused')))).toBe(
        '[train] expected a gradient that float16 can hold at step 31, but it overflows at every loss scale down to 0.00006103515625; ' +
          'the largest gradient is that of some.lora_A.weight (norm Infinity). ' +
          `The last good checkpoint is ${at('never', 'checkpoint-20')}. Set dtype to 'bfloat16' or 'float32', or lower learningRate`,
      )
    } finally {
      spy.mockRestore()
    }
  })

  it.each([
    [{ scale: 0, growthTracker: 0 }, 'expected a power of two that float32 holds for lossScaler.scale, got 0 in'],
    [
      { scale: 1e39, growthTracker: 0 },
      'expected a power of two that float32 holds for lossScaler.scale, got 1e+39 in',
    ],
    [{ scale: 3, growthTracker: 0 }, 'expected a power of two that float32 holds for lossScaler.scale, got 3 in'],
    [{ scale: 1, growthTracker: 2000 }, 'expected a whole number below 2000 for lossScaler.growthTracker, got 2000 in'],
    [{ scale: 1, growthTracker: -1 }, 'expected a whole number >= 0 for lossScaler.growthTracker, got -1 in'],
  ])('%o of a damaged checkpoint is refused', async (lossScaler, message) => {
    const resumeFromCheckpoint = await checkpointWith(lossScaler, 'damaged')
    expect(await rejection(train({ outputDir: at('fresh'), resumeFromCheckpoint }, at('unused')))).toContain(
      `[resume] ${message}`,
    )
  })
})

it.each([
  [
    'weights',
    1e6,
    /^\[train\] expected finite numbers .* got Infinity at 0 in model\.layers\.1\.mlp\.down_proj\.weight, .*; set dtype to 'bfloat16' or 'float32', which hold numbers above 65504, or get /,
  ],
  [
    'activations',
    6e4,
    /^\[train\] expected a finite loss and gradient at step 1, got loss (NaN|Infinity); .*set dtype to 'bfloat16' or 'float32', which hold numbers above 65504, or look at the rows/,
  ],
] as const)('%s beyond float16 end the run at once: no scale would help', async (_, value, message) => {
  const path = join(model, 'model.safetensors')
  const before = await readFile(path)
  const entry = (await readSafetensorsHeader(path)).tensors.get('model.layers.1.mlp.down_proj.weight')
  const after = Buffer.from(before)
  const { fileOffset = 0, byteLength = 0 } = entry ?? {}
  for (let at = fileOffset; at < fileOffset + byteLength; at += 4) after.writeFloatLE(value, at)
  await writeFile(path, after)
  try {
    expect(await rejection(train({}, at('unused')))).toMatch(message)
  } finally {
    await writeFile(path, before)
  }
})
