/** @file Expressions become closures: evaluating one is a call without any look at the syntax tree. */

import { callValue, getAttribute, getItem, slice } from './access.js'
import { fail, typeError } from './errors.js'
import { callFilter, callTest, FILTERS, TEST_NAMES } from './filters.js'
import { unknownName } from './fold.js'
import { type Activation, type Evaluate, type Frame, reader } from './frames.js'
import type { CallSignature, Expression, FilterExpression } from './nodes.js'
import { binary, compare, unary } from './operators.js'
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

function compileAll(nodes: readonly Expression[], frame: Frame): (rt: Runtime, activation: Activation) => Value[] {
  const items = nodes.map((node) => compileExpression(node, frame))
  return (rt, activation) => {
    const values: Value[] = []
    for (const item of items) values.push(item(rt, activation))
    return values
  }
}

/** Arguments of a call, in Python's order: positional, `*args`, named, `**kwargs`. */
export function compileArguments(node: CallSignature, frame: Frame) {
  const positional = compileAll(node.args, frame)
  const named = node.kwargs.map(({ name, value }) => ({ name, value: compileExpression(value, frame) }))
  const rest = node.rest === undefined ? undefined : compileExpression(node.rest, frame)
  const restNamed = node.restNamed === undefined ? undefined : compileExpression(node.restNamed, frame)
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

function compileFilter(node: FilterExpression, frame: Frame, own?: Evaluate): Evaluate {
  const isFilter = node.kind === 'filter'
  const known = isFilter ? FILTERS.has(node.name) : TEST_NAMES.has(node.name)
  if (!known && !frame.soft) fail('TemplateSyntaxError', `No ${node.kind} named '${node.name}'.`, node.line)
  const value = own ?? compileExpression(node.value as Expression, frame)
  const given = compileArguments(node, frame)
  const { name } = node
  if (!isFilter) return (rt, activation) => callTest(rt, name, value(rt, activation), given(rt, activation))
  return (rt, activation) => callFilter(rt, name, value(rt, activation), given(rt, activation))
}

/** A filter whose innermost value is the text of a block. */
export function compileBlockFilter(node: FilterExpression, frame: Frame, text: Evaluate): Evaluate {
  const inner = node.value as FilterExpression | undefined
  return compileFilter(node, frame, inner === undefined ? text : compileBlockFilter(inner, frame, text))
}

function compileCondition(node: Expression & { kind: 'condition' }, outer: Frame): Evaluate {
  const frame = { ...outer, soft: true }
  const test = compileExpression(node.test, frame)
  const whenTrue = compileExpression(node.whenTrue, frame)
  const message = `the inline if-expression on line ${node.line} evaluated to false and no else section was defined.`
  const otherwise =
    node.otherwise === undefined ? () => new Undefined(message) : compileExpression(node.otherwise, frame)
  return (rt, activation) => (isTrue(test(rt, activation)) ? whenTrue : otherwise)(rt, activation)
}

function compileCompare(node: Expression & { kind: 'compare' }, frame: Frame): Evaluate {
  const first = compileExpression(node.first, frame)
  const links = node.links.map(({ operator, operand }) => ({ operator, operand: compileExpression(operand, frame) }))
  return (rt, activation) => {
    let left = first(rt, activation)
    for (const { operator, operand } of links) {
      const right = operand(rt, activation)
      if (!compare(rt, operator, left, right)) return false
      left = right
    }
    return true
  }
}

function compileConstant(value: Value): Evaluate {
  const name = unknownName(value)
  if (name !== undefined) return () => fail('TemplateRuntimeError', `name '${name}' is not defined`)
  return () => value
}

function compileDict(node: Expression & { kind: 'dict' }, frame: Frame): Evaluate {
  const items = node.items.map(
    ({ key, value }) => [compileExpression(key, frame), compileExpression(value, frame)] as const,
  )
  return (rt, activation) => {
    const dict = new Dict()
    for (const [key, value] of items) {
      // Python evaluates all of a display before it hashes its keys; errors are errors in both.
      dict.set(key(rt, activation), value(rt, activation))
    }
    return dict
  }
}

function compileItem(node: Expression & { kind: 'item' }, frame: Frame): Evaluate {
  const object = compileExpression(node.object, frame)
  const key = compileExpression(node.key, frame)
  if (node.key.kind === 'slice') {
    return (rt, activation) => slice(rt, object(rt, activation), key(rt, activation) as Slice)
  }
  return (rt, activation) => getItem(rt, object(rt, activation), key(rt, activation))
}

function compileConcat(node: Expression & { kind: 'concat' }, frame: Frame): Evaluate {
  const items = compileAll(node.items, frame)
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

/** What jinja2 writes into its code as it is; the other kinds it tries to evaluate beforehand. */
const UNFOLDED: ReadonlySet<string> = new Set(['name', 'const', 'list', 'tuple', 'dict', 'slice', 'namespace-target'])

export function compileExpression(node: Expression, frame: Frame): Evaluate {
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
      return compileAll(node.items, frame)
    case 'tuple': {
      const items = compileAll(node.items, frame)
      return (rt, activation) => new Tuple(items(rt, activation))
    }
    case 'dict':
      return compileDict(node, frame)
    case 'condition':
      return compileCondition(node, frame)
    case 'and':
    case 'or': {
      const left = compileExpression(node.left, frame)
      const right = compileExpression(node.right, frame)
      const stopsAt = node.kind === 'or'
      return (rt, activation) => {
        const value = left(rt, activation)
        return isTrue(value) === stopsAt ? value : right(rt, activation)
      }
    }
    case 'unary': {
      const operand = compileExpression(node.operand, frame)
      const { operator } = node
      return (rt, activation) => unary(operator, operand(rt, activation))
    }
    case 'binary': {
      const left = compileExpression(node.left, frame)
      const right = compileExpression(node.right, frame)
      const { operator } = node
      return (rt, activation) => binary(rt, operator, left(rt, activation), right(rt, activation))
    }
    case 'concat':
      return compileConcat(node, frame)
    case 'compare':
      return compileCompare(node, frame)
    case 'attribute': {
      const object = compileExpression(node.object, frame)
      const { name } = node
      return (rt, activation) => getAttribute(rt, object(rt, activation), name)
    }
    case 'item':
      return compileItem(node, frame)
    case 'slice': {
      const part = (expression: Expression | undefined): Evaluate =>
        expression === undefined ? () => null : compileExpression(expression, frame)
      const [start, stop, step] = [part(node.start), part(node.stop), part(node.step)]
      return (rt, activation) => new Slice(start(rt, activation), stop(rt, activation), step(rt, activation))
    }
    case 'filter':
    case 'test':
      return compileFilter(node, frame)
    case 'call': {
      const callee = compileExpression(node.callee, frame)
      const given = compileArguments(node, frame)
      return (rt, activation) => {
        const value = callee(rt, activation)
        const { args, kwargs } = given(rt, activation)
        return callValue(rt, value, args, kwargs)
      }
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
