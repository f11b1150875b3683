/**
 * @file Constant expressions, evaluated beforehand where jinja2's compiler does so. It shows: what it folds is printed
 * even where a rendering would fail, and a folded `inf` or `nan` becomes a name that Python does not know.
 */

import { PythonFloat } from '../../lossless-json.js'
import { getAttribute, getItem } from './access.js'
import { TemplateFailure } from './errors.js'
import { CONTEXT_FILTERS, callFilter, callTest, FILTERS, TEST_NAMES } from './filters.js'
import type { CallSignature, Expression, FilterExpression } from './nodes.js'
import { binary, compare, unary } from './operators.js'
import { str } from './repr.js'
import type { Runtime } from './runtime.js'
import { Dict, isTrue, listOf, Markup, Slice, Tuple, type Value } from './values.js'

/** Evaluates constants of one template, each once. */
export class ConstantFolder {
  readonly #rt: Runtime
  readonly #known = new Map<Expression, Value | undefined>()

  constructor(rt: Runtime) {
    this.#rt = rt
  }

  /** The value of a constant expression that Python could write down as code, or undefined. */
  fold(node: Expression): Value | undefined {
    const value = this.constant(node)
    return value !== undefined && isLiteral(value) ? value : undefined
  }

  /** What a constant expression prints, or undefined where that is found out at run time. */
  printed(node: Expression): string | undefined {
    try {
      const value = this.constant(node)
      return value === undefined ? undefined : str(this.#rt, value)
    } catch {
      return undefined
    }
  }

  /**
   * The value of an expression without variables and calls, or undefined.
   * @throws what jinja2 lets pass while it compiles
   */
  constant(node: Expression): Value | undefined {
    if (this.#known.has(node)) return this.#known.get(node)
    const value = this.#evaluate(node)
    this.#known.set(node, value)
    return value
  }

  #evaluate(node: Expression): Value | undefined {
    const rt = this.#rt
    switch (node.kind) {
      case 'const':
        return node.value
      case 'list':
      case 'tuple': {
        const items = this.#all(node.items)
        return items === undefined || node.kind === 'list' ? items : new Tuple(items)
      }
      case 'dict':
        return this.#dict(node.items)
      case 'condition': {
        const test = this.constant(node.test)
        if (test === undefined) return undefined
        if (isTrue(test)) return this.constant(node.whenTrue)
        return node.otherwise === undefined ? undefined : this.constant(node.otherwise)
      }
      case 'and':
      case 'or': {
        const left = this.constant(node.left)
        return left === undefined || isTrue(left) === (node.kind === 'or') ? left : this.constant(node.right)
      }
      case 'unary':
        return this.#attempt([node.operand], ([operand]) => unary(node.operator, operand as Value))
      case 'binary':
        return this.#attempt([node.left, node.right], ([left, right]) => {
          return binary(rt, node.operator, left as Value, right as Value)
        })
      case 'compare':
        return this.#compare(node)
      case 'concat': {
        const items = this.#all(node.items)
        return items === undefined ? undefined : this.#attempt([], () => items.map((item) => str(rt, item)).join(''))
      }
      case 'attribute':
        return this.#attempt([node.object], ([object]) => getAttribute(rt, object as Value, node.name))
      case 'item':
        return this.#attempt([node.object, node.key], ([object, key]) => getItem(rt, object as Value, key as Value))
      case 'slice': {
        const part = (expression: Expression | undefined): Value | undefined =>
          expression === undefined ? null : this.constant(expression)
        const [start, stop, step] = [part(node.start), part(node.stop), part(node.step)]
        if (start === undefined || stop === undefined || step === undefined) return undefined
        return new Slice(start, stop, step)
      }
      case 'filter':
      case 'test':
        return this.#filter(node)
      case 'name':
      case 'call':
      case 'namespace-target':
        return undefined
    }
    return node satisfies never
  }

  #all(nodes: readonly Expression[]): Value[] | undefined {
    const values: Value[] = []
    for (const node of nodes) {
      const value = this.constant(node)
      if (value === undefined) return undefined
      values.push(value)
    }
    return values
  }

  #dict(items: readonly { key: Expression; value: Expression }[]): Value | undefined {
    const dict = new Dict()
    for (const item of items) {
      const key = this.constant(item.key)
      const value = key === undefined ? undefined : this.constant(item.value)
      if (key === undefined || value === undefined) return undefined
      dict.set(key, value)
    }
    return dict
  }

  /** What fails while it is folded is left for the rendering. */
  #attempt(operands: readonly Expression[], work: (values: Value[]) => Value): Value | undefined {
    try {
      const values = this.#all(operands)
      return values === undefined ? undefined : work(values)
    } catch (error) {
      if (error instanceof TemplateFailure || error instanceof RangeError) return undefined
      throw error
    }
  }

  #compare(node: Expression & { kind: 'compare' }): Value | undefined {
    let left = this.constant(node.first)
    if (left === undefined) return undefined
    for (const { operator, operand } of node.links) {
      const before: Value = left
      const right = this.#attempt([operand], ([value]) => value as Value)
      if (right === undefined) return undefined
      const holds = this.#attempt([], () => compare(this.#rt, operator, before, right))
      if (holds !== true) return holds
      left = right
    }
    return true
  }

  #filter(node: FilterExpression): Value | undefined {
    const isFilter = node.kind === 'filter'
    if (!(isFilter ? FILTERS : TEST_NAMES).has(node.name) || (isFilter && CONTEXT_FILTERS.has(node.name)))
      return undefined
    const given = this.#arguments(node)
    const value = node.value === undefined || given === undefined ? undefined : this.constant(node.value)
    if (value === undefined || given === undefined) return undefined
    return this.#attempt([], () => (isFilter ? callFilter : callTest)(this.#rt, node.name, value, given))
  }

  #arguments(node: CallSignature): { args: Value[]; kwargs: Map<string, Value> } | undefined {
    const args = this.#all(node.args)
    const kwargs = new Map<string, Value>()
    for (const { name, value } of node.kwargs) {
      const constant = this.constant(value)
      if (constant === undefined) return undefined
      kwargs.set(name, constant)
    }
    if (args === undefined) return undefined
    if (node.rest !== undefined) {
      const rest = this.#attempt([node.rest], ([value]) => listOf(this.#rt, value as Value))
      if (!Array.isArray(rest)) return undefined
      args.push(...rest)
    }
    if (node.restNamed !== undefined) {
      const named = this.#attempt([node.restNamed], ([value]) => value as Value)
      if (!(named instanceof Dict)) return undefined
      for (const [key, value] of named.entries()) {
        if (typeof key !== 'string') return undefined
        kwargs.set(key, value)
      }
    }
    return { args, kwargs }
  }
}

/** Whether Python's code for the value is the value again. */
function isLiteral(value: Value): boolean {
  if (value === null || typeof value !== 'object' || value instanceof PythonFloat || value instanceof Markup)
    return true
  if (Array.isArray(value)) return value.every(isLiteral)
  if (value instanceof Tuple) return value.names.length === 0 && value.items.every(isLiteral)
  if (!(value instanceof Dict)) return false
  for (const [key, entry] of value.entries()) if (!isLiteral(key) || !isLiteral(entry)) return false
  return true
}

/** The name that Python's code would have for a float within a literal which is no number to it, or undefined. */
export function unknownName(value: Value): string | undefined {
  if (value instanceof PythonFloat) {
    if (Number.isNaN(value.value)) return 'nan'
    return Number.isFinite(value.value) ? undefined : 'inf'
  }
  if (Array.isArray(value)) return firstName(value)
  if (value instanceof Tuple) return firstName(value.items)
  if (!(value instanceof Dict)) return undefined
  return firstName(Array.from(value.entries()).flat())
}

function firstName(values: readonly Value[]): string | undefined {
  for (const value of values) {
    const name = unknownName(value)
    if (name !== undefined) return name
  }
  return undefined
}
