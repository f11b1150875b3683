/** @file The operators of expressions on values of every type. */

import { PythonFloat } from '../../lossless-json.js'
import { contains, equal, order } from './compare.js'
import { fail, typeError, unsupported } from './errors.js'
import { escapeHtml } from './html.js'
import { asCount, asIndex, binaryNumber, isNumeric, negate } from './numbers.js'
import { percentFormat } from './percent-format.js'
import type { Runtime } from './runtime.js'
import { DictView, isInt, isTrue, Markup, Tuple, textOf, typeName, Undefined, type Value } from './values.js'

/** `left operator right`. @throws TypeError for operands that do not go together */
export function binary(rt: Runtime, operator: string, left: Value, right: Value): Value {
  if (operator === '+' && typeof left === 'string' && typeof right === 'string') {
    rt.joins(left.length + right.length)
    return left + right
  }
  rt.step()
  if (isNumeric(left) && isNumeric(right)) return binaryNumber(operator, left, right)
  if (operator === '%' && typeof left === 'string') return percentFormat(rt, left, right)
  if (left instanceof Undefined) return left.fail()
  if (right instanceof Undefined) return right.fail()
  if (operator === '+') return add(rt, left, right)
  if (operator === '*') {
    if (isInt(right)) return repeat(rt, left, asTimes(right)) ?? mismatch(operator, left, right)
    if (isInt(left)) return repeat(rt, right, asTimes(left)) ?? mismatch(operator, left, right)
  }
  if (left instanceof Markup) return unsupported(`the operator ${operator} on escaped text`)
  if (left instanceof DictView && operator === '-') return unsupported('the difference of views of dicts')
  return mismatch(operator, left, right)
}

function mismatch(operator: string, left: Value, right: Value): never {
  const got = `'${typeName(left)}' and '${typeName(right)}'`
  if (operator === '+' && typeof left === 'string') {
    return typeError(`can only concatenate str (not "${typeName(right)}") to str`)
  }
  if (operator === '+' && Array.isArray(left)) {
    return typeError(`can only concatenate list (not "${typeName(right)}") to list`)
  }
  return typeError(`unsupported operand type(s) for ${operator}: ${got}`)
}

function add(rt: Runtime, left: Value, right: Value): Value {
  if (left instanceof Markup || right instanceof Markup) {
    const [first, second] = [textOf(left), textOf(right)]
    if (first === undefined || second === undefined) return mismatch('+', left, right)
    rt.room(6 * (first.length + second.length))
    const text = (value: Value, plain: string): string => (value instanceof Markup ? plain : escapeHtml(plain))
    return new Markup(text(left, first) + text(right, second))
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    rt.items((left.length + right.length) >> 2)
    return [...left, ...right]
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    rt.items((left.items.length + right.items.length) >> 2)
    return new Tuple([...left.items, ...right.items])
  }
  return mismatch('+', left, right)
}

function asTimes(value: Value): number {
  const whole = asIndex(value)
  if (typeof whole === 'bigint' && BigInt.asIntN(64, whole) !== whole) {
    fail('OverflowError', "cannot fit 'int' into an index-sized integer")
  }
  return asCount(whole)
}

function repeat(rt: Runtime, value: Value, count: number): Value | undefined {
  const times = Math.max(0, count)
  if (typeof value === 'string') {
    rt.room(value.length * times)
    return value.repeat(value === '' ? 0 : times)
  }
  if (value instanceof Markup) return unsupported('repeating escaped text')
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined
  if (items === undefined) return undefined
  rt.items(items.length * times)
  const repeated: Value[] = []
  for (let time = 0; time < times && items.length > 0; time++) for (const item of items) repeated.push(item)
  return Array.isArray(value) ? repeated : new Tuple(repeated)
}

export function unary(operator: '-' | '+' | 'not', value: Value): Value {
  if (operator === 'not') return !isTrue(value)
  if (value instanceof Undefined) return value.fail()
  if (!isNumeric(value)) return typeError(`bad operand type for unary ${operator}: '${typeName(value)}'`)
  if (operator === '-') return negate(value)
  return value instanceof PythonFloat ? value : typeof value === 'boolean' ? Number(value) : value
}

/** One link of a chain of comparisons. */
export function compare(rt: Runtime, operator: string, left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return equal(rt, left, right)
    case '!=':
      return !equal(rt, left, right)
    case 'in':
      return contains(rt, right, left)
    case 'not in':
      return !contains(rt, right, left)
    case '<':
      return order(rt, left, right, operator) < 0
    case '<=':
      return order(rt, left, right, operator) <= 0
    case '>':
      return order(rt, left, right, operator) > 0
    default:
      return order(rt, left, right, operator) >= 0
  }
}
