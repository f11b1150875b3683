/**
 * @file Recomputation of cheap results, so that backward passes keep the inputs of a norm and not its output as well.
 */

import type { Recompute, Tensor } from '../tensor/tensor.js'
import { noGrad, Saved } from './tape.js'

/** A recipe that makes a tensor again from `inputs`, which it holds until disposed. */
export function recomputeFrom(inputs: readonly Tensor[], make: (...inputs: Tensor[]) => Tensor): Recompute {
  return recipe(
    inputs.map((input) => new Saved(input, 'recompute')),
    make,
  )
}

function recipe(saved: readonly Saved[], make: (...inputs: Tensor[]) => Tensor): Recompute {
  return {
    run: () => noGrad(() => make(...saved.map((item) => item.get()))),
    retain: () =>
      recipe(
        saved.map((item) => item.retain()),
        make,
      ),
    dispose: () => {
      for (const item of saved) item.dispose()
    },
  }
}
