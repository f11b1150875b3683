/** @file Python's comparisons: `==`, the order of `<` and of sorting, and `in`. */

import { PythonFloat } from '../../lossless-json.js'
import { typeError, unsupported } from './errors.js'
import { intOf } from './numbers.js'
import type { Runtime } from './runtime.js'
import { compareText } from './text.js'
import {
  Dict,
  DictView,
  hashKey,
  isInt,
  iterate,
  NativeObject,
  Range,
  Slice,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** `a == b`. */
export function equal(rt: Runtime, a: Value, b: Value): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  rt.step()
  if (a === b) return true
  if (isInt(a) || a instanceof PythonFloat) {
    if (!isInt(b) && !(b instanceof PythonFloat)) return false
    const x = a instanceof PythonFloat ? a.value : intOf(a)
    const y = b instanceof PythonFloat ? b.value : intOf(b)
    return sameNumber(x, y)
  }
  const text = textOf(a)
  if (text !== undefined) return text === textOf(b)
  if (Array.isArray(a)) return Array.isArray(b) && sameItems(rt, a, b)
  if (a instanceof Tuple) return b instanceof Tuple && sameItems(rt, a.items, b.items)
  if (a instanceof Dict) {
    if (!(b instanceof Dict) || a.size !== b.size) return false
    for (const [key, value] of a.entries()) {
      const other = b.get(key)
      if (other === undefined || !same(rt, value, other)) return false
    }
    return true
  }
  if (a instanceof Undefined) return b instanceof Undefined
  if (a instanceof Range && b instanceof Range) {
    const alike = a.length === b.length && (a.length === 0 || a.start === b.start)
    return alike && (a.length <= 1 || a.step === b.step)
  }
  if (a instanceof DictView && b instanceof DictView && a.kind !== 'values')
    return unsupported('comparing views of dicts')
  if (a instanceof Slice && b instanceof Slice) return unsupported('comparing slices')
  return false
}

/** Numbers and bigints compare by value, as Python's integers and floats do. */
function sameNumber(a: number | bigint, b: number | bigint): boolean {
  return typeof a === typeof b ? a === b : a >= b && a <= b
}

/** Python's containers compare by identity first. */
function same(rt: Runtime, a: Value, b: Value): boolean {
  return a === b || equal(rt, a, b)
}

function sameItems(rt: Runtime, a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, index) => same(rt, item, b[index] as Value))
}

/**
 * Less than, equal or greater: a negative number, 0 or a positive one; NaN where neither.
 * @throws TypeError without an order
 */
export function order(rt: Runtime, a: Value, b: Value, operator = '<'): number {
  rt.step()
  const left = textOf(a)
  const right = textOf(b)
  if (left !== undefined && right !== undefined) return compareText(left, right)
  if ((isInt(a) || a instanceof PythonFloat) && (isInt(b) || b instanceof PythonFloat)) {
    const x = a instanceof PythonFloat ? a.value : intOf(a)
    const y = b instanceof PythonFloat ? b.value : intOf(b)
    return x < y ? -1 : x > y ? 1 : sameNumber(x, y) ? 0 : Number.NaN
  }
  const first = Array.isArray(a) ? a : a instanceof Tuple ? a.items : undefined
  const second = Array.isArray(b) ? b : b instanceof Tuple ? b.items : undefined
  if (first !== undefined && second !== undefined && Array.isArray(a) === Array.isArray(b)) {
    for (let at = 0; at < first.length && at < second.length; at++) {
      const x = first[at] as Value
      const y = second[at] as Value
      if (!same(rt, x, y)) return order(rt, x, y, operator)
    }
    return first.length - second.length
  }
  for (const value of [a, b]) if (value instanceof Undefined) value.fail()
  if (a instanceof DictView || b instanceof DictView) return unsupported('ordering views of dicts')
  return typeError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`)
}

/** A stable sort by keys, as `sorted` does it. */
export function sortBy(rt: Runtime, items: readonly Value[], key: (item: Value) => Value, reverse: boolean): Value[] {
  const keyed = items.map((item) => ({ item, key: key(item) }))
  for (const entry of keyed) {
    const keys = Array.isArray(entry.key) ? entry.key : [entry.key]
    // Where NaN lands depends on the steps of Python's own algorithm.
    if (keys.some((value) => value instanceof PythonFloat && Number.isNaN(value.value))) unsupported('sorting NaN')
  }
  // Python reverses, sorts and reverses again, which keeps equal items in their order.
  if (reverse) keyed.reverse()
  const texts = plainKeys(keyed)
  if (texts === undefined) keyed.sort((a, b) => order(rt, a.key, b.key))
  else {
    rt.step(items.length * Math.ceil(Math.log2(items.length + 1)))
    texts.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  }
  const sorted = texts ?? keyed
  if (reverse) sorted.reverse()
  return sorted.map((entry) => entry.item)
}

/** Keys that are all texts which JavaScript orders as Python does: long lists of them are sorted without a pause. */
function plainKeys(keyed: readonly { item: Value; key: Value }[]): { item: Value; text: string }[] | undefined {
  const texts: { item: Value; text: string }[] = []
  for (const { item, key } of keyed) {
    const text = Array.isArray(key) && key.length === 1 ? key[0] : key
    if (typeof text !== 'string' || /[\ud800-\udfff]/.test(text)) return undefined
    texts.push({ item, text })
  }
  return texts
}

/** `item in container`. @throws TypeError where Python does */
export function contains(rt: Runtime, container: Value, item: Value): boolean {
  const text = textOf(container)
  if (text !== undefined) {
    const part = textOf(item)
    if (part === undefined) return typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
    rt.step(text.length >> 6)
    return text.includes(part)
  }
  if (container instanceof Dict) return container.has(item)
  if (container instanceof Range) {
    if (isInt(item)) {
      const value = intOf(item)
      if (typeof value === 'bigint') return false
      const index = (value - container.start) / container.step
      return Number.isInteger(index) && index >= 0 && index < container.length
    }
  }
  if (container instanceof DictView && container.kind === 'keys') {
    hashKey(item)
    return container.dict.has(item)
  }
  if (container instanceof NativeObject && container.iterate === undefined) {
    return typeError(`argument of type '${container.type}' is not iterable`)
  }
  const iterator = iterate(container)
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    rt.step()
    if (same(rt, next.value, item)) return true
  }
  return false
}
