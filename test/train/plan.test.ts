/** @file planTraining: what it says against what training then takes, and what it advises. */

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { createModel } from '../../src/causal-lm/create-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import type { TrainEvent } from '../../src/train/events.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { planTraining } from '../../src/train/plan.js'
import { trainLora } from '../../src/train/train-lora.js'
import { GAP_BYTES } from '../native/raw.js'
import {
  ofType,
  rejection,
  TINY_CONFIG,
  TINY_GPT2_CONFIG,
  temporaryDirectory,
  writeTinyModel,
} from '../support/tiny-model.js'

const folder = temporaryDirectory()
const model = await writeTinyModel(join(folder, 'model'))
const biased = await writeTinyModel(join(folder, 'biased'), { config: TINY_GPT2_CONFIG })

/** Every row is longer than any maxLength here, so that all rows are equally long. */
const dataset = Array.from({ length: 13 }, (_, i) => ({ text: `${i} one two three `.repeat(200) }))

const options = (changes: Partial<TrainRunOptions>): TrainRunOptions => ({
  model,
  dataset,
  dtype: 'float32',
  lora: { r: 3, loraDropout: 0.1 },
  ...changes,
  training: {
    maxSteps: 3,
    maxLength: 37,
    perDeviceTrainBatchSize: 3,
    gradientAccumulationSteps: 2,
    ...changes.training,
  },
})

describe('the planned peak is that of the run', () => {
  it.each<[string, Partial<TrainRunOptions>]>([
    ['LoRA with dropout', {}],
    ['bfloat16', { dtype: 'bfloat16' }],
    ['float16', { dtype: 'float16' }],
    ['NF4', { quantization: 'nf4', dtype: 'auto' }],
    ['gradient checkpointing', { training: { gradientCheckpointing: true } }],
    ['full gradient checkpointing', { training: { gradientCheckpointing: 'full' } }],
    ['an output head that is trained too', { lora: { r: 3, modulesToSave: ['lm_head'] } }],
    [
      'ranks by pattern and biases of the base',
      { model: biased, lora: { r: 3, targetModules: ['c_attn', 'c_fc'], rankPattern: { c_fc: 11 }, bias: 'all' } },
    ],
    ['full training', { method: 'full', lora: undefined }],
    ['no accumulation', { training: { gradientAccumulationSteps: 1 } }],
    [
      'full training without accumulation',
      { method: 'full', lora: undefined, training: { gradientAccumulationSteps: 1 } },
    ],
    ['batches of 111 tokens', { training: { maxTokensPerBatch: 111 } }],
    ['rows grouped by length', { training: { groupByLength: true, dataloaderDropLast: true } }],
    ['one long row', { training: { perDeviceTrainBatchSize: 1, maxLength: 201 } }],
    [
      'evaluation on more rows than training',
      {
        training: { perDeviceTrainBatchSize: 1, evalSplit: 6, gradientCheckpointing: true, perDeviceEvalBatchSize: 6 },
      },
    ],
  ])('%s', async (_, changes) => {
    const run = await trainLora(options(changes))
    const { peak, touched } = run.model.device.memory()
    run.dispose()
    const plan = await planTraining(options(changes))
    expect(plan.peakTensors).toBe(peak)
    expect(Object.values(plan.tensors).reduce((sum, bytes) => sum + bytes)).toBe(peak)
    // Gaps between blocks, where there are any, are touched or not as the order of loading has it.
    expect(Math.abs(plan.residentTensors - touched)).toBeLessThanOrEqual(200 * GAP_BYTES)
    expect(Math.min(...Object.values(plan.tensors))).toBeGreaterThanOrEqual(0)
  })
})

it('the planned resident memory is within 10 % of that of a process', async () => {
  const config = { ...TINY_CONFIG, vocab_size: 16384, hidden_size: 512, intermediate_size: 1536, num_hidden_layers: 8 }
  const [rows, length] = [2, 500]
  const child = fileURLToPath(new URL('./memory-child.mjs', import.meta.url))
  const directory = join(folder, 'larger')
  const source = createModel(config)
  await saveModel(source, directory)
  source.device.close()
  const work = JSON.stringify({ directory, lora: { r: 16 }, rows, length })
  const { stdout } = await promisify(execFile)(process.execPath, [child, work])
  const plan = await planTraining({
    model: config,
    dtype: 'float32',
    lora: { r: 16 },
    training: { perDeviceTrainBatchSize: rows, maxLength: length },
  })
  // The engine's part is exact; the rest is Node, whose heap depends on when it collects: 70 to 120 MiB of some 500.
  const sanitizer = GAP_BYTES > 0 ? 0.5 : 0
  expect(Math.abs(plan.peakResident / Number(stdout) - 1)).toBeLessThan(0.1 + sanitizer)
})

describe('a plan', () => {
  it('needs no weights, and knows what is trained', async () => {
    const plan = await planTraining({ model: TINY_CONFIG, lora: { r: 4 }, dtype: 'float32' })
    const layer = 4 * (2 * (48 + 48) + 2 * (48 + 24) + 3 * (48 + 88))
    expect(plan.trainableParameters).toBe(2 * layer)
    expect(plan.tensors).toMatchObject({ gradients: 8 * layer, optimizer: 16 * layer })
    // The model has 512 positions, fewer than the default maxLength.
    expect(plan.settings).toEqual({
      method: 'lora',
      dtype: 'float32',
      perDeviceTrainBatchSize: 4,
      gradientAccumulationSteps: 4,
      maxLength: 512,
      gradientCheckpointing: false,
      offloadEmbedding: false,
    })
    expect(plan.fits).toBe(true)
    expect(plan.remedy).toBeUndefined()
  })

  it('counts ranks by pattern and trained biases, which are there once', async () => {
    const lora = {
      r: 4,
      targetModules: ['c_attn', 'mlp.c_proj'],
      rankPattern: { 'h.0.attn.c_attn': 9 },
      excludeModules: ['h.1.mlp.c_proj'],
    }
    const options = { model: TINY_GPT2_CONFIG, dtype: 'float32' } as const
    const factors = 9 * (48 + 144) + 4 * (48 + 144) + 4 * (192 + 48)
    const without = await planTraining({ ...options, lora })
    expect(without.trainableParameters).toBe(factors)
    const base = without.totalParameters - factors
    // Per layer c_attn, c_proj, c_fc, c_proj and two norms; and the last norm.
    const biases = 2 * (144 + 48 + 192 + 48 + 2 * 48) + 48
    const all = await planTraining({ ...options, lora: { ...lora, bias: 'all' } })
    expect(all.trainableParameters).toBe(factors + biases)
    expect(all.totalParameters).toBe(base + factors)
    expect(all.tensors.trained - without.tensors.trained).toBeGreaterThanOrEqual(4 * biases)
    const adapted = await planTraining({ ...options, lora: { ...lora, bias: 'lora_only' } })
    expect(adapted.trainableParameters).toBe(factors + 144 + 144 + 48)
  })

  it('says what other settings would take', async () => {
    const plan = await planTraining({ model: TINY_CONFIG, dtype: 'float32', training: { maxLength: 300 } })
    expect(plan.alternatives.map(({ change }) => change)).toEqual([
      { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 16 },
      { gradientCheckpointing: true },
      { gradientCheckpointing: 'full' },
      { dtype: 'bfloat16' },
      { quantization: 'nf4' },
      { maxLength: 150 },
    ])
    for (const { peakTensors } of plan.alternatives) expect(peakTensors).toBeLessThan(plan.peakTensors)
  })

  it('a plan of a checkpoint in NF4 counts 4 bits, computes in bfloat16, and has no use for the switch', async () => {
    const quantization_config = { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' }
    const stored = await planTraining({ model: { ...TINY_CONFIG, quantization_config } })
    expect(stored.settings).toMatchObject({ quantization: 'nf4', dtype: 'bfloat16' })
    expect(stored.tensors).toEqual((await planTraining({ model: TINY_CONFIG, quantization: 'nf4' })).tensors)
    expect(stored.alternatives.map(({ change }) => change)).not.toContainEqual({ quantization: 'nf4' })
    const dense = await planTraining({ model: TINY_CONFIG, dtype: 'bfloat16' })
    // Embedding and head, more than half of this model, stay as they are.
    expect(stored.tensors.weights).toBeLessThan(0.8 * dense.tensors.weights)
  })

  it('turns checkpointing on when it is left to the plan and the run would not fit otherwise', async () => {
    const roomy = await planTraining({ model: TINY_CONFIG })
    const memory = roomy.peakResident - 1
    const tight = await planTraining({ model: TINY_CONFIG }, { memory })
    expect([roomy.settings.gradientCheckpointing, tight.settings.gradientCheckpointing]).toEqual([false, true])
    expect(tight.fits).toBe(true)
    const tighter = await planTraining({ model: TINY_CONFIG }, { memory: tight.peakResident - 1 })
    expect(tighter.settings.gradientCheckpointing).toBe('full')
    expect(tighter.peakTensors).toBeLessThan(tight.peakTensors)
    const refused = await planTraining({ model: TINY_CONFIG, training: { gradientCheckpointing: false } }, { memory })
    expect(refused.fits).toBe(false)
    expect(refused.remedy?.change).toEqual({ perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 16 })
  })

  it('advises several switches when one is not enough, and none when nothing helps', async () => {
    const given = { model: TINY_CONFIG, dtype: 'float32', training: { gradientCheckpointing: false } } as const
    const { alternatives } = await planTraining(given)
    const memory = Math.min(...alternatives.map(({ peakResident }) => peakResident)) - 2 ** 18
    const { remedy } = await planTraining(given, { memory })
    expect(Object.keys(remedy?.change ?? {})).toEqual([
      'perDeviceTrainBatchSize',
      'gradientAccumulationSteps',
      'gradientCheckpointing',
    ])
    expect(remedy?.peakResident).toBeLessThanOrEqual(memory)
    expect((await planTraining(given, { memory: 1e6 })).remedy).toBeUndefined()
  })

  it('refuses what trainLora refuses', async () => {
    expect(await rejection(planTraining({ model: TINY_CONFIG, lora: { r: -1 } }))).toContain('[lora] expected')
    expect(await rejection(planTraining({ model, training: { maxLenght: 4 } as object }))).toContain(
      'did you mean "maxLength"?',
    )
    expect(await rejection(planTraining({ model: { ...TINY_CONFIG, hidden_size: 47 } }))).toContain(
      'num_attention_heads',
    )
  })
})

describe('training', async () => {
  // Large enough for the pages that the engine asks for not to matter.
  const deep = await writeTinyModel(join(folder, 'deep'), { config: { ...TINY_CONFIG, num_hidden_layers: 8 } })
  const large = (changes: Partial<TrainRunOptions>): TrainRunOptions =>
    options({
      model: deep,
      ...changes,
      training: {
        perDeviceTrainBatchSize: 12,
        gradientAccumulationSteps: 1,
        maxLength: 500,
        maxSteps: 3,
        ...changes.training,
      },
    })

  it('checkpoints when the plan says so, and then stays within the budget', async () => {
    const { peakTensors, alternatives } = await planTraining(large({}))
    const checkpointed = alternatives.find(({ change }) => change.gradientCheckpointing)?.peakTensors as number
    expect(peakTensors).toBeGreaterThan(1.5 * checkpointed)
    const events: TrainEvent[] = []
    const onEvent = (event: TrainEvent) => void events.push(event)
    const run = await trainLora(large({ memoryBudget: peakTensors - 1, onEvent }))
    expect(run.model.device.memory().peak).toBe(checkpointed)
    expect(ofType(events, 'start')[0]).toMatchObject({ gradientCheckpointing: true })
    run.dispose()
  })

  it('training that does not fit says so before the first step, and what would fit', async () => {
    const { peakTensors } = await planTraining(large({ training: { gradientCheckpointing: true } }))
    expect(await rejection(trainLora(large({ memoryBudget: peakTensors / 2 })))).toMatch(
      /^\[train\] expected a run that fits the memory budget of \d+\.\d MiB, but its tensors take \d+\.\d MiB; it would fit with perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 12 \(\d+\.\d MiB for the whole process\)\. `lowrank plan` shows what takes how much$/,
    )
  })
})
