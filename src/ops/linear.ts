/**
 * @file linear: x W^T + bias for a group of projections that share their input, LoRA included (Hu et al. 2021,
 * arXiv:2106.09685).
 */

import { keep } from '../autograd/gradient-checkpointing.js'
import type { Parameter } from '../autograd/parameter.js'
import { needsRecording, record, Saved } from '../autograd/tape.js'
import { LowrankError } from '../lowrank-error.js'
import type { OpArguments } from '../tensor/device.js'
import type { DType } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectShape } from './check.js'
import { nf4Constant } from './nf4.js'
import { sumOrderNumber } from './sum-order.js'

/** Where a dropout mask comes from: a counter, so that the same numbers give the same mask. */
export interface DropoutState {
  seed: number
  /** Counts forward passes. */
  microStep: number
}

/** One LoRA adapter on one projection: y += scale * dropout(x) A^T B^T. */
export interface LoraPair {
  /** [r, K]. */
  readonly a: Parameter
  /** [O, r]. */
  readonly b: Parameter
  readonly scale: number
  /** Probability that an input element is dropped while training. */
  readonly dropout: number
  /** Number of the LoRA pair in its model: gives each its own mask. */
  readonly dropoutStream: number
  /**
   * int32 [2]: the pair is of the rows [rows[0], rows[1]) of x alone, so that tokens of one batch have different
   * adapters. The values may change between replays of a recorded step; a range that is not within x is a fault.
   * Factors have to be finite: others would reach all rows. Without gradients and dropout.
   * @default none: of all rows
   */
  readonly rows?: Tensor | undefined
}

/** One projection of a group. */
export interface Projection {
  /** [O, K], dense or NF4; [K, O] when `inOut` (GPT-2's Conv1D). */
  readonly weight: Parameter
  readonly inOut: boolean
  /** [O]. */
  readonly bias?: Parameter | undefined
  readonly pairs: readonly LoraPair[]
  /** Is shown every input, [N, K], before it is used. */
  readonly observe?: ((x: Tensor) => void) | undefined
}

export interface LinearOptions {
  /**
   * While training: the state that masks are drawn from; without it dropout is off.
   * @default none
   */
  dropout?: DropoutState
  /**
   * Dtype of the result.
   * @default the dtype of x
   */
  outputDType?: DType
  /**
   * The result only leaves a checkpointed block: when the block runs again nobody reads it, and it is not made.
   * Default false.
   * @default false
   */
  lastOfBlock?: boolean
}

/** Output features of a part. */
function outFeatures(part: Projection): number {
  return part.weight.shape[part.inOut ? 1 : 0] as number
}

/**
 * The outputs of all parts side by side.
 * @param x [N, K].
 * @returns [N, sum of O]; see splitColumns.
 */
export function linear(
  x: Tensor,
  modules: readonly Projection[],
  { dropout, outputDType = x.dtype, lastOfBlock = false }: LinearOptions = {},
): Tensor {
  const { device } = x
  // Modules may get other adapters before backward() comes.
  const parts = modules.map(({ weight, inOut, bias, pairs }) => ({ weight, inOut, bias, pairs }))
  for (const part of parts) {
    expectShape('linear', 'x', x, [undefined, part.weight.shape[part.inOut ? 0 : 1]], 'N, K')
    expectDType('linear', 'x', x, part.weight.dtype)
  }
  for (const module of modules) module.observe?.(x)
  const total = parts.reduce((sum, part) => sum + outFeatures(part), 0)
  const y = Tensor.activation(device, [x.rows, total], outputDType)
  const make = (): Tensor[] => {
    const made = parts.map((part) =>
      part.pairs.map((pair) => Tensor.empty(device, [x.rows, pair.a.shape[0] as number], x.dtype)),
    )
    device.enqueue('linear', {
      x,
      y,
      parts: parts.map((part, p) => ({
        ...weightOf(part),
        bias: part.bias?.value,
        inOut: part.inOut,
        pairs: part.pairs.map((pair, i) => ({ ...factors(pair, dropout), rows: pair.rows, s: made[p]?.[i] })),
      })),
      sumOrder: sumOrderNumber(),
    })
    return made.flat()
  }
  const all = lastOfBlock ? keep(make) : make()
  const s = parts.map((part) => all.splice(0, part.pairs.length))
  const trainable = parts.some(isTrainable)
  if (needsRecording([x], trainable)) {
    if (parts.some(({ pairs }) => pairs.some(({ rows }) => rows)))
      throw new LowrankError(
        'INVALID_CALL',
        '[linear] expected no rows of LoRA pairs where gradients are wanted; give each adapter a batch of its own',
      )
    const savedS = s.map((pairs) => pairs.map((tensor) => new Saved(tensor, 'linear')))
    const savedX = parts.some(needsInput) ? new Saved(x, 'linear') : undefined
    const unchanged = guardWeights(parts)
    const { requiresGrad, dtype, shape } = x
    record('linear', [x], [y], [...savedS.flat(), ...(savedX ? [savedX] : [])], ([dy]) => {
      if (!dy) return []
      unchanged()
      const gradOutput = dy.dtype === dtype ? dy : Tensor.empty(device, dy.shape, dtype)
      if (gradOutput !== dy) device.enqueue('copy', { x: dy, y: gradOutput })
      const dx = requiresGrad ? Tensor.activation(device, shape, dtype) : undefined
      device.enqueue('linearBackward', {
        dy: gradOutput,
        x: savedX?.get(),
        dx,
        parts: parts.map((part, p) => ({
          ...weightOf(part),
          dWeight: gradientOf(part.weight),
          dBias: part.bias && gradientOf(part.bias),
          inOut: part.inOut,
          pairs: part.pairs.map((pair, i) => ({
            ...factors(pair, dropout),
            s: savedS[p]?.[i]?.get(),
            da: gradientOf(pair.a),
            db: gradientOf(pair.b),
          })),
        })),
      })
      return [dx]
    })
  }
  for (const tensor of s.flat()) tensor.dispose()
  return y
}

/** The weight of a part, dense or NF4, as the native ops take it. */
function weightOf({ weight }: Projection): OpArguments {
  return weight.nf4 ? { nf4: [nf4Constant(weight.nf4)] } : { weight: weight.value, nf4: [] }
}

/** The numbers and factors of a LoRA pair, as the native ops take them. */
export function factors(pair: LoraPair, dropout: DropoutState | undefined): OpArguments {
  const { seed, microStep } = dropout ?? { seed: 0, microStep: 0 }
  return {
    a: pair.a.value,
    b: pair.b.value,
    scale: pair.scale,
    dropout: { p: dropout ? pair.dropout : 0, seed, microStep, dropoutStream: pair.dropoutStream },
  }
}

/** The gradient buffer of a parameter, or nothing when it is frozen. */
export function gradientOf(parameter: Parameter): Tensor | undefined {
  return parameter.requiresGrad ? parameter.gradBuffer() : undefined
}

/** True when a parameter of the part needs a gradient. */
export function isTrainable(part: Projection): boolean {
  return (
    part.weight.requiresGrad ||
    part.bias?.requiresGrad ||
    part.pairs.some((pair) => pair.a.requiresGrad || pair.b.requiresGrad)
  )
}

function needsInput(part: Projection): boolean {
  return part.weight.requiresGrad || part.pairs.some((pair) => pair.a.requiresGrad)
}

/** Remembers the versions of the weights; the returned function throws when one was changed since. */
export function guardWeights(parts: readonly Projection[]): () => void {
  const pairs = parts.flatMap((part) => part.pairs.flatMap((pair) => [pair.a, pair.b]))
  // NF4 storage is never changed in place.
  const weights = [...parts.map((part) => part.weight).filter((weight) => !weight.nf4), ...pairs]
  const versions = weights.map((weight) => weight.value.version)
  return () => {
    weights.forEach((weight, i) => {
      if (weight.value.version === versions[i]) return
      throw new LowrankError(
        'INVALID_CALL',
        `[linear] expected ${weight.name} unchanged until backward(), but it was changed in place; call backward() before step()`,
      )
    })
  }
}
