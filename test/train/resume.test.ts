/** @file Stopping and going on: the same bytes as a run that never stopped, and clear answers where that cannot be. */

import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import type { TrainingOptions } from '../../src/train/training-options.js'
import { sealCheckpoint } from '../support/run-checkpoint.js'
import {
  ofType,
  rejection,
  TINY_CONFIG,
  TINY_GPT2_CONFIG,
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
let whole: TinyRun
let totalSteps: number
let stepsPerEpoch: number

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  whole = await trainTiny({ model, outputDir: at('whole') }, at('whole', 'final'))
  totalSteps = whole.run.step
  stepsPerEpoch = totalSteps / 2
})

/** Trains in `outputDir` until the signal ends the run after `step` steps. */
function trainUntil(step: number, outputDir: string, options: Partial<TinyRunOptions> = {}): Promise<TinyRun> {
  const controller = new AbortController()
  return trainTiny(
    {
      model,
      outputDir,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'step' && event.step === step) controller.abort()
      },
      ...options,
    },
    `${outputDir}-stopped`,
  )
}

describe('a run that was stopped', () => {
  it('has several steps and a smaller last window in each epoch, or these tests would show little', () => {
    expect(totalSteps).toBeGreaterThanOrEqual(8)
    expect(Number.isInteger(stepsPerEpoch)).toBe(true)
  })

  it('a run that was stopped without a checkpoint begins at the first step, and says so once', async () => {
    const outputDir = at('nothing-to-resume')
    const { events, run } = await trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at('nothing-final'))
    expect(ofType(events, 'warning')).toEqual([
      { type: 'warning', message: `[resume] ${outputDir} holds no checkpoint: the run begins at its first step` },
    ])
    expect(ofType(events, 'start')[0]?.step).toBe(0)
    const again = await trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at('nothing-final'))
    expect(again.run.step).toBe(run.step)
    expect(ofType(again.events, 'warning')).toEqual([])
  })

  it('goes on to the same bytes from every step: inside an epoch, at its end, next to a checkpoint', async () => {
    for (let step = 1; step < totalSteps - 1; step++) {
      const outputDir = at(`stop-${step}`)
      const stopped = await trainUntil(step, outputDir)
      // The next step may be under way when the signal comes.
      expect(stopped.run.reason).toBe('aborted')
      expect([step, step + 1]).toContain(stopped.run.step)
      expect(await readdir(outputDir)).toContain(`checkpoint-${stopped.run.step}`)
      const resumed = await trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at(`stop-${step}-final`))
      expect(ofType(resumed.events, 'start')[0]?.step).toBe(stopped.run.step)
      expect(resumed.run.reason).toBe('completed')
      expect(resumed.run.step).toBe(totalSteps)
      expect(resumed.bytes === whole.bytes, `stopped after step ${step}`).toBe(true)
    }
  })

  it('goes on from any checkpoint that is named, to the same bytes', async () => {
    for (const name of (await readdir(at('whole'))).filter((entry) => entry.startsWith('checkpoint-'))) {
      const { bytes } = await trainTiny(
        { model, outputDir: at(`from-${name}`), resumeFromCheckpoint: at('whole', name) },
        at(`from-${name}-final`),
      )
      expect(bytes === whole.bytes, name).toBe(true)
    }
  })

  it('a run that was stopped on a model in NF4 goes on to the same bytes too, and not on a dense one', async () => {
    const quantized = { model, quantization: 'nf4', dtype: 'auto' } as const
    const reference = await trainTiny({ ...quantized, outputDir: at('nf4') }, at('nf4-final'))
    expect(reference.bytes).not.toBe(whole.bytes)
    const outputDir = at('nf4-stop')
    expect((await trainUntil(5, outputDir, quantized)).run.reason).toBe('aborted')
    expect(
      await rejection(trainTiny({ model, dtype: 'bfloat16', outputDir, resumeFromCheckpoint: true }, at('nf4-dense'))),
    ).toContain('these differ: quantization ("nf4" then, undefined now);')
    const resumed = await trainTiny({ ...quantized, outputDir, resumeFromCheckpoint: true }, at('nf4-resumed'))
    expect(resumed.bytes === reference.bytes).toBe(true)
  })

  it('a run that was stopped that trains biases and a rank of its own per layer goes on to the same bytes too', async () => {
    const biased = await writeTinyModel(at('biased'), { config: TINY_GPT2_CONFIG })
    const lora = {
      r: 4,
      targetModules: ['c_attn', 'c_fc'],
      rankPattern: { 'h.1.mlp.c_fc': 7 },
      bias: 'all' as const,
      initLoraWeights: 'gaussian' as const,
    }
    const reference = await trainTiny({ model: biased, lora, outputDir: at('biased-whole') }, at('biased-final'))
    const outputDir = at('biased-stopped')
    await trainUntil(3, outputDir, { model: biased, lora })
    const resumed = await trainTiny(
      { model: biased, lora, outputDir, resumeFromCheckpoint: true },
      at('biased-resumed'),
    )
    expect(resumed.bytes === reference.bytes).toBe(true)
  })

  it('has seen as many tokens, and steps at the same rates, as one that never stopped', async () => {
    const outputDir = at('figures')
    const stopped = await trainUntil(3, outputDir)
    const resumed = await trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at('figures-final'))
    const figures = (runs: TinyRun[]) =>
      runs
        .flatMap(({ events }) => ofType(events, 'step'))
        .map(({ step, epoch, loss, learningRate, gradNorm, numInputTokensSeen }) => ({
          step,
          epoch,
          loss,
          learningRate,
          gradNorm,
          numInputTokensSeen,
        }))
    expect(figures([stopped, resumed])).toEqual(figures([whole]))
  })

  it('stops while it evaluates, and leaves a checkpoint of the step, from which it evaluates again', async () => {
    const controller = new AbortController()
    const outputDir = at('stop-evaluating')
    const options = {
      model,
      outputDir,
      evalDataset: tinyRows(30, 8),
      training: { evalSteps: 2, perDeviceEvalBatchSize: 1, saveSteps: 2 },
    }
    // Every look at the clock is a second later, so that the evaluation tells how far it is.
    let clock = 0
    const now = vi.spyOn(performance, 'now').mockImplementation(() => {
      clock += 1000
      return clock
    })
    const { run, events } = await trainTiny(
      {
        ...options,
        signal: controller.signal,
        onEvent: (event) => {
          if (event.type === 'evaluating') controller.abort()
        },
      },
      at('stop-evaluating-final'),
    ).finally(() => now.mockRestore())
    expect(run.reason).toBe('aborted')
    expect(run.step).toBe(2)
    expect(ofType(events, 'evaluate')).toEqual([])
    expect(await withoutDocuments(outputDir)).toEqual(['checkpoint-2'])
    const resumed = await trainTiny({ ...options, resumeFromCheckpoint: true }, at('stop-evaluating-final'))
    expect(ofType(resumed.events, 'evaluate').map(({ step }) => step)).toEqual([2, 4, 6, 8])
  })

  it('a run that was complete already trains nothing again', async () => {
    const { run, bytes, events } = await trainTiny(
      { model, outputDir: at('whole'), resumeFromCheckpoint: true },
      at('again'),
    )
    expect(run.step).toBe(totalSteps)
    expect(run.reason).toBe('completed')
    expect(ofType(events, 'step')).toEqual([])
    expect(run.loss).toBe(undefined)
    // JSON has no NaN: every figure that is there is a number.
    expect(ofType(events, 'end')).toEqual([
      {
        type: 'end',
        reason: 'completed',
        step: totalSteps,
        totalSteps,
        epoch: expect.any(Number),
        seconds: expect.any(Number),
      },
    ])
    for (const event of events) expect(JSON.parse(JSON.stringify(event))).toEqual(event)
    expect(bytes).toBe(whole.bytes)
  })

  it('a run that was stopped before its first step rejects with the reason of the signal', async () => {
    const signal = AbortSignal.abort(new Error('no longer wanted'))
    expect(await rejection(trainTiny({ model, outputDir: at('never'), signal }, at('never-final')))).toBe(
      'no longer wanted',
    )
    expect(await readdir(at('never')).catch(() => [])).toEqual([])
  })
})

describe('checkpoints', () => {
  it('hold the adapter as PEFT has it, the moments, and where data and random numbers stand', async () => {
    const last = at('whole', `checkpoint-${totalSteps}`)
    expect((await readdir(last)).sort()).toEqual([
      'SHA256SUMS',
      'adapter_config.json',
      'adapter_model.safetensors',
      'lowrank_state.json',
      'optimizer.safetensors',
      'trainer_state.json',
    ])
    expect(await trainedBytes(last)).toBe(whole.bytes)
    const state = JSON.parse(await readFile(join(last, 'lowrank_state.json'), 'utf8'))
    expect(state).toMatchObject({ step: totalSteps, optimizerSteps: totalSteps, cursor: { epoch: 2, index: 0 } })
    expect(state.microStep).toBeGreaterThan(2 * totalSteps)
  })

  it('are kept up to saveTotalLimit, the latest ones', async () => {
    const outputDir = at('limited')
    const { events } = await trainTiny(
      { model, outputDir, training: { saveSteps: 1, saveTotalLimit: 2 } },
      at('limited-final'),
    )
    expect(ofType(events, 'save').filter(({ kind }) => kind === 'checkpoint')).toHaveLength(totalSteps)
    expect(await withoutDocuments(outputDir)).toEqual(
      [`checkpoint-${totalSteps - 1}`, `checkpoint-${totalSteps}`].sort(),
    )
  })

  it.each([
    ['epoch', () => [stepsPerEpoch, totalSteps]],
    ['no', () => []],
  ] as const)('are written with saveStrategy %s', async (saveStrategy, expected) => {
    const outputDir = at(`strategy-${saveStrategy}`)
    const { events } = await trainTiny(
      { model, outputDir, training: { saveStrategy } },
      at(`strategy-${saveStrategy}-final`),
    )
    const saved = ofType(events, 'save').filter(({ kind }) => kind === 'checkpoint')
    expect(saved.map(({ step }) => step)).toEqual(expected())
  })

  it('checkpoints of a killed run that were not complete are passed over and removed', async () => {
    const outputDir = at('leftover')
    await trainUntil(4, outputDir)
    // No process has this number: the largest is 2^22.
    const part = join(outputDir, '.checkpoint-99.lowrank-99999999-0123456789ab')
    await mkdir(part)
    await writeFile(join(part, 'adapter_model.safetensors'), 'half')
    const { bytes } = await trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at('leftover-final'))
    expect(bytes).toBe(whole.bytes)
    expect((await readdir(outputDir)).filter((name) => name.startsWith('.'))).toEqual([])
  })
})

describe('going on is refused', () => {
  const resumeWith = (options: Partial<TinyRunOptions>, training: TrainingOptions = {}) =>
    rejection(
      trainTiny({ model, outputDir: at('whole'), resumeFromCheckpoint: true, ...options, training }, at('unused')),
    )

  it('going on is refused with other rows', async () => {
    const dataset = tinyRows(40)
    dataset[17] = { prompt: 'one', completion: ' two' }
    expect(await resumeWith({ dataset })).toMatch(
      /^\[resume\] expected the run of .*checkpoint-\d+\/lowrank_state.json to go on unchanged, but these differ: dataset \(other rows, or other tokens of them\); start anew in another outputDir, or restore them$/,
    )
  })

  it('going on is refused with other options that change the batches, naming all of them', async () => {
    expect(await resumeWith({}, { packing: false, gradientAccumulationSteps: 2, seed: 7 })).toContain(
      'these differ: gradientAccumulationSteps (3 then, 2 now), packing (true then, false now), seed (42 then, 7 now);',
    )
  })

  it('going on is refused with another adapter or in another dtype', async () => {
    expect(await resumeWith({ lora: { r: 8, loraAlpha: 8, loraDropout: 0.05, targetModules: ['q_proj'] } })).toContain(
      'these differ: lora.r (4 then, 8 now), lora.targetModules ("all-linear" then, ["q_proj"] now);',
    )
    expect(await resumeWith({ dtype: 'bfloat16' })).toContain('these differ: dtype ("float32" then, "bfloat16" now);')
  })

  it('going on is refused with another model', async () => {
    const other = await writeTinyModel(at('other-model'), { config: { ...TINY_CONFIG, rope_theta: 5000 } })
    expect(await resumeWith({ model: other })).toContain('these differ: model (another config.json); ')
  })

  it('going on is refused from a directory that is no checkpoint', async () => {
    expect(await resumeWith({ outputDir: at('fresh'), resumeFromCheckpoint: model })).toMatch(
      /^\[resume\] expected a checkpoint of a training run in .*model, but it has no lowrank_state.json; give the path of a checkpoint-N$/,
    )
  })

  it('going on is refused from a damaged checkpoint, naming the file', async () => {
    const copy = async (name: string) => {
      await rm(at('damaged'), { recursive: true, force: true })
      await cp(at('whole', 'checkpoint-2'), at('damaged'), { recursive: true })
      return join(at('damaged'), name)
    }
    const resume = () => resumeWith({ outputDir: at('fresh'), resumeFromCheckpoint: at('damaged') })
    const state = await copy('lowrank_state.json')
    const text = await readFile(state, 'utf8')
    const write = async (content: string) => {
      await writeFile(state, content)
      await sealCheckpoint(at('damaged'))
    }
    await write(text.slice(0, 40))
    expect(await resume()).toMatch(/^\[resume\] .*lowrank_state.json .*the file is damaged/)
    await write(text.replace('"step": 2', '"step": "two"'))
    expect(await resume()).toBe(
      `[resume] expected a whole number >= 0 for step, got "two" in ${state}; go on from an earlier checkpoint`,
    )
    await write(text.replace('"identity": {', '"identity": { "constructor": 1,'))
    expect(await resume()).toContain(
      `expected the run of ${state} to go on unchanged, but these differ: constructor (1 then, undefined now);`,
    )
    const moments = await copy('optimizer.safetensors')
    await writeFile(moments, (await readFile(moments)).subarray(0, -8))
    await sealCheckpoint(at('damaged'))
    expect(await resume()).toContain('optimizer.safetensors')
    await rm(await copy('adapter_model.safetensors'))
    await sealCheckpoint(at('damaged'))
    expect(await resume()).toContain('adapter_model.safetensors')
  })
})

describe('checkpoints of two runs are not mixed', () => {
  it('checkpoints of two runs are not mixed by a fresh run into the directory of another', async () => {
    expect(await rejection(trainTiny({ model, outputDir: at('whole') }, at('unused')))).toBe(
      `[train] expected an outputDir without checkpoints of another run, but ${at('whole', `checkpoint-${totalSteps}`)} exists; ` +
        'set resumeFromCheckpoint: true (--resume) to go on from it, or choose another outputDir (--output), or remove it',
    )
  })

  it('checkpoints of two runs are not mixed by going back to an earlier checkpoint while later ones are there', async () => {
    const resumeFromCheckpoint = at('whole', 'checkpoint-2')
    expect(await rejection(trainTiny({ model, outputDir: at('whole'), resumeFromCheckpoint }, at('unused')))).toMatch(
      /checkpoint-\d+ exists; remove the checkpoints after checkpoint-2, or choose another outputDir$/,
    )
  })
})
