/** @file Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): forget what is inside a block, compute it again in backward. */

import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { needsRecording, noGrad, record, runBackward, Saved, withRecording } from './tape.js'

/**
 * Runs `fn(inputs)` without recording and keeps its inputs only; in backward it runs again, recorded, and gradients pass through.
 * `fn` must be a function of its inputs and of parameters (dropout masks are, being counter-based), so that both runs agree bit for bit.
 * @param trainable true when parameters used inside need gradients, even if no input does.
 * @param constants further tensors that `fn` reads, passed after the inputs. They get no gradient; tensors that `fn` only captured might
 * be freed by the time that it runs again.
 */
export function checkpoint(
  fn: (...tensors: Tensor[]) => Tensor[],
  inputs: readonly Tensor[],
  trainable: boolean,
  constants: readonly Tensor[] = [],
): Tensor[] {
  if (!needsRecording(inputs, trainable)) return scope(() => fn(...inputs, ...constants))
  const outputs = noGrad(() => scope(() => fn(...inputs, ...constants)))
  const saved = inputs.map((input) => new Saved(input, 'checkpoint'))
  const held = constants.map((constant) => new Saved(constant, 'checkpoint'))
  const requires = inputs.map((input) => input.requiresGrad)
  record('checkpoint', inputs, outputs, [...saved, ...held], (gradOutputs) => {
    const leaves = saved.map((item, i) => {
      const leaf = item.get().alias()
      leaf.requiresGrad = requires[i] as boolean
      return leaf
    })
    const again = withRecording(true, () => scope(() => fn(...leaves, ...held.map((item) => item.get()))))
    const roots = again.flatMap((tensor, i) => (gradOutputs[i] ? [{ tensor, grad: gradOutputs[i].alias() }] : []))
    for (const root of roots) root.grad.shared = true
    runBackward(roots.filter(({ tensor }) => tensor.edge))
    return leaves.map((leaf) => leaf.grad)
  })
  return outputs
}
