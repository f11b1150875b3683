/** @file What of a run's options can hardly be meant, told before its first step. */

import type { LoraConfig } from '../adapters/lora-config.js'
import type { RawConfig } from '../architecture/config.js'
import { featuresOfConfig } from '../loaders/adapter-features.js'
import type { LoaderName } from '../loaders/loader-names.js'
import { loaderFindings } from '../loaders/loaders.js'
import type { Templates } from '../tokenizer/template-files.js'
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

/** What the programs that are to open the result would not do as it says, a sentence each. */
export function exportWarnings(
  names: readonly LoaderName[],
  config: RawConfig,
  lora: LoraConfig | undefined,
  chatTemplate: Templates | undefined,
): string[] {
  const adapter = lora && featuresOfConfig(lora)
  return loaderFindings(names, { config, adapter, chatTemplate }).map(
    ({ loader, version, effect, feature, message }) =>
      `[exportFor] ${loader} (${version}): ${feature} is ${effect === 'needs' ? 'something to set up' : effect}: ${message}`,
  )
}
