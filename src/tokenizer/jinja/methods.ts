/** @file Attributes of lists, dicts, tuples, ranges and views: their methods, and those that the sandbox forbids. */

import { bind } from './arguments.js'
import { equal } from './compare.js'
import { typeError, unsupported, valueError } from './errors.js'
import { asCount } from './numbers.js'
import type { Runtime } from './runtime.js'
import {
  type CallArguments,
  Callable,
  Dict,
  DictView,
  iterate,
  NativeObject,
  type Range,
  type Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** Methods that change a value: the immutable sandbox gives undefined in their place. */
export const MUTATING = {
  list: new Set(['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort']),
  dict: new Set(['clear', 'pop', 'popitem', 'setdefault', 'update']),
} as const

/** The attribute `name` of a list, or undefined where Python has none. Mutating ones are null: nobody may see them. */
export function listAttribute(rt: Runtime, list: Value[], name: string): Value | undefined {
  if (MUTATING.list.has(name)) return null
  if (name === 'copy') {
    return new Callable(name, (_, given) => {
      bind(name, given)
      rt.items(list.length)
      return list.slice()
    })
  }
  return sequenceMethod(list, name, 'list')
}

export function tupleAttribute(_: Runtime, tuple: Tuple, name: string): Value | undefined {
  const named = tuple.names.indexOf(name)
  if (named >= 0) return tuple.items[named]
  return sequenceMethod(tuple.items, name, 'tuple')
}

export function rangeAttribute(rt: Runtime, range: Range, name: string): Value | undefined {
  if (name === 'start' || name === 'stop' || name === 'step') return range[name]
  if (name !== 'index' && name !== 'count') return undefined
  rt.items(range.length)
  return sequenceMethod(
    Array.from({ length: range.length }, (_, index) => range.at(index)),
    name,
    'range',
  )
}

function sequenceMethod(items: readonly Value[], name: string, type: string): Value | undefined {
  if (name === 'count') {
    return new Callable(name, (rt, given) => {
      const [wanted] = bind(name, given, '/value')
      return items.filter((item) => item === wanted || equal(rt, item, wanted as Value)).length
    })
  }
  if (name !== 'index') return undefined
  return new Callable(name, (rt, given) => {
    const [wanted, first, last] =
      type === 'range' ? bind(name, given, '/value') : bind(name, given, '/value', '/start?', '/stop?')
    const place = (value: Value | undefined, absent: number): number => {
      if (value === undefined) return absent
      const index = asCount(value, typeName(value))
      return index < 0 ? Math.max(0, index + items.length) : index
    }
    const stop = Math.min(items.length, place(last, items.length))
    for (let at = place(first, 0); at < stop; at++) {
      if (items[at] === wanted || equal(rt, items[at] as Value, wanted as Value)) return at
    }
    return valueError(`value is not in ${type}`)
  })
}

const DICT_METHODS: Readonly<Record<string, (rt: Runtime, dict: Dict, given: CallArguments) => Value>> = {
  copy(rt, dict, given) {
    bind('copy', given)
    rt.items(dict.size)
    return Dict.of(dict.entries())
  },
  fromkeys: (rt, _, given) => fromKeys(rt, given),
  get(_, dict, given) {
    const [key, absent] = bind('get', given, '/key', '/default?')
    const value = dict.get(key as Value)
    return value === undefined ? (absent ?? null) : value
  },
  items(_, dict, given) {
    bind('items', given)
    return new DictView(dict, 'items')
  },
  keys(_, dict, given) {
    bind('keys', given)
    return new DictView(dict, 'keys')
  },
  values(_, dict, given) {
    bind('values', given)
    return new DictView(dict, 'values')
  },
}
const dictMethods = new Map(Object.entries(DICT_METHODS))

export function dictAttribute(_: Runtime, dict: Dict, name: string): Value | undefined {
  if (MUTATING.dict.has(name)) return null
  const method = dictMethods.get(name)
  return method === undefined ? undefined : new Callable(name, (rt, given) => method(rt, dict, given))
}

export function viewAttribute(view: DictView, name: string): Value | undefined {
  if (name === 'mapping' || (name === 'isdisjoint' && view.kind !== 'values')) {
    return unsupported(`the attribute ${name} of a view of a dict`)
  }
  return undefined
}

export function fromKeys(rt: Runtime, given: CallArguments): Dict {
  const [keys, value] = bind('fromkeys', given, '/iterable', '/value?')
  const dict = new Dict()
  const iterator = iterate(keys as Value)
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    rt.step()
    dict.set(next.value, value ?? null)
  }
  return dict
}

/** `dict(mapping_or_pairs, **kwargs)`. */
export function makeDict(rt: Runtime, given: CallArguments): Dict {
  const { args, kwargs } = given
  if (args.length > 1) return typeError(`dict expected at most 1 argument, got ${args.length}`)
  const dict = new Dict()
  const source = args[0]
  if (source instanceof Dict) for (const [key, value] of source.entries()) dict.set(key, value)
  else if (source instanceof Undefined) source.fail()
  else if (source instanceof NativeObject && source.type === 'Namespace')
    return unsupported('a dict made of a namespace')
  else if (source !== undefined) {
    const iterator = iterate(source)
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      rt.step()
      const pair: Value[] = []
      const inner = iterate(next.value)
      for (let item = inner.next(); item.done !== true && pair.length < 3; item = inner.next()) pair.push(item.value)
      if (pair.length !== 2) return valueError('dictionary update sequence element has another length than 2')
      dict.set(pair[0] as Value, pair[1] as Value)
    }
  }
  for (const [key, value] of kwargs) dict.set(key, value)
  return dict
}
