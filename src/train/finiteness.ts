/** @file Whether loss, gradients and weights are finite numbers, and what is said where they are not. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { DivergedError, ModelError } from '../lowrank-error.js'
import { firstBadWeight } from './finite-weights.js'
import type { TrainedWeights } from './training-state.js'

/** A step that ended a run. */
export interface BadStep {
  readonly step: number
  readonly loss: number
  /** In float16. */
  readonly lossScale: number | undefined
  /** Norms of the gradients, by parameter. */
  readonly byName: ReadonlyMap<string, number>
  /** The last good one, if there is any. */
  readonly checkpoint: string | undefined
}

function lastGood(checkpoint: string | undefined): string {
  return checkpoint ? `The last good checkpoint is ${checkpoint}.` : 'No checkpoint was written before.'
}

export function diverged(bad: BadStep): DivergedError {
  const float16 = bad.lossScale ? "set dtype to 'bfloat16' or 'float32', which hold numbers above 65504, " : ''
  return new DivergedError(
    `[train] expected a finite loss and gradient at step ${bad.step}, got loss ${bad.loss}; ${whereItStood(bad)} ` +
      `Lower learningRate, lengthen the warm-up, set maxGradNorm, ${float16}or look at the rows of this step`,
    bad,
  )
}

export function overflowed(bad: BadStep): DivergedError {
  return new DivergedError(
    `[train] expected a gradient that float16 can hold at step ${bad.step}, but it overflows at every loss scale down to ${bad.lossScale}; ` +
      `${whereItStood(bad)} Set dtype to 'bfloat16' or 'float32', or lower learningRate`,
    bad,
  )
}

function whereItStood({ byName, checkpoint }: BadStep): string {
  const size = (norm: number): number => (Number.isFinite(norm) ? norm : Number.POSITIVE_INFINITY)
  const [name, norm] = [...byName].reduce(
    (largest, entry) => (size(entry[1]) > size(largest[1]) ? entry : largest),
    ['none', -1],
  )
  return `the largest gradient is that of ${name} (norm ${norm}). ${lastGood(checkpoint)}`
}

/**
 * Before an update makes more weights like it. Where the run has made steps, only weights that it does not train are
 * looked at.
 * @throws naming a weight that is no finite number and was not made so by this run
 */
export async function expectSoundModel(
  model: CausalLM,
  weights: TrainedWeights,
  { step, loss, isFirst, checkpoint }: { step: number; loss: number; isFirst: boolean; checkpoint: string | undefined },
): Promise<void> {
  const all = [...model.parameters(), ...weights.parameters]
  const bad = await firstBadWeight(isFirst ? all : all.filter(([, parameter]) => !parameter.requiresGrad))
  if (!bad) return
  const float16 =
    model.dtype === 'float16' ? "set dtype to 'bfloat16' or 'float32', which hold numbers above 65504, or " : ''
  throw new ModelError(
    `[train] expected finite numbers in the weights of the model, got ${bad.value} at ${bad.index} in ${bad.name}, which makes the loss ` +
      `of step ${step} ${loss}; ${float16}get the model anew, or load one whose training did not diverge. ${lastGood(checkpoint)}`,
  )
}

/** What an evaluation found in a model that the run itself has trained. */
export function divergedAt(step: number, cause: ModelError, checkpoint: string | undefined): DivergedError {
  return new DivergedError(
    `[train] expected a model that can be evaluated after step ${step}, got: ${cause.message}. ${lastGood(checkpoint)} Lower ` +
      'learningRate, or lengthen the warm-up',
    { step, checkpoint, cause },
  )
}

/**
 * The loss of a step tells nothing of what the step made of the weights.
 * @throws naming one that is no finite number
 */
export async function expectFiniteWeights(
  weights: TrainedWeights,
  step: number,
  checkpoint: string | undefined,
): Promise<void> {
  const bad = await firstBadWeight(weights.parameters)
  if (!bad) return
  throw new DivergedError(
    `[train] expected finite weights after step ${step}, got ${bad.value} at ${bad.index} in ${bad.name}; nothing is saved of them. ` +
      `${lastGood(checkpoint)} Lower learningRate or weightDecay, or lengthen the warm-up`,
    { step, checkpoint },
  )
}
