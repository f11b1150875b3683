/**
 * @file Expressions that may pause, since they call a macro or write JSON. All operands of such a node are evaluated
 * beforehand, in their order, into places of their own; then the node is what it is elsewhere (`compile-expression.ts`)
 * and reads them there.
 */

import {
  compileArguments,
  compileBranches,
  compileCall,
  compileExpression,
  type Operand,
} from './compile-expression.js'
import { callFilter } from './filters.js'
import type { Activation, Evaluate, Frame } from './frames.js'
import { childrenOf, type Expression, type FilterExpression } from './nodes.js'
import { after, Pause, type Pausing, stepsOf } from './pause.js'
import { strPausing } from './repr.js'
import type { Runtime } from './runtime.js'
import { toJson } from './to-json.js'
import { Markup, type Value } from './values.js'

export type EvaluatePausing = (rt: Runtime, activation: Activation) => Pausing<Value>

/** Filters that print a value. */
const PRINTS: ReadonlySet<string> = new Set(['tojson', 'string'])

const pausing = new WeakMap<Expression, boolean>()

/** Whether something in an expression may pause: macros are called by a name; JSON of all tools or messages is long. */
export function mayPause(node: Expression): boolean {
  const known = pausing.get(node)
  if (known !== undefined) return known
  const isLong =
    (node.kind === 'call' && node.callee.kind === 'name') || (node.kind === 'filter' && PRINTS.has(node.name))
  const answer = isLong || [...childrenOf(node)].some(mayPause)
  pausing.set(node, answer)
  return answer
}

export function compilePausing(node: Expression, frame: Frame): EvaluatePausing {
  if (!mayPause(node) || frame.folder.fold(node) !== undefined) return compileExpression(node, frame)
  switch (node.kind) {
    case 'condition':
    case 'and':
    case 'or': {
      const { first, next } = compileBranches<Pausing<Value>>(node, frame, compilePausing)
      return (rt, activation) => after(first(rt, activation), next, rt, activation, undefined)
    }
    case 'compare':
      // A chain never evaluates the operands behind one that does not hold.
      if (node.links.length > 1) return compileExpression(node, frame)
      break
    case 'call':
      return withOperands(frame, (operand) => compileCall(node, operand))
    case 'filter':
      if (!PRINTS.has(node.name) || node.value === undefined) break
      return withOperands(frame, (operand) => compilePrint(node, node.value as Expression, operand))
  }
  return withOperands(frame, (operand) => compileExpression(node, frame, operand))
}

function compilePrint(node: FilterExpression, of: Expression, operand: Operand): EvaluatePausing {
  const value = operand(of)
  const given = compileArguments(node, operand)
  return (rt, activation) => {
    const written = value(rt, activation)
    const options = given(rt, activation)
    if (node.name === 'string' && (written instanceof Markup || options.args.length + options.kwargs.size > 0)) {
      return callFilter(rt, node.name, written, options)
    }
    rt.step()
    return node.name === 'string' ? strPausing(rt, written) : toJson(rt, written, options)
  }
}

function withOperands(frame: Frame, compile: (operand: Operand) => EvaluatePausing): EvaluatePausing {
  const { scope } = frame.symbols
  const operands: { slot: number; evaluate: EvaluatePausing }[] = []
  const whole = compile((child): Evaluate => {
    const slot = scope.slot(`operand:${scope.size}`)
    operands.push({ slot, evaluate: compilePausing(child, frame) })
    return (_, activation) => activation.slots[slot] as Value
  })
  const from = (rt: Runtime, activation: Activation, first: number): Pausing<Value> => {
    for (let index = first; index < operands.length; index++) {
      const { slot, evaluate } = operands[index] as (typeof operands)[number]
      const value = evaluate(rt, activation)
      if (value instanceof Pause) return new Pause(goOn(rt, activation, index, value))
      activation.slots[slot] = value
    }
    return whole(rt, activation)
  }
  function* goOn(rt: Runtime, activation: Activation, index: number, { rest }: Pause<Value>) {
    const { slot } = operands[index] as (typeof operands)[number]
    activation.slots[slot] = yield* rest
    return yield* stepsOf(from(rt, activation, index + 1))
  }
  return (rt, activation) => from(rt, activation, 0)
}
