/**
 * @file The tape: records operations, keeps what their backward rules need, and runs them in reverse. Knows no op but
 * `add`-ing gradients.
 */

import { LowrankError } from '../lowrank-error.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { type GraphEdge, installBackward, type Recompute, Tensor } from '../tensor/tensor.js'

/** Gradients of a node's outputs (undefined where none arrived) to gradients of its inputs. */
export type BackwardRule = (gradOutputs: readonly (Tensor | undefined)[]) => readonly (Tensor | undefined)[]

/**
 * A recorded operation.
 *
 * 1. A node holds edges to the nodes before it, never the tensors between them: what is saved for backward is held by
 *    `saved` alone.
 * 2. Its saved tensors are freed as soon as its rule has run, or when the graph is collected.
 */
interface Node {
  readonly id: number
  readonly name: string
  readonly inputs: readonly (Target | undefined)[]
  readonly saved: readonly Saved[]
  outputs: number
  backward: BackwardRule | undefined
}

/** Where an input's gradient goes: into an earlier node, or onto a leaf. */
type Target = { readonly edge: GraphEdge } | { readonly leaf: Tensor }

let nextId = 1
let recordingOn = true

/** Runs `fn` without recording anything. */
export function noGrad<T>(fn: () => T): T {
  return withRecording(false, fn)
}

/** Runs `fn` with recording on or off. */
export function withRecording<T>(on: boolean, fn: () => T): T {
  const before = recordingOn
  recordingOn = on
  try {
    return fn()
  } finally {
    recordingOn = before
  }
}

/** A tensor kept for a backward rule: a handle of its own, or a way to make the tensor again. */
export class Saved {
  #tensor: Tensor | undefined
  #recompute: Recompute | undefined
  readonly #version: number
  readonly #what: string

  constructor(source: Tensor | { recompute: Recompute; version: number }, what: string) {
    this.#what = what
    this.#version = source.version
    if (source.recompute) this.#recompute = source.recompute.retain()
    else {
      this.#tensor = (source as Tensor).alias()
      unregisterFromScope(this.#tensor, true)
    }
  }

  /** The tensor. @throws when its memory was changed since it was saved, or the graph was used up. */
  get(): Tensor {
    if (this.#recompute) return this.#recompute.run()
    if (!this.#tensor) {
      throw new LowrankError(
        'INVALID_CALL',
        `[${this.#what}] expected a graph that backward() has not used yet; run forward again before backward()`,
      )
    }
    if (this.#tensor.version !== this.#version) {
      throw new LowrankError(
        'INVALID_CALL',
        `[${this.#what}] expected the saved tensor [${this.#tensor.shape}] unchanged until backward(), but it was changed in place ` +
          '(an optimizer step, or an op whose name ends in _); call backward() first',
      )
    }
    return this.#tensor
  }

  /** Another hold on the same tensor. */
  retain(): Saved {
    return new Saved(this.#recompute ? { recompute: this.#recompute, version: this.#version } : this.get(), this.#what)
  }

  dispose(): void {
    this.#tensor?.dispose()
    this.#recompute?.dispose()
    this.#tensor = undefined
    this.#recompute = undefined
  }
}

/**
 * True when an operation on these inputs has to be recorded. `trainable` says that a parameter inside needs a gradient.
 */
export function needsRecording(inputs: readonly (Tensor | undefined)[], trainable = false): boolean {
  return recordingOn && (trainable || inputs.some((input) => input?.requiresGrad))
}

/**
 * Records an operation. Call only when `needsRecording()` said so.
 * @param inputs tensors that the rule returns gradients for, in its order.
 * @param outputs tensors that the rule receives gradients for.
 * @param saved what the rule reads; freed after it ran.
 */
export function record(
  name: string,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Tensor[],
  saved: readonly Saved[],
  backward: BackwardRule,
): void {
  const node: Node = {
    id: nextId++,
    name,
    inputs: inputs.map((input) => {
      if (!input?.requiresGrad) return undefined
      return input.edge ? { edge: input.edge } : { leaf: input }
    }),
    saved,
    outputs: outputs.length,
    backward,
  }
  outputs.forEach((output, index) => {
    output.requiresGrad = true
    output.edge = { node, index }
  })
}

// Gradients known to be 1: what backward() starts from, and what sums hand on unchanged.
const unitGradients = new WeakSet<Tensor>()

/** True when a gradient is known to be 1, so that rules which were computed for 1 may be used as they are. */
export function isUnitGradient(gradient: Tensor): boolean {
  return unitGradients.has(gradient)
}

/** Adds two gradients of one tensor; installed by src/ops/add.ts, which owns the op. */
export type AddGradients = (a: Tensor, b: Tensor) => Tensor
let addGradients: AddGradients | undefined
export function installAddGradients(add: AddGradients): void {
  addGradients = add
}

/**
 * Runs backward rules from the given outputs to all leaves, freeing the graph as it goes. Leaf gradients are added onto
 * `leaf.grad`. Gradients are consumed: pass ones that nobody else needs, or mark them `shared`.
 */
export function runBackward(roots: readonly { tensor: Tensor; grad: Tensor | undefined }[]): void {
  const pending = new Map<Node, (Tensor | undefined)[]>()
  const queue: Node[] = []
  const seen = new Set<Node>()
  const visit = (start: Node): void => {
    const stack = [start]
    while (stack.length > 0) {
      const node = stack.pop() as Node
      if (seen.has(node)) continue
      seen.add(node)
      queue.push(node)
      for (const target of node.inputs) if (target && 'edge' in target) stack.push(target.edge.node as Node)
    }
  }
  for (const { tensor } of roots) {
    if (!tensor.edge)
      throw new LowrankError(
        'INVALID_CALL',
        '[backward] expected a tensor made by a recorded operation, got one without a graph',
      )
    visit(tensor.edge.node as Node)
  }
  // A node's consumers all have larger ids: in descending order every gradient is complete when its node's turn comes.
  queue.sort((a, b) => b.id - a.id)
  for (const node of queue) {
    if (!node.backward)
      throw new LowrankError(
        'INVALID_CALL',
        `[backward] expected a graph not used yet; the graph through ${node.name} was freed by an earlier backward()`,
      )
  }
  for (const { tensor, grad } of roots) if (grad) deliver(pending, { edge: tensor.edge as GraphEdge }, grad)
  scope(() => {
    for (const node of queue) {
      const grads = pending.get(node)
      pending.delete(node)
      const rule = node.backward as BackwardRule
      node.backward = undefined
      if (grads) withRecording(false, () => runNode(node, rule, grads, pending))
      for (const item of node.saved) item.dispose()
    }
  })
}

function runNode(
  node: Node,
  rule: BackwardRule,
  grads: (Tensor | undefined)[],
  pending: Map<Node, (Tensor | undefined)[]>,
): void {
  const results = scope(() => rule(grads))
  const handedOn = new Set<Tensor>()
  const deliveries: { target: Target; grad: Tensor }[] = []
  node.inputs.forEach((target, i) => {
    const grad = results[i]
    if (!target || !grad) return
    if (handedOn.has(grad)) {
      const copy = grad.alias()
      copy.shared = true
      if (unitGradients.has(grad)) unitGradients.add(copy)
      grad.shared = true
      deliveries.push({ target, grad: copy })
    } else {
      handedOn.add(grad)
      deliveries.push({ target, grad })
    }
  })
  // Only now: a delivery that meets an earlier gradient adds the two and frees both.
  for (const { target, grad } of deliveries) deliver(pending, target, grad)
  for (const grad of results) if (grad && !handedOn.has(grad)) grad.dispose()
  for (const grad of grads) if (grad && !handedOn.has(grad)) grad.dispose()
}

function deliver(pending: Map<Node, (Tensor | undefined)[]>, target: Target, grad: Tensor): void {
  if ('leaf' in target) {
    target.leaf.grad = combine(target.leaf.grad, grad)
    unregisterFromScope(target.leaf.grad)
    return
  }
  const node = target.edge.node as Node
  let grads = pending.get(node)
  if (!grads) {
    grads = new Array<Tensor | undefined>(node.outputs).fill(undefined)
    pending.set(node, grads)
  }
  grads[target.edge.index] = combine(grads[target.edge.index], grad)
}

function combine(present: Tensor | undefined, grad: Tensor): Tensor {
  if (!present) return grad
  if (!addGradients) throw new LowrankError('INTERNAL', '[backward] expected src/ops/add.ts to be loaded')
  const sum = addGradients(present, grad)
  present.dispose()
  grad.dispose()
  return sum
}

installBackward((tensor) => {
  if (tensor.size !== 1) {
    throw new LowrankError(
      'INVALID_CALL',
      `[backward] expected a scalar, got shape [${tensor.shape}]; call backward() on the loss`,
    )
  }
  const seed = Tensor.full(tensor.device, tensor.shape, tensor.dtype, 1)
  unitGradients.add(seed)
  runBackward([{ tensor, grad: seed }])
})
