/** @file Assignments: what `set`, `with` and `for` give values to, and `set` with a block. */

import { compileBlockFilter } from './compile-expression.js'
import { compilePausing, mayPause } from './compile-pausing.js'
import { fail, valueError } from './errors.js'
import {
  type Activation,
  type CompileBody,
  compileEnter,
  compileLeave,
  type Ending,
  type Execute,
  type Frame,
  innerFrame,
  NORMAL,
  reader,
  type StatementFrame,
  writer,
} from './frames.js'
import { childrenOf, type Expression, type Statement } from './nodes.js'
import { after, type Pausing } from './pause.js'
import { Output, type Runtime } from './runtime.js'
import { visitStatements } from './symbols.js'
import { iterate, NativeObject, type Value } from './values.js'

/** How a value is given to a target. */
export function compileTarget(
  node: Expression,
  frame: StatementFrame,
): (rt: Runtime, activation: Activation, value: Value) => void {
  if (node.kind === 'name') {
    const write = writer(frame, frame.symbols.ref(node.name, node.line))
    if (!frame.exports) return (_, activation, value) => write(activation, value)
    const { name } = node
    return (_, activation, value) => {
      write(activation, value)
      activation.context.vars.set(name, value)
    }
  }
  if (node.kind === 'namespace-target') {
    const read = reader(frame, frame.symbols.ref(node.name, node.line))
    const { attribute } = node
    return (rt, activation, value) => (read(rt, activation) as NativeObject).assign?.(attribute, value)
  }
  const targets = (node as Expression & { kind: 'tuple' }).items.map((item) => compileTarget(item, frame))
  return (rt, activation, value) => {
    const iterator = iterate(value)
    const values: Value[] = []
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      values.push(next.value)
      if (values.length > targets.length) valueError(`too many values to unpack (expected ${targets.length})`)
    }
    if (values.length < targets.length) {
      valueError(`not enough values to unpack (expected ${targets.length}, got ${values.length})`)
    }
    targets.forEach((assign, index) => {
      assign(rt, activation, values[index] as Value)
    })
  }
}

function* namespaceTargets(node: Expression): Generator<Expression & { kind: 'namespace-target' }> {
  if (node.kind === 'namespace-target') yield node
  else for (const child of childrenOf(node)) yield* namespaceTargets(child)
}

/** Checks that what attributes are assigned to is a namespace. */
function compileNamespaceChecks(target: Expression, frame: Frame): (rt: Runtime, activation: Activation) => void {
  const namespaces = [...namespaceTargets(target)].map(({ name, line }) => reader(frame, frame.symbols.ref(name, line)))
  return (rt, activation) => {
    for (const read of namespaces) {
      const value = read(rt, activation)
      if (value instanceof NativeObject && value.assign !== undefined) continue
      fail('TemplateRuntimeError', 'cannot assign attribute on non-namespace object')
    }
  }
}

/** The value of an expression for a target. */
export function compileGive(value: Expression, frame: Frame, target: Expression, inner: StatementFrame): Execute {
  const evaluate = compilePausing(value, frame)
  const assign = compileTarget(target, inner)
  if (!mayPause(value)) {
    return (rt, activation) => {
      assign(rt, activation, evaluate(rt, activation) as Value)
      return NORMAL
    }
  }
  const give = (result: Value, rt: Runtime, activation: Activation): Ending => {
    assign(rt, activation, result)
    return NORMAL
  }
  return (rt, activation, out) => after(evaluate(rt, activation), give, rt, activation, out)
}

export function compileAssign(node: Statement & { kind: 'assign' }, frame: StatementFrame): Execute {
  const check = compileNamespaceChecks(node.target, frame)
  const give = compileGive(node.value, frame, node.target, frame)
  const { line } = node
  return (rt, activation, out) => {
    rt.line = line
    rt.step()
    check(rt, activation)
    return give(rt, activation, out)
  }
}

/** Runs statements into a text of their own; gives their ending where a `break` or `continue` leaves them. */
export function compileCapture(statements: readonly Statement[], frame: StatementFrame, compileBody: CompileBody) {
  const enter = compileEnter(frame)
  const body = compileBody(statements, frame)
  const textOf = (ending: Ending, _: Runtime, __: Activation, own: Output): string | Ending =>
    ending === NORMAL ? own.text() : ending
  return (rt: Runtime, activation: Activation): Pausing<string | Ending> => {
    const own = new Output()
    enter(rt, activation)
    return after(body(rt, activation, own), textOf, rt, activation, own)
  }
}

export function compileAssignBlock(
  node: Statement & { kind: 'assign-block' },
  frame: StatementFrame,
  compileBody: CompileBody,
): Execute {
  const inner = innerFrame(frame)
  visitStatements(inner.symbols, node.body)
  const captured = compileCapture(node.body, inner, compileBody)
  const text: { value: string } = { value: '' }
  const filter = node.filter === undefined ? undefined : compileBlockFilter(node.filter, inner, () => text.value)
  // jinja2 checks nothing before it assigns to an attribute here: only a namespace takes it.
  const check = compileNamespaceChecks(node.target, frame)
  const assign = compileTarget(node.target, frame)
  const leave = compileLeave(inner)
  const { line } = node
  const give = (result: string | Ending, rt: Runtime, activation: Activation): Ending => {
    if (typeof result === 'number') return result
    rt.line = line
    text.value = result
    const value = filter === undefined ? result : filter(rt, activation)
    check(rt, activation)
    assign(rt, activation, value)
    leave(activation)
    return NORMAL
  }
  return (rt, activation, out) => after(captured(rt, activation), give, rt, activation, out)
}
