/**
 * @file The learning rate of each optimizer step, equal to `get_scheduler` of transformers. Pure functions of the step
 * number, so that a resumed run needs no scheduler state.
 */

/** `lr_scheduler_type` of transformers. */
export type LrSchedulerType = (typeof LR_SCHEDULER_TYPES)[number]

export const LR_SCHEDULER_TYPES = ['cosine', 'linear', 'constant', 'constant_with_warmup'] as const

export interface Schedule {
  readonly type: LrSchedulerType
  /** The rate at the end of warm-up. */
  readonly learningRate: number
  /** Optimizer steps that the rate rises linearly from 0. */
  readonly warmupSteps: number
  /** Optimizer steps of the whole run, warm-up included. */
  readonly totalSteps: number
}

/** Warm-up steps of a run: `warmupSteps` where given, else `warmupRatio` of the steps, rounded up. */
export function resolveWarmupSteps(
  totalSteps: number,
  options: { readonly warmupSteps?: number; readonly warmupRatio: number },
): number {
  return options.warmupSteps ?? Math.ceil(totalSteps * options.warmupRatio)
}

/**
 * The learning rate that optimizer step number `step` uses; the first step is 0.
 *
 * - warm-up: `lr * step / warmup`, so that the very first step of a warm-up changes nothing
 * - cosine: `lr * (1 + cos(pi * progress)) / 2`, half a wave from lr to 0
 * - linear: `lr * (total - step) / (total - warmup)`
 * - constant ignores warm-up, constant_with_warmup does not
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { type, learningRate, warmupSteps, totalSteps } = schedule
  if (type === 'constant') return learningRate
  if (step < warmupSteps) return learningRate * (step / Math.max(1, warmupSteps))
  const decaySteps = Math.max(1, totalSteps - warmupSteps)
  switch (type) {
    case 'constant_with_warmup':
      return learningRate
    case 'linear':
      return learningRate * Math.max(0, (totalSteps - step) / decaySteps)
    case 'cosine':
      return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((step - warmupSteps) / decaySteps))))
    default:
      return type satisfies never
  }
}
