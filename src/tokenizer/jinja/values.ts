/**
 * @file The values of a template, which are Python's: null is None, integers are numbers or bigints, floats are
 * `PythonFloat`, arrays are lists. Everything else has a class here.
 */

import { PythonFloat } from '../../lossless-json.js'
import { fail, typeError, unsupported } from './errors.js'
import type { Pausing } from './pause.js'
import type { Runtime } from './runtime.js'
import { codePoints } from './text.js'

export type Value = null | boolean | number | bigint | string | PythonFloat | Value[] | ObjectValue

export type ObjectValue =
  | Tuple
  | Dict
  | Undefined
  | Markup
  | Range
  | Generator_
  | DictView
  | Slice
  | Missing
  | NativeObject
  | Callable

/** Positional and named arguments of a call. */
export interface CallArguments {
  args: Value[]
  kwargs: Map<string, Value>
}

export class Tuple {
  readonly items: readonly Value[]
  /** Names of the items, in a named tuple. */
  readonly names: readonly string[]

  constructor(items: readonly Value[], names: readonly string[] = []) {
    this.items = items
    this.names = names
  }
}

/** Text that is safe in HTML. Templates get one from `escape` or `safe`; few operations on it are supported. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** The absent value: prints nothing, is false and empty, and refuses everything else. */
export class Undefined {
  readonly message: string
  readonly unsafe: boolean

  constructor(message: string, unsafe = false) {
    this.message = message
    this.unsafe = unsafe
  }

  fail(): never {
    return fail(this.unsafe ? 'SecurityError' : 'UndefinedError', this.message)
  }
}

/** A variable that was never assigned. Python prints it as `missing` where its own checks let it through. */
export class Missing {
  readonly missing = true
}

export const MISSING = new Missing()

/** In place of an item that a loop with `if` has not found yet, so that the loop may pause. Templates never see it. */
export const GAP = new Missing()

export class Range {
  readonly start: number
  readonly stop: number
  readonly step: number
  readonly length: number

  constructor(start: number, stop: number, step: number) {
    this.start = start
    this.stop = stop
    this.step = step
    this.length = Math.max(0, Math.ceil((stop - start) / step))
  }

  at(index: number): number {
    return this.start + index * this.step
  }
}

export class Slice {
  readonly start: Value
  readonly stop: Value
  readonly step: Value

  constructor(start: Value, stop: Value, step: Value) {
    this.start = start
    this.stop = stop
    this.step = step
  }
}

/** An iterator: it can be gone through once. `label` names its type in errors. */
export class Generator_ {
  readonly label: string
  readonly iterator: Iterator<Value>

  constructor(label: string, iterator: Iterator<Value>) {
    this.label = label
    this.iterator = iterator
  }
}

export class DictView {
  readonly dict: Dict
  readonly kind: 'keys' | 'values' | 'items'

  constructor(dict: Dict, kind: 'keys' | 'values' | 'items') {
    this.dict = dict
    this.kind = kind
  }

  *items(): Generator<Value> {
    for (const [key, value] of this.dict.entries()) {
      yield this.kind === 'keys' ? key : this.kind === 'values' ? value : new Tuple([key, value])
    }
  }
}

/** Something that can be called: functions, bound methods, macros. */
export class Callable {
  readonly name: string
  readonly call: (rt: Runtime, args: CallArguments) => Pausing<Value>
  /** What Python prints for it, where that is the same in every run. */
  readonly shown: string | undefined
  readonly attributes: ReadonlyMap<string, Value> | undefined

  constructor(
    name: string,
    call: (rt: Runtime, args: CallArguments) => Pausing<Value>,
    shown?: string,
    attributes?: ReadonlyMap<string, Value>,
  ) {
    this.name = name
    this.call = call
    this.shown = shown
    this.attributes = attributes
  }
}

/** An object of the engine: `loop`, a namespace, a cycler. Its parts say what a template may do with it. */
export class NativeObject {
  readonly type: string
  /** The attribute, or undefined where there is none. */
  readonly attribute: (name: string, rt: Runtime) => Value | undefined
  readonly call: ((rt: Runtime, args: CallArguments) => Pausing<Value>) | undefined
  readonly shown: ((rt: Runtime) => string) | undefined
  readonly assign: ((name: string, value: Value) => void) | undefined
  readonly length: (() => number) | undefined
  readonly iterate: (() => Iterator<Value>) | undefined
  readonly item: ((name: Value) => Value | undefined) | undefined

  constructor(
    type: string,
    parts: {
      attribute?: (name: string, rt: Runtime) => Value | undefined
      call?: (rt: Runtime, args: CallArguments) => Pausing<Value>
      shown?: (rt: Runtime) => string
      assign?: (name: string, value: Value) => void
      length?: () => number
      iterate?: () => Iterator<Value>
      item?: (name: Value) => Value | undefined
    },
  ) {
    this.type = type
    this.attribute = parts.attribute ?? (() => undefined)
    this.call = parts.call
    this.shown = parts.shown
    this.assign = parts.assign
    this.length = parts.length
    this.iterate = parts.iterate
    this.item = parts.item
  }
}

/** What a Map can tell apart as Python's dict does: 1, 1.0 and True are one key. */
export type HashKey = string | number | bigint | null | symbol | object

const UNDEFINED_KEY = Symbol('undefined')

/** The key of a value in a dict. @throws TypeError for values that have none, such as lists. */
export function hashKey(value: Value): HashKey {
  if (typeof value === 'string') return value.charCodeAt(0) === 0 ? `\0s${value}` : value
  if (typeof value === 'number' || typeof value === 'bigint' || value === null) return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof PythonFloat) {
    const { value: float } = value
    if (Number.isNaN(float)) return value
    return Number.isInteger(float) && !Number.isSafeInteger(float) ? BigInt(float) : float === 0 ? 0 : float
  }
  if (value instanceof Markup) return hashKey(value.text)
  if (value instanceof Tuple) return `\0t${value.items.map(tupleKey).join('')}`
  if (value instanceof Undefined) return UNDEFINED_KEY
  if (Array.isArray(value) || value instanceof Dict || value instanceof Slice) {
    return typeError(`unhashable type: '${typeName(value)}'`)
  }
  if (value instanceof DictView && value.kind !== 'values') return typeError(`unhashable type: '${typeName(value)}'`)
  return value
}

const identities = new WeakMap<object, number>()
let lastIdentity = 0

/** Part of a tuple's key: its length comes first, so that no two tuples share a key. */
function tupleKey(value: Value): string {
  const key = hashKey(value)
  let text: string
  if (typeof key === 'object' && key !== null) {
    let identity = identities.get(key)
    if (identity === undefined) {
      identity = ++lastIdentity
      identities.set(key, identity)
    }
    text = `o${identity}`
  } else text = typeof key === 'string' ? `s${key}` : typeof key === 'symbol' ? 'u' : `n${String(key)}`
  return `${text.length}:${text}`
}

export class Dict {
  readonly #values = new Map<HashKey, Value>()
  // The few keys that a Map cannot hold as they are, such as True and tuples.
  #keys: Map<HashKey, Value> | undefined

  static of(entries: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict()
    for (const [key, value] of entries) dict.set(key, value)
    return dict
  }

  get size(): number {
    return this.#values.size
  }

  get(key: Value): Value | undefined {
    return this.#values.get(hashKey(key))
  }

  has(key: Value): boolean {
    return this.#values.has(hashKey(key))
  }

  /** Sets a value; the first of equal keys stays. */
  set(key: Value, value: Value): void {
    const hashed = hashKey(key)
    if (hashed !== key && !this.#values.has(hashed)) {
      this.#keys ??= new Map()
      this.#keys.set(hashed, key)
    }
    this.#values.set(hashed, value)
  }

  *entries(): Generator<[Value, Value]> {
    for (const [hashed, value] of this.#values) yield [this.#keyOf(hashed), value]
  }

  *keys(): Generator<Value> {
    for (const hashed of this.#values.keys()) yield this.#keyOf(hashed)
  }

  #keyOf(hashed: HashKey): Value {
    // None is its own hash.
    return this.#keys?.get(hashed) ?? (hashed as Value)
  }
}

/** `type(value).__name__`, as errors show it. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number' || typeof value === 'bigint') return 'int'
  if (typeof value === 'string') return 'str'
  if (value instanceof PythonFloat) return 'float'
  if (Array.isArray(value)) return 'list'
  if (value instanceof Generator_) return value.label
  if (value instanceof DictView) return `dict_${value.kind}`
  if (value instanceof NativeObject) return value.type
  if (value instanceof Callable) return value.shown === undefined ? 'function' : 'Macro'
  return value.constructor.name.toLowerCase()
}

/** The text of a str or Markup, otherwise undefined. */
export function textOf(value: Value): string | undefined {
  return typeof value === 'string' ? value : value instanceof Markup ? value.text : undefined
}

/** Whether a value is an integer; booleans are integers in Python, and counted here. */
export function isInt(value: Value): value is number | bigint | boolean {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
}

export function isTrue(value: Value): boolean {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') return value !== ''
  if (value === null) return false
  if (typeof value === 'number') return value !== 0
  // Zero is a number, never a bigint.
  if (typeof value === 'bigint') return true
  if (Array.isArray(value)) return value.length > 0
  if (value instanceof Dict) return value.size > 0
  if (value instanceof Undefined) return false
  if (value instanceof PythonFloat) return value.value !== 0
  if (value instanceof Tuple) return value.items.length > 0
  if (value instanceof Markup) return value.text !== ''
  if (value instanceof Range) return value.length > 0
  if (value instanceof DictView) return value.dict.size > 0
  if (value instanceof NativeObject && value.length !== undefined) return value.length() > 0
  return true
}

/** `len(value)`, or undefined where Python knows none. */
export function lengthOf(value: Value, count: (text: string) => number): number | undefined {
  const text = textOf(value)
  if (text !== undefined) return count(text)
  if (Array.isArray(value)) return value.length
  if (value instanceof Dict) return value.size
  if (value instanceof Tuple) return value.items.length
  if (value instanceof Range) return value.length
  if (value instanceof DictView) return value.dict.size
  if (value instanceof Undefined) return 0
  if (value instanceof NativeObject) return value.length?.()
  return undefined
}

/** `iter(value)`. @throws TypeError where a value cannot be iterated over. */
export function iterate(value: Value): Iterator<Value> {
  if (Array.isArray(value)) return value[Symbol.iterator]()
  if (typeof value === 'string') return codePoints(value)[Symbol.iterator]()
  if (value instanceof Dict) return value.keys()
  if (value instanceof Tuple) return value.items[Symbol.iterator]()
  if (value instanceof Generator_) return value.iterator
  if (value instanceof DictView) return value.items()
  if (value instanceof Undefined) return ([] as Value[])[Symbol.iterator]()
  if (value instanceof Range) return rangeItems(value)
  if (value instanceof Markup) return unsupported('iterating over escaped text')
  if (value instanceof NativeObject && value.iterate !== undefined) return value.iterate()
  return typeError(`'${typeName(value)}' object is not iterable`)
}

function* rangeItems(range: Range): Generator<Value> {
  for (let index = 0; index < range.length; index++) yield range.at(index)
}

/** `list(value)`, each item one step. */
export function listOf(rt: Runtime, value: Value): Value[] {
  if (Array.isArray(value)) {
    rt.step(value.length >> 3)
    return value.slice()
  }
  const items: Value[] = []
  const iterator = iterate(value)
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    rt.step()
    items.push(next.value)
  }
  return items
}

// So many values are printed without a pause.
const SMALL = 64

/** Whether a value holds so few others that printing it needs no pause. */
export function isSmall(value: Value): boolean {
  return countTo(value, SMALL) > 0
}

/** What is left of `most` behind a value and all in it; 0 or less where they are more. */
function countTo(value: Value, most: number): number {
  let left = most - 1
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined
  if (items !== undefined) {
    for (let at = 0; at < items.length && left > 0; at++) left = countTo(items[at] as Value, left)
  } else if (value instanceof Dict) {
    for (const [, entry] of value.entries()) {
      if (left <= 0) break
      left = countTo(entry, left)
    }
  }
  return left
}
