/** @file Attributes, items and slices of values, with what the immutable sandbox forbids. */

import { PythonFloat } from '../../lossless-json.js'
import { fail, isKind, typeError, unsupported, valueError } from './errors.js'
import { dictAttribute, listAttribute, MUTATING, rangeAttribute, tupleAttribute, viewAttribute } from './methods.js'
import { numberAttribute } from './methods-number.js'
import { asIndex } from './numbers.js'
import type { Pausing } from './pause.js'
import { repr } from './repr.js'
import type { Runtime } from './runtime.js'
import { stringAttribute } from './string-methods.js'
import { codePointLength, codePoints, hasAstral } from './text.js'
import {
  Callable,
  Dict,
  DictView,
  Generator_,
  isInt,
  lengthOf,
  Markup,
  NativeObject,
  Range,
  Slice,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** `value.name` in a template: the attribute, otherwise the item, otherwise undefined. */
export function getAttribute(rt: Runtime, value: Value, name: string): Value {
  // Messages and tools are dicts: the fast way.
  if (value instanceof Dict && name.charCodeAt(0) !== 95) {
    const attribute = dictAttribute(rt, value, name)
    if (attribute === undefined) {
      const item = value.get(name)
      return item === undefined ? missing(rt, value, name) : item
    }
    return MUTATING.dict.has(name) ? unsafe(value, name) : attribute
  }
  if (value instanceof Undefined)
    return DUNDERS.test(name) || OWN_DUNDERS.test(name) ? unsafe(value, name) : value.fail()
  const attribute = attributeOf(rt, value, name)
  if (attribute === undefined) {
    const item = itemOrUndefined(rt, value, name)
    return item === undefined ? missing(rt, value, name) : item
  }
  return isForbidden(value, name) ? unsafe(value, name) : attribute
}

/** `value[key]` in a template: the item, otherwise the attribute of that name, otherwise undefined. */
export function getItem(rt: Runtime, value: Value, key: Value): Value {
  if (value instanceof Undefined) return value.fail()
  const item = itemOrUndefined(rt, value, key)
  if (item !== undefined) return item
  const name = typeof key === 'string' ? key : key instanceof Markup ? key.text : undefined
  if (name !== undefined) {
    const attribute = attributeOf(rt, value, name)
    if (attribute !== undefined) return isForbidden(value, name) ? unsafe(value, name) : attribute
  }
  return missing(rt, value, key)
}

/** Whether a value has an attribute, as `hasattr` says. */
export function hasAttribute(rt: Runtime, value: Value, name: string): boolean {
  return attributeOf(rt, value, name) !== undefined
}

function missing(rt: Runtime, value: Value, key: Value): Undefined {
  // The text is made only where Python makes it too: printing keys may fail.
  const shown = typeof key === 'string' ? `attribute '${key}'` : `element ${isInt(key) ? repr(rt, key) : typeName(key)}`
  return new Undefined(`'${typeName(value)} object' has no ${shown}`)
}

function unsafe(value: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe`, true)
}

function isForbidden(value: Value, name: string): boolean {
  if (name.startsWith('_')) return true
  if (Array.isArray(value)) return MUTATING.list.has(name)
  if (value instanceof Dict) return MUTATING.dict.has(name)
  return value instanceof Generator_ && (name === 'gi_frame' || name === 'gi_code')
}

const DUNDERS =
  /^__(?:class|doc|dir|eq|ne|lt|le|gt|ge|hash|init|init_subclass|new|reduce|reduce_ex|repr|setattr|sizeof|str|subclasshook|delattr|format|getattribute|getstate)__$/

/** What jinja2's own class defines: hidden by the sandbox as well, while other attributes of undefined fail. */
const OWN_DUNDERS =
  /^__(?:r?(?:add|sub|mul|div|truediv|floordiv|mod|pow)|pos|neg|call|getitem|int|float|complex|len|iter|aiter|bool|getattr|slots|module)__$/

function attributeOf(rt: Runtime, value: Value, name: string): Value | undefined {
  if (name.startsWith('__')) {
    // Every object has these, and the sandbox hides them all.
    if (DUNDERS.test(name)) return null
    // What else there is depends on the type and on Python's version. It is hidden too, so that only a key shows
    // through.
    return value instanceof Dict && value.has(name) ? unsupported(`the key ${name} read as an attribute`) : undefined
  }
  if (typeof value === 'string') return stringAttribute(value, name, LOOK_UP)
  if (value instanceof Markup) return markupAttribute(value, name)
  if (Array.isArray(value)) return listAttribute(rt, value, name)
  if (value instanceof Dict) return dictAttribute(rt, value, name)
  if (value instanceof Tuple) return tupleAttribute(rt, value, name)
  if (isInt(value) || value instanceof PythonFloat) return numberAttribute(rt, value, name)
  if (value instanceof Range) return rangeAttribute(rt, value, name)
  if (value instanceof DictView) return viewAttribute(value, name)
  if (value instanceof NativeObject) return value.attribute(name, rt)
  if (value instanceof Callable) return value.attributes?.get(name)
  if (value instanceof Generator_) {
    if (/^(?:gi_\w+|close|send|throw)$/.test(name)) return unsupported(`the attribute ${name} of a generator`)
    return undefined
  }
  if (value instanceof Slice) return unsupported('attributes of slices')
  return undefined
}

const LOOK_UP = { attribute: getAttribute, item: getItem }

function markupAttribute(value: Markup, name: string): Value | undefined {
  if (name === 'striptags' || name === 'unescape' || stringAttribute(value.text, name, LOOK_UP) !== undefined) {
    return unsupported(`the method ${name} of escaped text`)
  }
  return undefined
}

/** `value[key]` as Python does it, where undefined stands for its TypeError and LookupError. */
function itemOrUndefined(rt: Runtime, value: Value, key: Value): Value | undefined {
  if (value instanceof Dict || key instanceof Slice) {
    try {
      return value instanceof Dict ? value.get(key) : slice(rt, value, key as Slice)
    } catch (error) {
      if (isKind(error, 'TypeError')) return undefined
      throw error
    }
  }
  if (value instanceof NativeObject) return value.item?.(key)
  if (!isInt(key)) return undefined
  const index = Number(key)
  if (typeof value === 'string') {
    if (!hasAstral(value)) return value[index < 0 ? index + value.length : index]
    const points = codePoints(value)
    rt.step(points.length >> 6)
    return points[index < 0 ? index + points.length : index]
  }
  if (value instanceof Markup) return unsupported('a character of escaped text')
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined
  if (items !== undefined) return items[index < 0 ? index + items.length : index]
  if (value instanceof Range) {
    const at = index < 0 ? index + value.length : index
    return at >= 0 && at < value.length ? value.at(at) : undefined
  }
  return undefined
}

/** `value[start:stop:step]`. @throws TypeError for values without slices */
export function slice(rt: Runtime, value: Value, by: Slice): Value {
  if (value instanceof Undefined) return value.fail()
  if (value instanceof Markup) return unsupported('a slice of escaped text')
  const isSequence =
    typeof value === 'string' || Array.isArray(value) || value instanceof Tuple || value instanceof Range
  if (!isSequence) {
    if (value instanceof Dict) return typeError("unhashable type: 'slice'")
    return typeError(`'${typeName(value)}' object is not subscriptable`)
  }
  const length = lengthOf(value, codePointLength) as number
  const [start, stop, step] = bounds(by, length)
  const range = new Range(start, stop, step)
  if (value instanceof Range) return new Range(value.at(start), value.at(stop), value.step * step)
  rt.items(range.length >> 4)
  if (typeof value === 'string') {
    if (step === 1 && !hasAstral(value)) return value.slice(start, Math.max(start, stop))
    const points = codePoints(value)
    return step === 1 ? points.slice(start, Math.max(start, stop)).join('') : pick(points, range).join('')
  }
  const items = Array.isArray(value) ? value : value.items
  const picked = step === 1 ? items.slice(start, Math.max(start, stop)) : pick(items, range)
  return Array.isArray(value) ? picked : new Tuple(picked)
}

function pick<T>(items: readonly T[], range: Range): T[] {
  return Array.from({ length: range.length }, (_, index) => items[range.at(index)] as T)
}

function bounds(by: Slice, length: number): [number, number, number] {
  const whole = (part: Value): number | undefined => {
    if (part === null) return undefined
    if (!isInt(part)) return typeError('slice indices must be integers or None or have an __index__ method')
    return Math.max(-1e15, Math.min(1e15, Number(asIndex(part))))
  }
  const step = whole(by.step) ?? 1
  if (step === 0) return valueError('slice step cannot be zero')
  const lowest = step > 0 ? 0 : -1
  const highest = step > 0 ? length : length - 1
  const clamp = (part: number | undefined, absent: number): number => {
    if (part === undefined) return absent
    const at = part < 0 ? part + length : part
    return Math.max(lowest, Math.min(highest, at))
  }
  const start = clamp(whole(by.start), step > 0 ? 0 : length - 1)
  return [start, clamp(whole(by.stop), step > 0 ? length : -1), step]
}

/** Calls a value; macros may pause. @throws TypeError for what cannot be called, UndefinedError for undefined */
export function callPausing(rt: Runtime, value: Value, args: Value[], kwargs: Map<string, Value>): Pausing<Value> {
  rt.step()
  if (value instanceof Callable) return value.call(rt, { args, kwargs })
  if (value instanceof NativeObject && value.call !== undefined) return value.call(rt, { args, kwargs })
  if (value instanceof Undefined) return value.fail()
  return fail('TypeError', `'${typeName(value)}' object is not callable`)
}
