/** @file Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): forget what is inside a block, compute it again in backward. */

import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { needsRecording, noGrad, record, runBackward, Saved, withRecording } from './tape.js'

/**
 * Runs `fn(inputs)` without recording and keeps its inputs only; in backward it runs again, recorded, and gradients pass through.
 * `fn` must be a function of its inputs and of parameters (dropout masks are, being counter-based), so that both runs agree bit for bit.
 * @param trainable true when parameters used inside need gradients, even if no input does.
 */
export function checkpoint(
  fn: (...inputs: Tensor[]) => Tensor[],
  inputs: readonly Tensor[],
  trainable: boolean,
): Tensor[] {
  if (!needsRecording(inputs, trainable)) return scope(() => fn(...inputs))
  const outputs = noGrad(() => scope(() => fn(...inputs)))
  const saved = inputs.map((input) => new Saved(input, 'checkpoint'))
  const requires = inputs.map((input) => input.requiresGrad)
  record('checkpoint', inputs, outputs, saved, (gradOutputs) => {
    const leaves = saved.map((item, i) => {
      const leaf = item.get().alias()
      leaf.requiresGrad = requires[i] as boolean
      return leaf
    })
    const again = withRecording(true, () => scope(() => fn(...leaves)))
    const roots = again.flatMap((tensor, i) => (gradOutputs[i] ? [{ tensor, grad: gradOutputs[i].alias() }] : []))
    for (const root of roots) root.grad.shared = true
    runBackward(roots.filter(({ tensor }) => tensor.edge))
    return leaves.map((leaf) => leaf.grad)
  })
  return outputs
}
