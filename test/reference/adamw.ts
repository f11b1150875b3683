/** @file One AdamW step in float64 (Loshchilov & Hutter 2019), with clipping by the norm of all gradients. */

export interface AdamwState {
  parameter: Float64Array
  grad: Float64Array
  m: Float64Array
  v: Float64Array
  weightDecay: number
}

export interface AdamwRates {
  lr: number
  beta1: number
  beta2: number
  eps: number
  step: number
  maxGradNorm: number
  lossScale: number
}

/** Norm of each gradient, then that of all; of the unscaled gradients. */
export function gradientNorms(states: readonly AdamwState[], lossScale: number): number[] {
  const squares = states.map(({ grad }) => grad.reduce((total, value) => total + (value / lossScale) ** 2, 0))
  return [...squares, squares.reduce((total, value) => total + value, 0)].map(Math.sqrt)
}

/** The states after the step. */
export function adamw(states: readonly AdamwState[], rates: AdamwRates): AdamwState[] {
  const { lr, beta1, beta2, eps, step, maxGradNorm, lossScale } = rates
  const norm = gradientNorms(states, lossScale).at(-1) as number
  const clip = (maxGradNorm > 0 ? Math.min(1, maxGradNorm / (norm + 1e-6)) : 1) / lossScale
  return states.map((state) => {
    const m = state.m.map((value, i) => beta1 * value + (1 - beta1) * clip * (state.grad[i] as number))
    const v = state.v.map((value, i) => beta2 * value + (1 - beta2) * (clip * (state.grad[i] as number)) ** 2)
    const parameter = state.parameter.map((value, i) => {
      const denominator = Math.sqrt((v[i] as number) / (1 - beta2 ** step)) + eps
      return value * (1 - lr * state.weightDecay) - ((lr / (1 - beta1 ** step)) * (m[i] as number)) / denominator
    })
    return { ...state, parameter, m, v }
  })
}
