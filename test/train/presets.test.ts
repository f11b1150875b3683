/** @file Presets: recipes below what is given, the figures that they are known by, and what is said of them. */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type PlanRunOptions, planTraining, type TrainingPlan } from '../../src/train/plan.js'
import { PRESETS, type PresetName } from '../../src/train/presets.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { lowrank } from '../cli/run-cli.js'
import { rejection, TINY_CONFIG, temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'

const minimal = { model: 'a/model', dataset: 'rows.jsonl' }
const parse = (options: object) => resolveTrainOptions({ ...minimal, ...options })
const messageOf = (options: object): Promise<string> => rejection((async () => parse(options))())

/** The shapes of Mistral-7B-v0.1. */
const MISTRAL_7B = {
  ...TINY_CONFIG,
  model_type: 'mistral',
  sliding_window: 4096,
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 32768,
}

describe('a preset', () => {
  it.each(Object.keys(PRESETS) as PresetName[])('%s sets options that exist, to values that are allowed', (preset) => {
    const { description, options } = PRESETS[preset]
    expect(description).toMatch(/^[^\n]{20,130}$/)
    const resolved = parse({ preset })
    const { training } = options
    expect(resolved.training).toMatchObject(training)
    if ('lora' in options) expect(resolved.lora).toMatchObject(options.lora)
  })

  it('counts below what is given, in any spelling', () => {
    const { lora, training, quantization } = parse({
      preset: 'qlora-attention',
      lora: { r: 8, lora_dropout: 0 },
      training: { num_train_epochs: 1, per_device_train_batch_size: 2 },
    })
    expect(quantization).toBe('nf4')
    expect(lora).toMatchObject({
      r: 8,
      loraAlpha: 32,
      loraDropout: 0,
      targetModules: PRESETS['qlora-attention'].options.lora.targetModules,
    })
    expect(training).toMatchObject({
      numTrainEpochs: 1,
      perDeviceTrainBatchSize: 2,
      gradientAccumulationSteps: 4,
      learningRate: 2e-4,
      lrSchedulerType: 'cosine',
      warmupRatio: 0,
      loggingSteps: 10,
      saveStrategy: 'epoch',
      maxLength: 2048,
    })
  })

  it('gives way to options that take the place of its own', () => {
    expect(parse({ preset: 'qlora-attention', training: { warmupSteps: 7 } }).training.warmupSteps).toBe(7)
    expect(parse({ preset: 'qlora-attention' }).dtype).toBe('float16')
    expect(parse({ preset: 'qlora-attention', dtype: 'float32' }).dtype).toBe('float32')
    expect(parse({ preset: 'qlora-attention', training: { bf16: true } }).dtype).toBe('bfloat16')
    expect(parse({ preset: 'qlora-attention', training: { fp16: false } }).dtype).toBe('auto')
    expect(parse({ preset: 'gpt2-full' })).toMatchObject({ method: 'full', lora: undefined })
  })

  it('a preset for adapters is no recipe for training every weight, nor the other way round', async () => {
    expect(await messageOf({ preset: 'gpt2-full', method: 'lora' })).toContain(
      "expected method 'full' with this preset",
    )
    expect(await messageOf({ preset: 'qlora-attention', method: 'full' })).toContain(
      "[train] expected method 'lora' with this preset",
    )
  })

  it.each([
    [
      'qlora-atention',
      '[train] unknown preset "qlora-atention"; did you mean "qlora-attention"? there are: qlora-all-linear,',
    ],
    [
      'fast',
      '[train] unknown preset "fast"; there are: qlora-all-linear, qlora-all-linear-small, qlora-attention, gpt2-full',
    ],
    [7, '[train] unknown preset 7; there are: '],
  ])('a preset called %j does not exist', async (preset, message) => {
    expect(await messageOf({ preset })).toContain(message)
  })

  it('leaves what is no object to the check that names it', async () => {
    expect(await messageOf({ preset: 'qlora-attention', lora: 'r8' })).toBe(
      '[train] expected an object of LoRA options for lora, got "r8"',
    )
  })
})

describe('planTraining with a preset', () => {
  it('qlora-attention trains 13,631,488 parameters of a model with the shapes of Mistral-7B-v0.1', async () => {
    const { trainableParameters, settings } = await planTraining(
      { model: MISTRAL_7B, preset: 'qlora-attention', training: { maxLength: 64 } },
      { memory: 2 ** 36 },
    )
    // 32 layers of r 16 on q and o, 4096 to 4096, and on k and v, 4096 to 1024.
    expect(trainableParameters).toBe(32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024)))
    expect(trainableParameters).toBe(13_631_488)
    expect(settings).toMatchObject({ quantization: 'nf4', dtype: 'float16', gradientAccumulationSteps: 4 })
  })

  it.each<[PresetName, number]>([
    ['qlora-all-linear', 16],
    ['qlora-all-linear-small', 8],
  ])('%s has rank %i on all seven projections', async (preset, r) => {
    const options: PlanRunOptions = { model: TINY_CONFIG, preset }
    const { trainableParameters } = await planTraining(options)
    const [d, f, kv] = [48, 88, 24]
    expect(trainableParameters).toBe(2 * r * (2 * 2 * d + 2 * (d + kv) + 3 * (d + f)))
  })
})

describe('--preset', () => {
  const folder = temporaryDirectory()

  it('--preset of lowrank plan says which recipe it is and what is different here', async () => {
    await writeFile(join(folder, 'config.json'), JSON.stringify(TINY_CONFIG))
    const args = ['plan', '--model', folder, '--preset', 'qlora-attention']
    const { code, stdout, stderr } = await lowrank(args)
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const { description, differences } = PRESETS['qlora-attention']
    expect(stdout.split('\n').slice(0, 2 + differences.length)).toEqual([
      `Preset qlora-attention: ${description}`,
      ...differences.map((line) => `  here: ${line}`),
      expect.stringMatching(/^Training 10,752 of [\d,]+ parameters in float16 on nf4, 4 x 512 tokens/),
    ])
    const plan = JSON.parse((await lowrank([...args, '--json'])).stdout) as TrainingPlan
    expect(plan).toMatchObject({
      preset: { name: 'qlora-attention', description, differences },
      trainableParameters: 10_752,
    })
  })

  it('--preset of lowrank train counts over the file, and the file over the recipe', async () => {
    const model = join(folder, 'model')
    await mkdir(model)
    await writeTinyModel(model)
    const rows = tinyRows(6).map((row) => JSON.stringify(row))
    await writeFile(join(folder, 'rows.jsonl'), rows.join('\n'))
    const config = join(folder, 'run.yaml')
    const written = { model, dataset: join(folder, 'rows.jsonl'), outputDir: join(folder, 'out'), lora: { r: 2 } }
    await writeFile(config, JSON.stringify({ ...written, preset: 'gpt2-full', training: { maxSteps: 1 } }))
    const { code, stdout, stderr } = await lowrank(['train', config, '--preset', 'qlora-all-linear-small', '--json'])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines[0]).toMatchObject({ type: 'preset', name: 'qlora-all-linear-small' })
    expect(lines.find(({ type }) => type === 'start')).toMatchObject({
      quantization: 'nf4',
      totalSteps: 1,
      trainableParameters: 2 * 2 * 744,
    })
    const people = await lowrank(['train', config, '--preset', 'qlora', '--json'])
    expect(people.code).toBe(2)
    expect(JSON.parse(people.stdout)).toMatchObject({ type: 'error', exitCode: 2 })
    expect(people.stderr).toContain('[train] unknown preset "qlora"')
  })
})
