/** @file The tests behind `is`, apart from those that ask for filters and tests. */

import { PythonFloat } from '../../lossless-json.js'
import { bind } from './arguments.js'
import { contains, equal } from './compare.js'
import { isKind, unsupported } from './errors.js'
import { isNumeric } from './numbers.js'
import { binary, compare } from './operators.js'
import { str } from './repr.js'
import type { Runtime } from './runtime.js'
import { isLowerText, isUpperText } from './string-methods.js'
import { codePointLength } from './text.js'
import {
  type CallArguments,
  Callable,
  Dict,
  DictView,
  Generator_,
  isInt,
  iterate,
  lengthOf,
  Markup,
  NativeObject,
  textOf,
  Undefined,
  type Value,
} from './values.js'

export type Test = (rt: Runtime, value: Value, given: CallArguments) => boolean

function simple(name: string, holds: (value: Value, rt: Runtime) => boolean): [string, Test] {
  return [
    name,
    (rt, value, given) => {
      bind(name, given)
      return holds(value, rt)
    },
  ]
}

function comparison(operator: string, ...names: readonly string[]): [string, Test][] {
  return names.map((name) => [
    name,
    (rt, value, given) => {
      const [other] = bind(name, given, '/b')
      return compare(rt, operator, value, other as Value)
    },
  ])
}

const remainder = (rt: Runtime, value: Value, by: Value, wanted: number): boolean => {
  return equal(rt, binary(rt, '%', value, by), wanted)
}

function isIterable(value: Value): boolean {
  if (value instanceof Generator_) return true
  if (value instanceof Markup) return true
  if (value instanceof NativeObject) return value.iterate !== undefined
  try {
    iterate(value)
    return true
  } catch (error) {
    if (isKind(error, 'TypeError')) return false
    throw error
  }
}

function isSequence(value: Value): boolean {
  if (value instanceof DictView || value instanceof NativeObject) return false
  return lengthOf(value, codePointLength) !== undefined
}

/** `value is other`, where Python's answer does not depend on how it keeps values in memory. */
function isSame(rt: Runtime, value: Value, other: Value): boolean {
  const byValue = (part: Value): boolean => isNumeric(part) && typeof part !== 'boolean'
  if (typeof value === 'boolean' || typeof other === 'boolean' || value === null || other === null)
    return value === other
  const alike = (byValue(value) && byValue(other)) || (typeof value === 'string' && typeof other === 'string')
  if (!alike) return value === other
  if (!equal(rt, value, other) || value instanceof PythonFloat !== other instanceof PythonFloat) return false
  if (typeof value === 'number' && value >= -5 && value <= 256) return true
  return value === other && value instanceof PythonFloat
    ? true
    : unsupported('the test sameas of equal numbers or texts')
}

export const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  simple('boolean', (value) => typeof value === 'boolean'),
  simple('callable', (value) => {
    return (
      value instanceof Callable ||
      value instanceof Undefined ||
      (value instanceof NativeObject && value.call !== undefined)
    )
  }),
  simple('defined', (value) => !(value instanceof Undefined)),
  simple('escaped', (value) => value instanceof Markup),
  simple('even', (value, rt) => remainder(rt, value, 2, 0)),
  simple('false', (value) => value === false),
  simple('float', (value) => value instanceof PythonFloat),
  simple('integer', (value) => isInt(value) && typeof value !== 'boolean'),
  simple('iterable', isIterable),
  simple('lower', (value, rt) => isLowerText(textOf(value) ?? str(rt, value))),
  simple('mapping', (value) => value instanceof Dict),
  simple('none', (value) => value === null),
  simple('number', isNumeric),
  simple('odd', (value, rt) => remainder(rt, value, 2, 1)),
  simple('sequence', isSequence),
  simple('string', (value) => textOf(value) !== undefined),
  simple('true', (value) => value === true),
  simple('undefined', (value) => value instanceof Undefined),
  simple('upper', (value, rt) => isUpperText(textOf(value) ?? str(rt, value))),
  [
    'divisibleby',
    (rt, value, given) => {
      const [by] = bind('divisibleby', given, 'num')
      return remainder(rt, value, by as Value, 0)
    },
  ],
  [
    'in',
    (rt, value, given) => {
      const [container] = bind('in', given, 'seq')
      return contains(rt, container as Value, value)
    },
  ],
  [
    'sameas',
    (rt, value, given) => {
      const [other] = bind('sameas', given, 'other')
      return isSame(rt, value, other as Value)
    },
  ],
  ...comparison('==', '==', 'eq', 'equalto'),
  ...comparison('!=', '!=', 'ne'),
  ...comparison('>', '>', 'gt', 'greaterthan'),
  ...comparison('>=', '>=', 'ge'),
  ...comparison('<', '<', 'lt', 'lessthan'),
  ...comparison('<=', '<=', 'le'),
])
