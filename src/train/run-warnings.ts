/** @file What of a run's options can hardly be meant, told before its first step. */

import { learningRateAt, resolveWarmupSteps } from './schedule.js'
import type { ResolvedTrainingOptions } from './training-options.js'

/** AdamW moves each weight by about the learning rate in a step. */
const HIGHEST_RATE = 1

export function runWarnings(training: ResolvedTrainingOptions, totalSteps: number): string[] {
  const { learningRate, lrSchedulerType: type } = training
  const warnings: string[] = []
  if (learningRate > HIGHEST_RATE) {
    warnings.push(
      `a learning rate of ${learningRate} moves each weight by about that much in a step; 1e-5 to 1e-3 are usual`,
    )
  }
  const warmupSteps = resolveWarmupSteps(totalSteps, training)
  if (totalSteps === 1 && learningRateAt(0, { type, learningRate, warmupSteps, totalSteps }) === 0) {
    warnings.push(
      'the only step is the first of a warm-up, whose learning rate is 0: nothing is learnt; take more steps, or set warmupSteps: 0',
    )
  }
  return warnings
}
