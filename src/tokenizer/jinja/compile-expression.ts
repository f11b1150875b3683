/** @file Expressions become closures: evaluating one is a call without any look at the syntax tree. */

import { callPausing, getAttribute, getItem, slice } from './access.js'
import { fail, typeError } from './errors.js'
import { callFilter, callTest, FILTERS, TEST_NAMES } from './filters.js'
import { unknownName } from './fold.js'
import { type Activation, type Evaluate, type Frame, reader } from './frames.js'
import type { CallExpression, CallSignature, Expression, FilterExpression } from './nodes.js'
import { binary, compare, unary } from './operators.js'
import { atOnce, type Pausing } from './pause.js'
import { repr, str } from './repr.js'
import type { Runtime } from './runtime.js'
import { Dict, isTrue, iterate, Markup, MISSING, Slice, Tuple, typeName, Undefined, type Value } from './values.js'

function compileName(node: Expression & { kind: 'name' }, frame: Frame): Evaluate {
  const variable = frame.symbols.ref(node.name, node.line)
  const read = reader(frame, variable)
  const load = frame.symbols.findLoad(variable.ident)
  if (load?.kind === 'parameter' && frame.undeclared?.has(variable.ident) !== true) return read
  const message = `'${node.name}' is undefined`
  return (rt, activation) => {
    const value = read(rt, activation)
    return value === MISSING ? new Undefined(message) : value
  }
}

/** How the operands of an expression are evaluated; asked for in the order of their evaluation. */
export type Operand = (node: Expression) => Evaluate

function compileAll(nodes: readonly Expression[], operand: Operand): (rt: Runtime, activation: Activation) => Value[] {
  const items = nodes.map(operand)
  return (rt, activation) => {
    const values: Value[] = []
    for (const item of items) values.push(item(rt, activation))
    return values
  }
}

/** Arguments of a call, in Python's order: positional, `*args`, named, `**kwargs`. */
export function compileArguments(node: CallSignature, operand: Operand) {
  const positional = compileAll(node.args, operand)
  const named = node.kwargs.map(({ name, value }) => ({ name, value: operand(value) }))
  const rest = node.rest === undefined ? undefined : operand(node.rest)
  const restNamed = node.restNamed === undefined ? undefined : operand(node.restNamed)
  return (rt: Runtime, activation: Activation): { args: Value[]; kwargs: Map<string, Value> } => {
    const args = positional(rt, activation)
    const kwargs = new Map<string, Value>()
    for (const { name, value } of named) kwargs.set(name, value(rt, activation))
    if (rest !== undefined) {
      const iterator = iterate(rest(rt, activation))
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
        rt.step()
        args.push(next.value)
      }
    }
    if (restNamed !== undefined) addNamed(rt, kwargs, restNamed(rt, activation))
    return { args, kwargs }
  }
}

function addNamed(rt: Runtime, kwargs: Map<string, Value>, mapping: Value): void {
  if (mapping instanceof Undefined) mapping.fail()
  if (!(mapping instanceof Dict)) typeError(`argument after ** must be a mapping, not ${typeName(mapping)}`)
  for (const [key, value] of mapping.entries()) {
    rt.step()
    if (typeof key !== 'string') typeError('keywords must be strings')
    if (kwargs.has(key as string)) typeError(`got multiple values for keyword argument '${key}'`)
    kwargs.set(key as string, value)
  }
}

function compileFilter(node: FilterExpression, frame: Frame, operand: Operand, own?: Evaluate): Evaluate {
  const isFilter = node.kind === 'filter'
  const known = isFilter ? FILTERS.has(node.name) : TEST_NAMES.has(node.name)
  if (!known && !frame.soft) fail('TemplateSyntaxError', `No ${node.kind} named '${node.name}'.`, node.line)
  const value = own ?? operand(node.value as Expression)
  const given = compileArguments(node, operand)
  const { name } = node
  if (!isFilter) return (rt, activation) => callTest(rt, name, value(rt, activation), given(rt, activation))
  return (rt, activation) => callFilter(rt, name, value(rt, activation), given(rt, activation))
}

/** A filter whose innermost value is the text of a block. */
export function compileBlockFilter(node: FilterExpression, frame: Frame, text: Evaluate): Evaluate {
  const inner = node.value as FilterExpression | undefined
  const own = inner === undefined ? text : compileBlockFilter(inner, frame, text)
  return compileFilter(node, frame, (child) => compileExpression(child, frame), own)
}

/** An expression that evaluates one operand, and then another or none. */
export function compileBranches<R extends Pausing<Value>>(
  node: Expression & { kind: 'condition' | 'and' | 'or' },
  outer: Frame,
  compile: (node: Expression, frame: Frame) => (rt: Runtime, activation: Activation) => R,
): {
  first: (rt: Runtime, activation: Activation) => R
  next: (value: Value, rt: Runtime, activation: Activation) => Value | R
} {
  if (node.kind !== 'condition') {
    const first = compile(node.left, outer)
    const right = compile(node.right, outer)
    const stopsAt = node.kind === 'or'
    return { first, next: (value, rt, activation) => (isTrue(value) === stopsAt ? value : right(rt, activation)) }
  }
  const frame = { ...outer, soft: true }
  const first = compile(node.test, frame)
  const whenTrue = compile(node.whenTrue, frame)
  const message = `the inline if-expression on line ${node.line} evaluated to false and no else section was defined.`
  const otherwise = node.otherwise === undefined ? () => new Undefined(message) : compile(node.otherwise, frame)
  return { first, next: (value, rt, activation) => (isTrue(value) ? whenTrue : otherwise)(rt, activation) }
}

function compileCompare(node: Expression & { kind: 'compare' }, operand: Operand): Evaluate {
  const first = operand(node.first)
  const links = node.links.map((link) => ({ operator: link.operator, right: operand(link.operand) }))
  return (rt, activation) => {
    let left = first(rt, activation)
    for (const { operator, right } of links) {
      const value = right(rt, activation)
      if (!compare(rt, operator, left, value)) return false
      left = value
    }
    return true
  }
}

function compileConstant(value: Value): Evaluate {
  const name = unknownName(value)
  if (name !== undefined) return () => fail('TemplateRuntimeError', `name '${name}' is not defined`)
  return () => value
}

function compileDict(node: Expression & { kind: 'dict' }, operand: Operand): Evaluate {
  const items = node.items.map(({ key, value }) => [operand(key), operand(value)] as const)
  return (rt, activation) => {
    const dict = new Dict()
    for (const [key, value] of items) {
      // Python evaluates all of a display before it hashes its keys; errors are errors in both.
      dict.set(key(rt, activation), value(rt, activation))
    }
    return dict
  }
}

function compileItem(node: Expression & { kind: 'item' }, operand: Operand): Evaluate {
  const object = operand(node.object)
  const key = operand(node.key)
  if (node.key.kind === 'slice') {
    return (rt, activation) => slice(rt, object(rt, activation), key(rt, activation) as Slice)
  }
  return (rt, activation) => getItem(rt, object(rt, activation), key(rt, activation))
}

function compileConcat(node: Expression & { kind: 'concat' }, operand: Operand): Evaluate {
  const items = compileAll(node.items, operand)
  return (rt, activation) => {
    let text = ''
    for (const item of items(rt, activation)) {
      text += str(rt, item)
      rt.fits(text.length)
    }
    rt.joins(text.length)
    return text
  }
}

/** A call, which pauses where a macro does. */
export function compileCall(
  node: CallExpression,
  operand: Operand,
): (rt: Runtime, activation: Activation) => Pausing<Value> {
  const callee = operand(node.callee)
  const given = compileArguments(node, operand)
  return (rt, activation) => {
    const value = callee(rt, activation)
    const { args, kwargs } = given(rt, activation)
    return callPausing(rt, value, args, kwargs)
  }
}

/** What jinja2 writes into its code as it is; the other kinds it tries to evaluate beforehand. */
const UNFOLDED: ReadonlySet<string> = new Set(['name', 'const', 'list', 'tuple', 'dict', 'slice', 'namespace-target'])

/** @param operand How the operands are evaluated. Default: each where it is needed. */
export function compileExpression(
  node: Expression,
  frame: Frame,
  operand: Operand = (child) => compileExpression(child, frame),
): Evaluate {
  if (!UNFOLDED.has(node.kind)) {
    const value = frame.folder.fold(node)
    if (value !== undefined) return compileConstant(value)
  }
  switch (node.kind) {
    case 'name':
      return compileName(node, frame)
    case 'const':
      return compileConstant(node.value)
    case 'list':
      return compileAll(node.items, operand)
    case 'tuple': {
      const items = compileAll(node.items, operand)
      return (rt, activation) => new Tuple(items(rt, activation))
    }
    case 'dict':
      return compileDict(node, operand)
    case 'condition':
    case 'and':
    case 'or': {
      const { first, next } = compileBranches<Value>(node, frame, compileExpression)
      return (rt, activation) => next(first(rt, activation), rt, activation)
    }
    case 'unary': {
      const value = operand(node.operand)
      const { operator } = node
      return (rt, activation) => unary(operator, value(rt, activation))
    }
    case 'binary': {
      const left = operand(node.left)
      const right = operand(node.right)
      const { operator } = node
      return (rt, activation) => binary(rt, operator, left(rt, activation), right(rt, activation))
    }
    case 'concat':
      return compileConcat(node, operand)
    case 'compare':
      return compileCompare(node, operand)
    case 'attribute': {
      const object = operand(node.object)
      const { name } = node
      return (rt, activation) => getAttribute(rt, object(rt, activation), name)
    }
    case 'item':
      return compileItem(node, operand)
    case 'slice': {
      const part = (expression: Expression | undefined): Evaluate =>
        expression === undefined ? () => null : operand(expression)
      const [start, stop, step] = [part(node.start), part(node.stop), part(node.step)]
      return (rt, activation) => new Slice(start(rt, activation), stop(rt, activation), step(rt, activation))
    }
    case 'filter':
    case 'test':
      return compileFilter(node, frame, operand)
    case 'call': {
      const call = compileCall(node, operand)
      return (rt, activation) => atOnce(call(rt, activation))
    }
    case 'namespace-target':
      return fail('TemplateSyntaxError', 'unexpected target', node.line)
  }
  return node satisfies never
}

/** What a block may write: Python joins the pieces, and refuses what is no text. */
export function needsText(rt: Runtime, value: Value): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  return typeError(`sequence item: expected str instance, ${typeName(value)} found (${repr(rt, value).slice(0, 40)})`)
}
