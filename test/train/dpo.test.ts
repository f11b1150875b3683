/** @file Direct preference optimization against TRL, and as the trainer, the memory plan and evaluation see it. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { noGrad } from '../../src/autograd/tape.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { collateItems } from '../../src/data/batches.js'
import type { Example } from '../../src/data/examples.js'
import { listOf } from '../../src/data/items.js'
import { AdamW } from '../../src/train/adamw.js'
import { evaluate } from '../../src/train/evaluate-loss.js'
import type { TrainEvent } from '../../src/train/events.js'
import { addMeans, type Means } from '../../src/train/means.js'
import { dpo, type PreferencePair, preferencePair } from '../../src/train/objectives/dpo.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { planObjective } from '../../src/train/plan.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { trainObjective } from '../../src/train/train-lora.js'
import type { TrainingOptions } from '../../src/train/training-options.js'
import { testDevices } from '../support/devices.js'
import { readTensors, relativeDifference } from '../support/golden.js'
import { ofType, temporaryDirectory, trainedBytes, writeTinyModel } from '../support/tiny-model.js'

const GOLDEN = fileURLToPath(new URL('../golden', import.meta.url))

/** What TRL's DPOTrainer did; see test/golden/dpo.py. */
interface Expected {
  beta: number
  learningRate: number
  accumulation: number
  batches: { inputIds: number[][]; labels: number[][]; loss: number; figures: Record<string, number> }[]
}

const { beta, learningRate, accumulation, batches } = JSON.parse(
  readFileSync(`${GOLDEN}/dpo/dpo.json`, 'utf8'),
) as Expected

const EVALUATION = { batchSize: 8, signal: undefined, onProgress: undefined }

const opened: CausalLM[] = []
afterEach(() => {
  for (const model of opened.splice(0)) {
    model.dispose()
    model.device.close()
  }
})

async function load(open: () => CausalLM['device']): Promise<{ model: CausalLM; adapter: LoraAdapter }> {
  const model = await loadModel(`${GOLDEN}/cases/llama-all-linear`, { device: open(), dtype: 'float32' })
  opened.push(model)
  return { model, adapter: await LoraAdapter.load(model, `${GOLDEN}/cases/llama-all-linear/adapter`) }
}

/** TRL's first half are the chosen answers. */
function pairsOf({ inputIds, labels }: Expected['batches'][number]): PreferencePair[] {
  const half = inputIds.length / 2
  const example = (row: number): Example => {
    const learnt = Int32Array.from(labels[row] as number[])
    return {
      inputIds: Int32Array.from(inputIds[row] as number[]),
      labels: learnt,
      numSupervised: learnt.subarray(1).filter((label) => label !== -100).length,
      promptLength: learnt.findIndex((label) => label !== -100),
    }
  }
  return Array.from({ length: half }, (_, pair) => preferencePair(example(pair), example(half + pair)))
}

const windows = Array.from({ length: batches.length / accumulation }, (_, step) =>
  batches.slice(step * accumulation, (step + 1) * accumulation),
)

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  it('losses, rewards, gradients and weights of DPO are those of five steps of TRL', async () => {
    const expected = await readTensors(`${GOLDEN}/dpo/dpo.safetensors`)
    const { model, adapter } = await load(open)
    const objective = dpo({ beta })
    const parameters = adapter.parameters()
    const optimizer = new AdamW(parameters, { lr: learningRate, weightDecay: 0 })
    const trlName = (name: string): string => `base_model.model.${name.replace(/^base_model\.model\./, '')}`
    model.train()
    for (const [step, window] of windows.entries()) {
      const weight = window.reduce((sum, { inputIds }) => sum + inputIds.length / 2, 0)
      let means: Means = { loss: 0 }
      for (const batch of window) {
        const loss = objective.begin(model, collateItems(pairsOf(batch)), weight)(1)
        await loss.backward()
        means = addMeans(means, await loss.read())
        loss.dispose()
      }
      const mean = (of: (batch: Expected['batches'][number]) => number): number =>
        window.reduce((sum, batch) => sum + of(batch), 0) / window.length
      // TRL adds up log probabilities in float32: sums of up to 85, whose ulp is 8e-6.
      expect(Math.abs(means.loss - mean(({ loss }) => loss)), `loss of step ${step}`).toBeLessThan(2e-6)
      for (const [name, value] of Object.entries(means.figures ?? {})) {
        const figure = mean(({ figures }) => figures[name] as number)
        expect(Math.abs(value - figure), `${name} of step ${step}`).toBeLessThan(5e-6)
      }
      for (const [name, parameter] of parameters) {
        const gradient = expected.get(`step${step}.${trlName(name)}`)
        expect(relativeDifference(await parameter.grad.read(), gradient?.values ?? []), name).toBeLessThan(5e-5)
      }
      optimizer.step()
      optimizer.zeroGrad()
    }
    for (const [name, parameter] of parameters)
      expect(relativeDifference(await parameter.read(), expected.get(`last.${name}`)?.values ?? []), name).toBeLessThan(
        1e-4,
      )
  })

  it('evaluating DPO is a mean over pairs whatever the batches, and leaves adapter and mode as they were', async () => {
    const { model } = await load(open)
    const pairs = batches.flatMap(pairsOf)
    const before = await logProbsOf(model, pairs)
    const all = await evaluate(dpo({ beta }), model.train(), listOf(pairs), { ...EVALUATION, batchSize: 20 })
    const some = await evaluate(dpo({ beta }), model, listOf(pairs), { ...EVALUATION, batchSize: 3 })
    expect(model.training).toBe(true)
    expect(await logProbsOf(model.eval(), pairs)).toEqual(before)
    expect(all).not.toHaveProperty('perplexity')
    expect(some.tokens).toBe(all.tokens)
    expect(Math.abs(some.loss - all.loss)).toBeLessThan(1e-6)
    for (const [name, value] of Object.entries(all.figures ?? {}))
      expect(Math.abs((some.figures?.[name] as number) - value), name).toBeLessThan(1e-6)
  })

  it('a model that still is its reference has a loss of log 2 and no rewards', async () => {
    const model = await loadModel(`${GOLDEN}/cases/llama-all-linear`, { device: open(), dtype: 'float32' })
    opened.push(model)
    LoraAdapter.create(model, { r: 2 })
    const { loss, figures } = await evaluate(dpo({ beta }), model, listOf(batches.flatMap(pairsOf)), EVALUATION)
    expect(loss).toBeCloseTo(Math.LN2, 12)
    expect(Object.values(figures ?? {})).toEqual([0, 0, 0, 0])
  })
})

describe('a run of DPO', () => {
  const folder = temporaryDirectory()
  let model: string
  beforeAll(async () => {
    model = await writeTinyModel(folder)
  })

  /** Texts, and lists of messages in a file of their own would be another form. */
  const dataset = Array.from({ length: 11 }, (_, row) => ({
    prompt: `What is ${row}?`,
    chosen: ` a ${'good '.repeat(1 + (row % 4))}answer`,
    rejected: ` a ${'bad '.repeat(1 + (row % 3))}one ${row}`,
  }))
  const options = (changes: Partial<TrainRunOptions> & { training?: TrainingOptions } = {}) =>
    resolveTrainOptions({
      model,
      dataset,
      device: 'cpu',
      dtype: 'float32',
      lora: { r: 3 },
      ...changes,
      training: {
        maxSteps: 4,
        perDeviceTrainBatchSize: 2,
        gradientAccumulationSteps: 2,
        learningRate: 5e-3,
        loggingSteps: 2,
        evalSplit: 3,
        evalStrategy: 'steps',
        evalSteps: 4,
        ...changes.training,
      },
    })

  it('keeps pairs together and tells rewards in its events and its trainer state', async () => {
    const events: TrainEvent[] = []
    const outputDir = join(folder, 'whole')
    const onEvent = (event: TrainEvent): void => void events.push(event)
    const run = await trainObjective(dpo({ beta: 0.3 }), options({ outputDir, onEvent }))
    run.dispose()
    const names = ['rewards/accuracies', 'rewards/chosen', 'rewards/margins', 'rewards/rejected']
    const [start] = ofType(events, 'start')
    expect(start).toMatchObject({ trainRows: 8, evalRows: 3 })
    const steps = ofType(events, 'step')
    expect(steps[0]?.loss).toBeCloseTo(Math.LN2, 12)
    for (const event of [...steps, ...ofType(events, 'log'), ...ofType(events, 'evaluate')])
      expect(Object.keys(event.figures ?? {}).sort()).toEqual(names)
    const logs = ofType(events, 'log')
    expect(logs).toHaveLength(2)
    const mean = ((steps[2]?.figures?.['rewards/margins'] ?? 0) + (steps[3]?.figures?.['rewards/margins'] ?? 0)) / 2
    expect(logs[1]?.figures?.['rewards/margins']).toBeCloseTo(mean, 12)
    expect(logs[1]?.loss as number).toBeLessThan(logs[0]?.loss as number)
    const state = JSON.parse(readFileSync(join(outputDir, 'trainer_state.json'), 'utf8'))
    expect(state.log_history[0]).toMatchObject(logs[0]?.figures as object)
    expect(state.log_history[2]).toHaveProperty(['eval_rewards/margins'])
  })

  it.each<[string, Partial<TrainRunOptions>]>([
    ['float32', {}],
    ['bfloat16', { dtype: 'bfloat16' }],
    ['float16', { dtype: 'float16' }],
    ['gradient checkpointing', { training: { gradientCheckpointing: true } }],
    ['no accumulation', { training: { gradientAccumulationSteps: 1 } }],
    [
      'evaluation on more pairs than training',
      {
        training: { perDeviceTrainBatchSize: 1, evalSplit: 6, gradientCheckpointing: true, perDeviceEvalBatchSize: 6 },
      },
    ],
  ])('takes the memory of its plan: %s', async (_, changes) => {
    // Every sequence is longer than maxLength, and all of it is an answer, as a plan has it.
    const rows = Array.from({ length: 13 }, (_, row) => ({
      prompt: '',
      chosen: `${row} one two three `.repeat(40),
      rejected: `${row} three two one `.repeat(40),
    }))
    const pairs = changes.training?.perDeviceTrainBatchSize ?? 3
    const gradientCheckpointing = changes.training?.gradientCheckpointing === true
    const given = { evalSplit: 0, ...changes.training, gradientCheckpointing }
    const evalStrategy = given.evalSplit > 0 ? 'steps' : 'no'
    const training = {
      maxSteps: 2,
      evalSteps: 2,
      maxLength: 37,
      ...given,
      perDeviceTrainBatchSize: pairs,
      evalStrategy,
    } as const
    const resolved = options({ lora: { r: 3, loraDropout: 0.1 }, ...changes, dataset: rows, training })
    const run = await trainObjective(dpo(), resolved)
    const { peak } = run.model.device.memory()
    const { rawConfig } = run.model
    run.dispose()
    const plan = await planObjective(dpo(), resolved, undefined, rawConfig)
    expect(plan.peakTensors).toBe(peak)
  })

  it('goes on to the same bytes, and only with its own objective', async () => {
    const outputDir = join(folder, 'resumed')
    const training = { saveStrategy: 'steps', saveSteps: 1, evalStrategy: 'no', evalSplit: 0 } as const
    const whole = await trainObjective(dpo(), options({ outputDir, training }))
    whole.dispose()
    const resumeFromCheckpoint = join(outputDir, 'checkpoint-3')
    const resumed = await trainObjective(dpo(), options({ resumeFromCheckpoint, training }))
    await resumed.save(join(folder, 'saved'))
    resumed.dispose()
    expect(await trainedBytes(join(folder, 'saved'))).toBe(await trainedBytes(join(outputDir, 'checkpoint-4')))
    await expect(trainObjective(dpo({ beta: 0.2 }), options({ resumeFromCheckpoint, training }))).rejects.toThrow(
      'beta',
    )
  })

  it('refuses rows that are no pairs, naming them', async () => {
    const rows = [{ prompt: 'a', completion: ' b' }]
    await expect(trainObjective(dpo(), options({ dataset: rows }))).rejects.toThrow(
      '[dpo] expected rows with what was chosen and what was rejected, as { prompt, chosen, rejected }, got one of the form completion in row 1',
    )
  })
})

async function logProbsOf(model: CausalLM, pairs: readonly PreferencePair[]): Promise<Float32Array> {
  return await noGrad(() => model.logProbsRagged(collateItems(pairs))).read()
}

it('DPO of a model without an adapter is refused', async () => {
  const model = await loadModel(`${GOLDEN}/cases/llama-all-linear`, { device: testDevices()[0]?.open() })
  opened.push(model)
  const batch = collateItems(pairsOf(batches[0] as Expected['batches'][number]))
  expect(() => dpo().begin(model, batch, 2)).toThrow('[dpo] expected a model with an adapter')
})
