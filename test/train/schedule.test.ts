/** @file The learning-rate schedules against hand-computed values and those of transformers. */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  LR_SCHEDULER_TYPES,
  type LrSchedulerType,
  learningRateAt,
  resolveWarmupSteps,
} from '../../src/train/schedule.js'

interface GoldenSchedule {
  lr_scheduler_type: LrSchedulerType
  learning_rate: number
  warmup_steps: number
  total_steps: number
  rates: number[]
}

const goldens = JSON.parse(
  readFileSync(new URL('../golden/schedules.json', import.meta.url), 'utf8'),
) as GoldenSchedule[]

const rates = (type: LrSchedulerType, totalSteps: number, warmupSteps: number, learningRate = 1): number[] =>
  Array.from({ length: totalSteps + 1 }, (_, step) =>
    learningRateAt(step, { type, learningRate, warmupSteps, totalSteps }),
  )

describe('learningRateAt', () => {
  it('rises linearly from zero and falls linearly to zero', () => {
    expect(rates('linear', 7, 3, 0.5)).toEqual([0, 0.5 / 3, (0.5 * 2) / 3, 0.5, 0.375, 0.25, 0.125, 0])
  })

  it('falls along half a cosine after the warm-up', () => {
    const expected = [0, 0.5, 1, 0.5 * (1 + Math.SQRT1_2), 0.5, 0.5 * (1 - Math.SQRT1_2), 0]
    // Only the rounding of cos() differs.
    rates('cosine', 6, 2).forEach((rate, step) => {
      expect(rate).toBeCloseTo(expected[step] as number, 15)
    })
  })

  it('ignores warm-up when constant, and not when constant_with_warmup', () => {
    expect(rates('constant', 4, 2)).toEqual([1, 1, 1, 1, 1])
    expect(rates('constant_with_warmup', 4, 2)).toEqual([0, 0.5, 1, 1, 1])
  })

  it('does not divide by zero when the warm-up is the whole run', () => {
    expect(rates('linear', 3, 3)).toEqual([0, 1 / 3, 2 / 3, 0])
    expect(rates('cosine', 1, 0)).toEqual([1, 0])
  })

  it('stays at zero after the end of a linear schedule', () => {
    expect(learningRateAt(9, { type: 'linear', learningRate: 1, warmupSteps: 0, totalSteps: 7 })).toBe(0)
  })
})

describe('get_scheduler of transformers', () => {
  it('covers every schedule', () => {
    expect(new Set(goldens.map((golden) => golden.lr_scheduler_type))).toEqual(new Set(LR_SCHEDULER_TYPES))
  })

  it.each(goldens)('gives the same rates: $lr_scheduler_type, $warmup_steps of $total_steps steps', (golden) => {
    const computed = golden.rates.map((_, step) =>
      learningRateAt(step, {
        type: golden.lr_scheduler_type,
        learningRate: golden.learning_rate,
        warmupSteps: golden.warmup_steps,
        totalSteps: golden.total_steps,
      }),
    )
    // The same double precision formula; two libraries' cos() may differ in the last bits.
    computed.forEach((rate, step) => {
      expect(Math.abs(rate - (golden.rates[step] as number))).toBeLessThanOrEqual(golden.learning_rate * 1e-15)
    })
  })
})

describe('resolveWarmupSteps', () => {
  it('rounds the share of the steps up', () => {
    expect(resolveWarmupSteps(41, { warmupRatio: 0.05 })).toBe(3)
    expect(resolveWarmupSteps(40, { warmupRatio: 0.05 })).toBe(2)
    expect(resolveWarmupSteps(1, { warmupRatio: 0.05 })).toBe(1)
  })

  it('takes warmupSteps where given, zero included', () => {
    expect(resolveWarmupSteps(100, { warmupSteps: 7, warmupRatio: 0.05 })).toBe(7)
    expect(resolveWarmupSteps(100, { warmupSteps: 0, warmupRatio: 0.05 })).toBe(0)
  })
})
