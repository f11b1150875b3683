/**
 * @file AdamW with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101), all parameters in one native
 * call.
 */

import type { Parameter } from '../autograd/parameter.js'
import { LowrankError } from '../lowrank-error.js'
import { callback, check, float32, integer, listOf, number, type Rule } from '../options/rules.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import type { Device } from '../tensor/device.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { MOST_STEPS } from './training-options.js'

export interface AdamWOptions {
  /**
   * Learning rate. Change `optimizer.lr` between steps to follow a schedule.
   * @default 1e-3, as PyTorch's
   */
  lr?: number
  /**
   * How much of the running means of gradients and of their squares is kept in a step, each from 0 to below 1.
   * @default [0.9, 0.999]
   */
  betas?: readonly [number, number]
  /**
   * Added to the root of the mean square, above 0.
   * @default 1e-8
   */
  eps?: number
  /**
   * Decoupled: weights lose this share times the learning rate in each step. (`trainLora` passes 0 unless told
   * otherwise.)
   * @default 0.01, as PyTorch's
   */
  weightDecay?: number
  /**
   * Parameters for which it says false are not decayed.
   * @default all decay
   */
  decays?: (name: string, parameter: Parameter) => boolean
}

export interface StepOptions {
  /**
   * Gradients are scaled down together when their norm exceeds it; 0: not.
   * @default 0
   */
  maxGradNorm?: number
  /**
   * What the gradients were multiplied by: they count divided by it.
   * @default 1
   */
  lossScale?: number
}

export interface Moments {
  readonly m: Tensor
  readonly v: Tensor
}

/** Whether float32 holds it, as 0 where it is that small. */
const isFloat = (value: unknown): boolean => Number.isFinite(Math.fround(value as number))
const AT_LEAST_0 = number({ min: 0 })
const AMOUNT: Rule = { ...AT_LEAST_0, accepts: (value) => AT_LEAST_0.accepts(value) && isFloat(value) }
const BETA = number({ min: 0, below: 1 })

/** The options of `AdamW`. */
export const ADAMW_OPTIONS = {
  lr: { rule: AMOUNT, default: 1e-3, help: 'learning rate' },
  betas: {
    rule: {
      ...listOf(BETA, 'two numbers in [0, 1)'),
      accepts: (value) => Array.isArray(value) && value.length === 2 && value.every((beta) => BETA.accepts(beta)),
    },
    default: [0.9, 0.999] as readonly [number, number],
    help: 'how much of the running means of gradients and of their squares is kept in a step',
  },
  eps: { rule: AMOUNT, default: 1e-8, help: 'added to the root of the mean square' },
  weightDecay: {
    rule: AMOUNT,
    default: 0.01,
    help: 'decoupled: the share times the learning rate that weights lose in a step',
  },
  decays: { rule: callback, otherwise: 'all decay', help: 'parameters for which it says false are not decayed' },
} as const satisfies OptionTable<AdamWOptions>

/** The options of `AdamW.step`. */
export const STEP_OPTIONS = {
  maxGradNorm: {
    rule: AMOUNT,
    default: 0,
    help: 'gradients are scaled down together when their norm exceeds it; 0: not',
  },
  lossScale: {
    rule: float32({ above: 0 }),
    default: 1,
    help: 'what the gradients were multiplied by: they count divided by it',
  },
} as const satisfies OptionTable<StepOptions>

const STEP_COUNT = integer({ min: 0, max: MOST_STEPS - 1 })

/**
 * Updates float32 masters and their compute-dtype copies. A step whose gradient norm is not finite changes nothing.
 * Parameters without a gradient are left alone, as in PyTorch.
 */
export class AdamW {
  lr: number
  /** Steps made; bias correction depends on it. Set when resuming. */
  stepCount = 0
  readonly #options: Resolved<AdamWOptions, typeof ADAMW_OPTIONS>
  readonly #parameters: ReadonlyMap<string, Parameter>
  readonly #moments = new Map<string, Moments>()
  #norms: { names: string[]; tensor: Tensor } | undefined

  /** @param parameters names and parameters, as `adapter.parameters()` gives them; all trainable. */
  constructor(parameters: Iterable<readonly [string, Parameter]>, options: AdamWOptions = {}) {
    this.#options = readOptions('AdamW', options, ADAMW_OPTIONS)
    this.lr = this.#options.lr
    this.#parameters = new Map(parameters)
    if (this.#parameters.size === 0)
      throw new LowrankError(
        'INVALID_CALL',
        '[AdamW] expected at least one parameter, got none; is the adapter attached?',
      )
    for (const [name, parameter] of this.#parameters) {
      if (!parameter.requiresGrad)
        throw new LowrankError('INVALID_CALL', `[AdamW] expected trainable parameters, but ${name} is frozen`)
    }
  }

  get parameters(): ReadonlyMap<string, Parameter> {
    return this.#parameters
  }

  /**
   * Queues one update from the gradients that backward() left.
   * @throws without gradients, and on a learning rate, step count or option that is out of range.
   */
  step(options: StepOptions = {}): void {
    const { maxGradNorm, lossScale } = readOptions('AdamW', options, STEP_OPTIONS)
    check('AdamW', 'lr', this.lr, ADAMW_OPTIONS.lr.rule)
    check('AdamW', 'stepCount', this.stepCount, STEP_COUNT)
    const present = [...this.#parameters].filter(([, parameter]) => parameter.hasGrad)
    const first = present[0]?.[1]
    if (!first)
      throw new LowrankError('INVALID_CALL', '[AdamW] expected gradients, got none; call loss.backward() before step()')
    this.stepCount++
    const { device } = first
    const { betas, eps, weightDecay, decays } = this.#options
    this.#norms?.tensor.dispose()
    const tensor = unregisterFromScope(Tensor.empty(device, [present.length + 1], 'float32'))
    this.#norms = { names: present.map(([name]) => name), tensor }
    device.enqueue('adamw', {
      parameters: present.map(([name, parameter]) => ({
        parameter: parameter.master,
        grad: parameter.grad,
        ...this.#momentsOf(name, parameter),
        copy: parameter.value === parameter.master ? undefined : parameter.value,
        weightDecay: decays && !decays(name, parameter) ? 0 : weightDecay,
      })),
      norms: tensor,
      lr: this.lr,
      beta1: betas[0],
      beta2: betas[1],
      eps,
      step: this.stepCount,
      maxGradNorm,
      lossScale,
    })
    for (const [, parameter] of present) {
      parameter.master.bumpVersion()
      if (parameter.value !== parameter.master) parameter.value.bumpVersion()
    }
  }

  /** Frees all gradients, as `zero_grad(set_to_none=True)` of PyTorch. */
  zeroGrad(): void {
    for (const parameter of this.#parameters.values()) parameter.zeroGrad()
  }

  /**
   * L2 norms of the gradients of the last step, unscaled and before clipping: of each parameter, and of all together.
   */
  async gradNorms(): Promise<{ total: number; byName: Map<string, number> }> {
    if (!this.#norms) throw new LowrankError('INVALID_CALL', '[AdamW] expected a step before gradNorms()')
    const { names, tensor } = this.#norms
    const values = await tensor.read()
    return {
      total: values[names.length] as number,
      byName: new Map(names.map((name, i) => [name, values[i] as number])),
    }
  }

  /** The moments by parameter name, zero where no step was made yet; for checkpoints. */
  state(): Map<string, Moments> {
    return new Map([...this.#parameters].map(([name, parameter]) => [name, this.#momentsOf(name, parameter)]))
  }

  /** Frees the moments. */
  dispose(): void {
    for (const { m, v } of this.#moments.values()) {
      m.dispose()
      v.dispose()
    }
    this.#moments.clear()
    this.#norms?.tensor.dispose()
    this.#norms = undefined
  }

  #momentsOf(name: string, { device, shape }: Parameter): Moments {
    let moments = this.#moments.get(name)
    if (!moments) {
      moments = { m: zeros(device, shape), v: zeros(device, shape) }
      this.#moments.set(name, moments)
    }
    return moments
  }
}

function zeros(device: Device, shape: readonly number[]): Tensor {
  const tensor = Tensor.full(device, shape, 'float32', 0)
  device.label(tensor, 'optimizer state')
  return unregisterFromScope(tensor)
}
