/** @file `lowrank plan`: what it prints, and how it answers mistakes. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import type { TrainingPlan } from '../../src/train/plan.js'
import { TINY_CONFIG, temporaryDirectory } from '../support/tiny-model.js'
import { lowrank } from './run-cli.js'

const folder = temporaryDirectory()
const config = join(folder, 'run.yaml')

beforeAll(async () => {
  await writeFile(join(folder, 'config.json'), JSON.stringify(TINY_CONFIG))
  await writeFile(config, 'model: elsewhere\ndtype: float32\ntraining: { max_length: 200 }\n')
})

describe('lowrank plan', () => {
  it('shows what takes how much and what else there is, from config.json alone', async () => {
    const { code, stdout, stderr } = await lowrank(['plan', config, '--model', folder, '--set', 'lora.r=8'])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(
      /^Training [\d,]+ of [\d,]+ parameters in float32, 4 x 200 tokens, gradient checkpointing off$/,
    )
    const names = lines.slice(1, 12).map((line) => line.slice(0, 60).trim())
    expect(names).toEqual([
      'weights',
      'adapter',
      'gradients',
      'optimizer',
      'activations and workspace',
      'gaps between these',
      'Node.js itself',
      'peak',
      'while loading',
      'available',
      '',
    ])
    expect(lines.slice(1, 11).every((line) => / \d+(\.\d)? ([KMG]i)?B$/.test(line))).toBe(true)
    expect(stdout).toMatch(
      /\nPeak with another setting\n {2}perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 16 +[\d.]+ MiB\n {2}gradientCheckpointing: true +[\d.]+ MiB\n {2}gradientCheckpointing: full +[\d.]+ MiB\n {2}dtype: bfloat16 +[\d.]+ MiB\n {2}quantization: nf4 +[\d.]+ MiB\n\nIt fits\n$/,
    )
  })

  it('writes one JSON object with --json, and holds the run to --memory', async () => {
    const { code, stdout } = await lowrank(['plan', '--model', folder, '--memory', '90MiB', '--json'])
    expect(code).toBe(0)
    const plan = JSON.parse(stdout) as TrainingPlan
    expect(plan).toMatchObject({ memory: 90 * 2 ** 20, fits: false, settings: { gradientCheckpointing: 'full' } })
    expect(plan.peakResident).toBe(plan.residentTensors + plan.process)
  })

  it('says that the model has fewer positions than maxLength where that was asked for', async () => {
    const firstLine = async (...more: string[]): Promise<string | undefined> =>
      (await lowrank(['plan', '--model', folder, '--dtype', 'float32', ...more])).stdout.split('\n')[0]
    const positions = TINY_CONFIG.max_position_embeddings
    expect(await firstLine('--max-length', '100000')).toContain(
      `, 4 x ${positions} tokens (the longest that the model takes), gradient`,
    )
    expect(await firstLine()).toContain(`, 4 x ${positions} tokens, gradient`)
  })

  it('is about the device that --device names, over what the file says', async () => {
    const emulator = fileURLToPath(new URL('../../build/Release/lowrank-emulator.node', import.meta.url))
    const env = { LOWRANK_ADDON: emulator }
    const args = ['plan', config, '--model', folder, '--set', 'device=cpu', '--device', 'cuda-emulator']
    const { code, stdout, stderr } = await lowrank(args, { env })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/\n {2}peak on cuda-emulator +\d/)
    expect(stdout).not.toContain('Node.js itself')
    const answers = await lowrank([...args, '--generate', '--json', '--prompt-tokens', '3', '--max-new-tokens', '2'], {
      env,
    })
    expect(JSON.parse(answers.stdout)).toMatchObject({ device: 'cuda-emulator', process: 0 })
    const refused = await lowrank(['plan', '--model', folder, '--device', 'gpu'])
    expect(refused.stderr).toContain("[train] expected 'cpu', 'cuda', 'cuda:N' or 'auto' for device, got \"gpu\"")
    expect(refused.code).toBe(2)
  })

  it.each<[string, string[], string]>([
    ['no model', ['plan'], '[train] expected the directory, .gguf file or Hub id of a model for model, got nothing'],
    [
      'a flag of training with --generate',
      ['plan', '--model', folder, '--generate', '--lr', '1', '--max-length', '9', '--set', 'lora.r=8'],
      '[plan] expected no flags of training with --generate, got --lr, --max-length, --set lora.r; --prompt-tokens and',
    ],
    ['an unknown option', ['plan', '--model', folder, '--set', 'lora.rank=8'], 'unknown option "rank"'],
    [
      'an amount without a unit that exists',
      ['plan', '--memory', '8 cups'],
      'expected an amount of memory such as 8GiB for --memory, got "8 cups"',
    ],
    [
      'an amount whose unit was forgotten',
      ['plan', '--memory', '8'],
      'expected an amount of memory such as 8GiB for --memory, got "8"',
    ],
  ])('%s is a mistake of usage', async (_, args, message) => {
    const { code, stderr } = await lowrank(args)
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })
})
