/**
 * @file Short trainings on the emulated GPU beside the same on the CPU: every kernel of a step, forward, backward and
 * update, over several steps.
 */

import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { DeviceName } from '../../src/tensor/device.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { isThorough } from '../support/long.js'
import { ofType, TINY_CONFIG, temporaryDirectory, tinyRows, trainTiny, writeTinyModel } from '../support/tiny-model.js'

const directory = temporaryDirectory()
let model: string

beforeAll(async () => {
  // Wide enough for whole tiles of tensor cores, and for blocks of 64 weights.
  model = await writeTinyModel(join(directory, 'model'), { config: { ...TINY_CONFIG, hidden_size: 64 } })
})

/**
 * How far losses may lie apart: float32 sums in another order, which Adam feeds back, and with 16 bits results that
 * fall to the other side of a rounding, 2^-9 of bfloat16's values and 2^-12 of float16's.
 */
const ALL_CASES: readonly [string, Partial<TrainRunOptions>, number][] = [
  ['LoRA in float32 with dropout', { lora: { r: 8, loraAlpha: 16, loraDropout: 0.05 }, dtype: 'float32' }, 1e-4],
  ['QLoRA in bfloat16', { lora: { r: 8, loraAlpha: 16 }, quantization: 'nf4', dtype: 'bfloat16' }, 1e-2],
  ['LoRA in float16 with loss scaling', { lora: { r: 8, loraAlpha: 16 }, dtype: 'float16' }, 2e-3],
  ['every weight in float32', { method: 'full', dtype: 'float32' }, 1e-4],
]

// Those of one step's kernels in 16 bits and in 32 stand for all.
const CASES = isThorough ? ALL_CASES : ALL_CASES.slice(1, 3)

describe.each(CASES)('%s', (name, options, apart) => {
  it('learns as on the CPU', async () => {
    const losses = async (device: string): Promise<number[]> => {
      const { events } = await trainTiny(
        {
          model,
          dataset: tinyRows(24, 12),
          device: device as DeviceName,
          ...options,
          training: { maxSteps: 8, perDeviceTrainBatchSize: 3, gradientAccumulationSteps: 2, learningRate: 1e-2 },
        },
        join(directory, `${name}-${device}`),
      )
      return ofType(events, 'step').map(({ loss }) => loss)
    }
    const [emulated, expected] = [await losses('cuda-emulator'), await losses('cpu')]
    expect(emulated).toHaveLength(8)
    for (const [i, loss] of emulated.entries())
      expect(Math.abs(loss / (expected[i] as number) - 1), `step ${i + 1}`).toBeLessThan(apart)
    expect((emulated.at(-1) as number) / (emulated[0] as number)).toBeLessThan(0.95)
  })
})
