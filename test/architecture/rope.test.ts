/**
 * @file Rope scalings: what configs say, and the tables that follow. What models compute with them is compared in
 * golden.test.ts.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigReader, type RawConfig } from '../../src/architecture/config.js'
import { longestSequence, type RopeConfig, readRopeConfig } from '../../src/architecture/rope.js'
import { RopeTable } from '../../src/architecture/rope-table.js'
import type { Device } from '../../src/tensor/device.js'
import type { Tensor } from '../../src/tensor/tensor.js'
import { type Matrix, matrix } from '../reference/matrix.js'
import { testDevices } from '../support/devices.js'
import { expectClose, expectExact, readMatrix } from '../support/values.js'

const THETA = 10000
const MAXIMUM = 128

function read(raw: RawConfig): RopeConfig {
  const where = 'dir/config.json'
  return readRopeConfig(new ConfigReader(raw, where), where, MAXIMUM)
}
const readToday = (rope: RawConfig): RopeConfig => read({ rope_parameters: { rope_theta: THETA, ...rope } })

const LLAMA3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 }
const LLAMA3_READ = {
  type: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 32,
}
test.each<[string, RawConfig, RawConfig, unknown]>([
  ['default', { rope_parameters: { rope_type: 'default', rope_theta: 5e5 } }, { rope_theta: 5e5 }, { type: 'default' }],
  [
    'linear',
    { rope_parameters: { rope_type: 'linear', factor: 2.5, rope_theta: 5e5 } },
    { rope_scaling: { type: 'linear', factor: 2.5 }, rope_theta: 5e5 },
    { type: 'linear', factor: 2.5 },
  ],
  [
    'llama3',
    { rope_parameters: { rope_type: 'llama3', ...LLAMA3, rope_theta: 5e5 } },
    { rope_scaling: { rope_type: 'llama3', ...LLAMA3 }, rope_theta: 5e5 },
    LLAMA3_READ,
  ],
  [
    'dynamic',
    { rope_parameters: { rope_type: 'dynamic', factor: 2, rope_theta: 5e5 } },
    { rope_scaling: { type: 'dynamic', factor: 2 }, rope_theta: 5e5 },
    { type: 'dynamic', factor: 2, originalMaxPositionEmbeddings: MAXIMUM },
  ],
  [
    'yarn',
    { rope_parameters: { rope_type: 'yarn', factor: 1, rope_theta: 5e5 } },
    { rope_scaling: { type: 'yarn', factor: 1 }, rope_theta: 5e5 },
    {
      type: 'yarn',
      factor: 1,
      originalMaxPositionEmbeddings: MAXIMUM,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      attentionFactor: 1,
    },
  ],
])('both spellings of %s are read', (_, today, old, scaling) => {
  expect(read(today)).toEqual({ theta: 5e5, scaling })
  expect(read(old)).toEqual({ theta: 5e5, scaling })
  expect(read({ ...today, ...old })).toEqual({ theta: 5e5, scaling })
})

test('dynamic and yarn stretch the longest sequence that a model is for', () => {
  const longest = (rope: RawConfig) => longestSequence(readToday(rope), MAXIMUM)
  expect(longest({ rope_type: 'dynamic', factor: 2.5 })).toBe(320)
  expect(longest({ rope_type: 'yarn', factor: 4 })).toBe(512)
  expect(longest({ rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 })).toBe(128)
  expect(longest({ rope_type: 'linear', factor: 4 })).toBe(128)
})

describe('yarn', () => {
  const DEFAULTS = { type: 'yarn', factor: 4, betaFast: 32, betaSlow: 1, truncate: true }
  const sharpened = (weight: number): number => 0.1 * weight * Math.log(4) + 1

  test.each<[string, RawConfig, object]>([
    ['has the defaults of transformers', {}, { originalMaxPositionEmbeddings: MAXIMUM, attentionFactor: sharpened(1) }],
    [
      'reads everything',
      {
        original_max_position_embeddings: 32,
        beta_fast: 16,
        beta_slow: 2,
        truncate: false,
        attention_factor: 1.5,
        mscale: 1,
        mscale_all_dim: 2,
      },
      { originalMaxPositionEmbeddings: 32, betaFast: 16, betaSlow: 2, truncate: false, attentionFactor: 1.5 },
    ],
    [
      'takes mscale and mscale_all_dim where both are given',
      { mscale: 0.7, mscale_all_dim: 1.3 },
      { attentionFactor: sharpened(0.7) / sharpened(1.3) },
    ],
    ['does not take one alone', { mscale: 0.7, mscale_all_dim: null }, { attentionFactor: sharpened(1) }],
    [
      'does not sharpen at a factor of 1',
      { factor: 1, mscale: 2, mscale_all_dim: 3 },
      { factor: 1, attentionFactor: 1 },
    ],
    [
      'takes the ratio of the maxima for a factor that is null',
      { factor: null, original_max_position_embeddings: 32 },
      { factor: 4, attentionFactor: sharpened(1) },
    ],
    [
      'takes null for false in truncate, and for the default elsewhere',
      { truncate: null, beta_fast: null },
      { truncate: false },
    ],
    ['takes zero for the default of both betas', { beta_fast: 0, beta_slow: 0 }, {}],
  ])('%s', (_, changes, expected) => {
    expect(readToday({ rope_type: 'yarn', factor: 4, ...changes }).scaling).toMatchObject({ ...DEFAULTS, ...expected })
  })

  test.each<[string, RawConfig, string]>([
    ['an absent factor', {}, 'dir/config.json, rope_parameters: expected a number above 0 for factor, got nothing'],
    [
      'an attention factor as text',
      { factor: 4, attention_factor: '1' },
      'expected a number above 0 for attention_factor, got "1"',
    ],
    ['a field of llama3', { factor: 4, low_freq_factor: 1 }, 'got low_freq_factor = 1;'],
  ])('%s is an error that names it', (_, changes, message) => {
    expect(() => readToday({ rope_type: 'yarn', ...changes })).toThrow(message)
  })
})

describe('dynamic', () => {
  test('begins to scale beyond max_position_embeddings, whatever original_max_position_embeddings says', () => {
    const expected = { type: 'dynamic', factor: 2, originalMaxPositionEmbeddings: MAXIMUM }
    expect(readToday({ rope_type: 'dynamic', factor: 2 }).scaling).toEqual(expected)
    expect(readToday({ rope_type: 'dynamic', factor: 2, original_max_position_embeddings: 32 }).scaling).toEqual(
      expected,
    )
  })

  test('a missing factor is an error', () => {
    expect(() => readToday({ rope_type: 'dynamic' })).toThrow(
      'rope_parameters: expected a number above 0 for factor, got nothing',
    )
  })
})

describe.each(testDevices({ everyLevel: false }))('tables on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  const HEAD_DIM = 16
  const HALF = HEAD_DIM / 2
  // Angles are float32: at position 300 their last bit is 3e-5.
  const CLOSE = { relative: 0, ofLargest: 5e-5 }
  const DYNAMIC: RopeConfig = {
    theta: THETA,
    scaling: { type: 'dynamic', factor: 3, originalMaxPositionEmbeddings: 20 },
  }

  /** The table in float64, from the frequency of dimension i at a position. */
  const expected = (rows: number, frequency: (i: number, position: number) => number, factor = 1): Matrix =>
    matrix(rows, HEAD_DIM, (position, col) => {
      const angle = position * frequency(col % HALF, position)
      return factor * (col < HALF ? Math.cos(angle) : Math.sin(angle))
    })
  const plain = (i: number, theta = THETA): number => theta ** (-i / HALF)
  /** Dynamic NTK for a sequence of a length. */
  const stretched = (i: number, length: number): number =>
    plain(i, THETA * ((3 * Math.max(length, 20)) / 20 - 2) ** (HEAD_DIM / (HEAD_DIM - 2)))
  const rows = async (table: Tensor, count: number): Promise<Matrix> => await readMatrix(table.slice(0, count))

  test('dynamic leaves sequences within the original maximum as they are', async () => {
    const table = new RopeTable(DYNAMIC, HEAD_DIM, device)
    const unscaled = new RopeTable({ theta: THETA, scaling: { type: 'default' } }, HEAD_DIM, device)
    expectExact(await rows(table.upTo(20, 20), 20), await rows(unscaled.upTo(20, 20), 20))
    expectClose(
      await rows(table.upTo(20, 20), 20),
      expected(20, (i) => plain(i)),
      CLOSE,
    )
  })

  test('dynamic gives all tokens of a batch the frequencies of its longest sequence, and forgets it', async () => {
    const table = new RopeTable(DYNAMIC, HEAD_DIM, device)
    for (const length of [300, 21, 45, 12, 300]) {
      const scaled = expected(length, (i) => stretched(i, length))
      expectClose(await rows(table.upTo(length, length), length), scaled, CLOSE)
    }
  })

  test('dynamic gives a decoding step the frequencies of the sequence that its token ends', async () => {
    const table = new RopeTable(DYNAMIC, HEAD_DIM, device)
    for (const capacity of [40, 300]) {
      const growing = expected(capacity, (i, position) => stretched(i, position + 1))
      expectClose(await rows(table.upTo(capacity), capacity), growing, CLOSE)
    }
  })

  test('the table of the steps that follow is there after a prompt, so that these can be recorded', () => {
    const table = new RopeTable(DYNAMIC, HEAD_DIM, device)
    const prompt = table.upTo(64, 30)
    const uploads: unknown[] = []
    const { upload } = device
    device.upload = (target) => uploads.push(target)
    const step = table.upTo(64)
    device.upload = upload
    expect(uploads).toEqual([])
    expect([prompt.rows, step.rows]).toEqual([30, 256])
  })

  test.each([true, false])(
    'yarn keeps fast dimensions, slows slow ones down and scales both sides (truncate %s)',
    async (truncate) => {
      const scaling = {
        type: 'yarn',
        factor: 4,
        originalMaxPositionEmbeddings: 32,
        betaFast: 4,
        betaSlow: 0.5,
        truncate,
        attentionFactor: 1.25,
      } as const
      const bound = (rotations: number): number => (HALF * Math.log(32 / (rotations * 2 * Math.PI))) / Math.log(THETA)
      const low = truncate ? Math.floor(bound(4)) : bound(4)
      const high = truncate ? Math.ceil(bound(0.5)) : bound(0.5)
      const slowed = (i: number): number => Math.min(Math.max((i - low) / (high - low), 0), 1)
      expect([0, 1, 2, 3].map(slowed).filter((ramp) => ramp > 0 && ramp < 1).length).toBeGreaterThan(0)
      const frequency = (i: number): number => plain(i) * (1 - slowed(i) + slowed(i) / 4)
      const table = new RopeTable({ theta: THETA, scaling }, HEAD_DIM, device)
      expectClose(await rows(table.upTo(100, 100), 100), expected(100, frequency, 1.25), CLOSE)
    },
  )
})
