/**
 * @file Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): forget what is inside a block, compute it again in
 * backward. Selective, as in Korthikanti et al. 2022 (arXiv:2205.05198): ops may keep results that cost much and hold
 * little, and leave out what nobody reads again.
 */

import { LowrankError } from '../lowrank-error.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { needsRecording, noGrad, record, runBackward, Saved, withRecording } from './tape.js'

/**
 * Whether layers forget what is inside them until backward; 'full': the results of attention too, which `true` keeps.
 */
export type GradientCheckpointing = boolean | 'full'

/** A block that runs: what `keep` kept in its first run, call by call, and what is left of that in its second. */
type Run = { readonly full: boolean } & ({ readonly kept: Saved[][] } | { readonly left: Saved[][] })

let current: Run | undefined

/**
 * True while a block is computed again: its results serve backward rules only, and hold for the length of one block.
 */
export function runsAgain(): boolean {
  return current !== undefined && 'left' in current
}

/**
 * The tensors of `make`. In the first run of a block they are kept until backward, and the second run gets them instead
 * of calling `make`: for results that take long to make and little to hold.
 * @param large they are no less than the block's input: a 'full' checkpoint makes them again.
 */
export function keep(make: () => Tensor[], large = false): Tensor[] {
  if (!current || (large && current.full)) return make()
  if ('left' in current) {
    const saved = current.left.shift()
    if (!saved)
      throw new LowrankError(
        'INVALID_CALL',
        '[checkpoint] expected a function that does the same again, got one that does more',
      )
    return saved.map((item) => item.get().alias())
  }
  const tensors = make()
  current.kept.push(tensors.map((tensor) => new Saved(tensor, 'checkpoint')))
  return tensors
}

/**
 * Runs `fn(inputs)` without recording and keeps its inputs and what `keep` is given; in backward it runs again,
 * recorded, and gradients pass through. `fn` must be a function of its inputs and of parameters (dropout masks are,
 * being counter-based), so that both runs agree bit for bit. Within another block this is `fn(inputs)`.
 * @param trainable true when parameters used inside need gradients, even if no input does.
 * @param constants further tensors that `fn` reads, passed after the inputs. They get no gradient; tensors that `fn`
 * only captured might be freed by the time that it runs again.
 * @param full nothing large is kept but the inputs.
 */
export function checkpoint(
  fn: (...tensors: Tensor[]) => Tensor[],
  inputs: readonly Tensor[],
  trainable: boolean,
  constants: readonly Tensor[] = [],
  full = false,
): Tensor[] {
  if (current || !needsRecording(inputs, trainable)) return scope(() => fn(...inputs, ...constants))
  const kept: Saved[][] = []
  const outputs = runAs({ full, kept }, () => noGrad(() => scope(() => fn(...inputs, ...constants))))
  const saved = inputs.map((input) => new Saved(input, 'checkpoint'))
  const held = constants.map((constant) => new Saved(constant, 'checkpoint'))
  const requires = inputs.map((input) => input.requiresGrad)
  record('checkpoint', inputs, outputs, [...saved, ...held, ...kept.flat()], (gradOutputs) => {
    const leaves = saved.map((item, i) => {
      const leaf = item.get().alias()
      leaf.requiresGrad = requires[i] as boolean
      return leaf
    })
    const again = runAs({ full, left: [...kept] }, () =>
      withRecording(true, () => scope(() => fn(...leaves, ...held.map((item) => item.get())))),
    )
    const roots = again.flatMap((tensor, i) => (gradOutputs[i] ? [{ tensor, grad: gradOutputs[i].alias() }] : []))
    for (const root of roots) root.grad.shared = true
    runBackward(roots.filter(({ tensor }) => tensor.edge))
    return leaves.map((leaf) => leaf.grad)
  })
  return outputs
}

function runAs<T>(run: Run, fn: () => T): T {
  const before = current
  current = run
  try {
    return fn()
  } finally {
    current = before
  }
}
