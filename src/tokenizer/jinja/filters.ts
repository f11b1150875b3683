/** @file Filters of sequences and numbers, and the table of all filters. */

import { PythonFloat } from '../../lossless-json.js'
import { getAttribute, hasAttribute } from './access.js'
import { bind } from './arguments.js'
import { attributeGetter, attributesGetter, ignoreCase } from './attributes.js'
import { equal, order, sortBy } from './compare.js'
import { fail, isKind, typeError, unsupported } from './errors.js'
import {
  asCount,
  binaryNumber,
  float,
  intOf,
  isNumeric,
  negate,
  parseFloatText,
  parseInteger,
  roundFloat,
  roundInt,
  toFloat,
  truncate,
} from './numbers.js'
import { binary } from './operators.js'
import { repr } from './repr.js'
import type { Runtime } from './runtime.js'
import { TESTS } from './tests.js'
import { codePointLength, codePoints } from './text.js'
import { TEXT_FILTERS } from './text-filters.js'
import { toJson } from './to-json.js'
import {
  type CallArguments,
  Dict,
  DictView,
  Generator_,
  hashKey,
  isInt,
  isTrue,
  iterate,
  lengthOf,
  listOf,
  Markup,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

export type Filter = (rt: Runtime, value: Value, given: CallArguments) => Value

/** An iterator as Python's generator functions give it: nothing happens before the first item is asked for. */
function generator(items: () => Generator<Value>, label = 'generator'): Generator_ {
  return new Generator_(label, items())
}

function* each(rt: Runtime, value: Value): Generator<Value> {
  const iterator = iterate(value)
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    rt.step()
    yield next.value
  }
}

const length: Filter = (rt, value, given) => {
  bind('len', given)
  const text = typeof value === 'string' ? value.length : 0
  rt.step(text >> 6)
  return lengthOf(value, codePointLength) ?? typeError(`object of type '${typeName(value)}' has no len()`)
}

const defaultFilter: Filter = (_, value, given) => {
  const [absent = '', boolean = false] = bind('default', given, 'default_value?', 'boolean?')
  return value instanceof Undefined || (isTrue(boolean) && !isTrue(value)) ? absent : value
}

const batch: Filter = (rt, value, given) => {
  const [count, fill = null] = bind('batch', given, 'linecount', 'fill_with?')
  return generator(function* () {
    let row: Value[] = []
    for (const item of each(rt, value)) {
      if (equal(rt, row.length, count as Value)) {
        yield row
        row = []
      }
      row.push(item)
    }
    if (row.length === 0) return
    if (fill !== null && order(rt, row.length, count as Value) < 0) {
      const missing = asCount(count as Value, typeName(count as Value)) - row.length
      rt.items(missing)
      for (let added = 0; added < missing; added++) row.push(fill)
    }
    yield row
  })
}

const slices: Filter = (rt, value, given) => {
  const [countGiven, fill = null] = bind('slice', given, 'slices', 'fill_with?')
  return generator(function* () {
    const items = listOf(rt, value)
    const countValue = countGiven as Value
    if (!isNumeric(countValue)) return void binary(rt, '//', items.length, countValue)
    if (!isInt(countValue)) return typeError("'float' object cannot be interpreted as an integer")
    const count = asCount(countValue)
    if (count === 0) return fail('ZeroDivisionError', 'integer division or modulo by zero')
    const per = Math.floor(items.length / count)
    const extra = items.length - per * count
    let offset = 0
    for (let index = 0; index < count; index++) {
      rt.step()
      const start = offset + index * per
      if (index < extra) offset++
      const part = items.slice(start, offset + (index + 1) * per)
      if (fill !== null && index >= extra) part.push(fill)
      yield part
    }
  })
}

const dictSort: Filter = (rt, value, given) => {
  const [caseSensitive = false, by = 'key', reverse = false] = bind(
    'dictsort',
    given,
    'case_sensitive?',
    'by?',
    'reverse?',
  )
  if (by !== 'key' && by !== 'value') return fail('FilterArgumentError', 'You can only sort by either "key" or "value"')
  if (value instanceof Undefined) return value.fail()
  if (!(value instanceof Dict)) return fail('AttributeError', `'${typeName(value)}' object has no attribute 'items'`)
  const pairs = Array.from(value.entries(), (pair) => new Tuple(pair.slice()))
  const key = (pair: Value): Value => {
    const part = (pair as Tuple).items[by === 'key' ? 0 : 1] as Value
    return isTrue(caseSensitive) ? part : ignoreCase(part)
  }
  return sortBy(rt, pairs, key, flag(reverse))
}

/** An argument that `sorted(reverse=...)` takes: it wants an integer. */
function flag(value: Value): boolean {
  if (value === null) return typeError("'NoneType' object cannot be interpreted as an integer")
  return asCount(value, typeName(value)) !== 0
}

const sort: Filter = (rt, value, given) => {
  const [reverse = false, caseSensitive = false, attribute = null] = bind(
    'sort',
    given,
    'reverse?',
    'case_sensitive?',
    'attribute?',
  )
  const items = listOf(rt, value)
  return sortBy(rt, items, attributesGetter(rt, attribute, !isTrue(caseSensitive)), flag(reverse))
}

const unique: Filter = (rt, value, given) => {
  const [caseSensitive = false, attribute = null] = bind('unique', given, 'case_sensitive?', 'attribute?')
  const get = attributeGetter(rt, attribute, { ignoreCase: !isTrue(caseSensitive) })
  return generator(function* () {
    const seen = new Set<unknown>()
    for (const item of each(rt, value)) {
      const key = hashKey(get(item))
      if (seen.has(key)) continue
      seen.add(key)
      yield item
    }
  })
}

const extreme =
  (name: string, better: (order: number) => boolean): Filter =>
  (rt, value, given) => {
    const [caseSensitive = false, attribute = null] = bind(name, given, 'case_sensitive?', 'attribute?')
    const get = attributeGetter(rt, attribute, { ignoreCase: !isTrue(caseSensitive) })
    let best: { item: Value; key: Value } | undefined
    for (const item of each(rt, value)) {
      const key = get(item)
      if (best === undefined || better(order(rt, key, best.key, name === 'min' ? '<' : '>'))) best = { item, key }
    }
    return best === undefined ? new Undefined('No aggregated item, sequence was empty.') : best.item
  }

const groupBy: Filter = (rt, value, given) => {
  const [attribute, absent = null, caseSensitive = false] = bind(
    'groupby',
    given,
    'attribute',
    'default?',
    'case_sensitive?',
  )
  const fold = !isTrue(caseSensitive)
  const get = attributeGetter(rt, attribute, { ignoreCase: fold, absent })
  const shown = attributeGetter(rt, attribute, { absent })
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sortBy(rt, listOf(rt, value), get, false)) {
    const key = get(item)
    const last = groups.at(-1)
    if (last !== undefined && (last.key === key || equal(rt, last.key, key))) last.items.push(item)
    else groups.push({ key, items: [item] })
  }
  return groups.map(({ key, items }) => new Tuple([fold ? shown(items[0] as Value) : key, items], ['grouper', 'list']))
}

const sum: Filter = (rt, value, given) => {
  const [attribute = null, start = 0] = bind('sum', given, 'attribute?', 'start?')
  if (typeof start === 'string') return typeError("sum() can't sum strings [use ''.join(seq) instead]")
  const get = attributeGetter(rt, attribute)
  let total: Value = start
  for (const item of each(rt, value)) total = binary(rt, '+', total, get(item))
  return total
}

const reverse: Filter = (rt, value, given) => {
  bind('reverse', given)
  if (typeof value === 'string') {
    rt.step(value.length >> 2)
    return codePoints(value).toReversed().join('')
  }
  const reversible = Array.isArray(value) || value instanceof Tuple || value instanceof Dict
  if (reversible || value instanceof DictView || value instanceof Range || value instanceof Undefined) {
    const items = listOf(rt, value)
    return generator(
      function* () {
        for (let at = items.length - 1; at >= 0; at--) yield items[at] as Value
      },
      `${typeName(value)}_reverseiterator`,
    )
  }
  if (value instanceof Markup) return unsupported('reversing escaped text')
  if (isNumeric(value) || value === null) return fail('FilterArgumentError', 'argument must be iterable')
  return listOf(rt, value).reverse()
}

const first: Filter = (_, value, given) => {
  bind('first', given)
  const next = iterate(value).next()
  return next.done === true ? new Undefined('No first item, sequence was empty.') : next.value
}

const last: Filter = (rt, value, given) => {
  bind('last', given)
  if (value instanceof Generator_ || isNumeric(value) || value === null)
    return typeError(`'${typeName(value)}' object is not reversible`)
  const items = typeof value === 'string' ? codePoints(value) : Array.isArray(value) ? value : listOf(rt, value)
  return items.at(-1) ?? (items.length > 0 ? null : new Undefined('No last item, sequence was empty.'))
}

const toInt: Filter = (_, value, given) => {
  const [absent = 0, base = 10] = bind('int', given, 'default?', 'base?')
  if (value instanceof Undefined) return value.fail()
  const text = value instanceof Markup ? value.text : value
  try {
    if (typeof text === 'string') return parseInteger(text, asCount(base, typeName(base)))
    if (isInt(text)) return intOf(text)
    if (text instanceof PythonFloat) return truncate(text.value)
  } catch (error) {
    if (!isKind(error, 'TypeError', 'ValueError')) throw error
  }
  try {
    if (typeof text === 'string') return truncate(parseFloatText(text))
  } catch (error) {
    if (!isKind(error, 'TypeError', 'ValueError', 'OverflowError')) throw error
  }
  return absent
}

const toFloatFilter: Filter = (_, value, given) => {
  const [absent = float(0)] = bind('float', given, 'default?')
  if (value instanceof Undefined) return value.fail()
  const text = value instanceof Markup ? value.text : value
  try {
    if (typeof text === 'string') return float(parseFloatText(text))
  } catch (error) {
    if (!isKind(error, 'TypeError', 'ValueError')) throw error
    return absent
  }
  return isNumeric(text) ? float(toFloat(text)) : absent
}

const round: Filter = (_, value, given) => {
  const [precision = 0, method = 'common'] = bind('round', given, 'precision?', 'method?')
  if (method !== 'common' && method !== 'ceil' && method !== 'floor') {
    return fail('FilterArgumentError', 'method must be common, ceil or floor')
  }
  if (value instanceof Undefined) return value.fail()
  if (!isNumeric(value)) return typeError(`type ${typeName(value)} doesn't define __round__ method`)
  if (method === 'common') {
    if (precision === null) return value instanceof PythonFloat ? truncate(roundFloat(value.value, 0)) : intOf(value)
    const digits = asCount(precision, typeName(precision))
    return value instanceof PythonFloat ? float(roundFloat(value.value, digits)) : roundInt(intOf(value), digits)
  }
  if (!isNumeric(precision)) return typeError('precision must be a number')
  const scale = binaryNumber('**', 10, precision)
  const scaled = binaryNumber('*', value, scale as PythonFloat)
  const whole = scaled instanceof PythonFloat ? truncate(Math[method](scaled.value)) : (scaled as number)
  return binaryNumber('/', whole, scale as PythonFloat)
}

const map: Filter = (rt, value, given) => {
  return generator(function* () {
    if (!isTrue(value)) return
    let change: (item: Value) => Value
    const kwargs = new Map(given.kwargs)
    if (given.args.length === 0 && kwargs.has('attribute')) {
      const attribute = kwargs.get('attribute')
      const absent = kwargs.get('default') ?? null
      kwargs.delete('attribute')
      kwargs.delete('default')
      if (kwargs.size > 0) return fail('FilterArgumentError', 'Unexpected keyword argument')
      change = attributeGetter(rt, attribute, { absent })
    } else {
      if (given.args.length === 0) return fail('FilterArgumentError', 'map requires a filter argument')
      const [name, ...args] = given.args
      change = (item) => callFilter(rt, name as Value, item, { args, kwargs })
    }
    for (const item of each(rt, value)) yield change(item)
  })
}

const choose =
  (wanted: boolean, byAttribute: boolean): Filter =>
  (rt, value, given) => {
    return generator(function* () {
      if (!isTrue(value)) return
      const rest = given.args.slice()
      let get = (item: Value): Value => item
      if (byAttribute) {
        if (rest.length === 0) return fail('FilterArgumentError', 'Missing parameter for attribute name')
        get = attributeGetter(rt, rest.shift() as Value)
      }
      const name = rest.shift()
      const args = { args: rest, kwargs: given.kwargs }
      for (const item of each(rt, value)) {
        const tested = get(item)
        if (isTrue(name === undefined ? tested : callTest(rt, name, tested, args)) === wanted) yield item
      }
    })
  }

const items: Filter = (rt, value, given) => {
  bind('items', given)
  return generator(function* () {
    if (value instanceof Undefined) return
    if (!(value instanceof Dict)) return typeError('Can only get item pairs from a mapping.')
    for (const pair of value.entries()) {
      rt.step()
      yield new Tuple(pair.slice())
    }
  })
}

/** What `pprint` gives where the value fits on one line. */
const prettyPrint: Filter = (rt, value, given) => {
  bind('pprint', given)
  const sorted = (part: Value): Value => {
    if (Array.isArray(part)) return part.map(sorted)
    if (part instanceof Tuple) return new Tuple(part.items.map(sorted))
    if (!(part instanceof Dict)) return part
    const pairs = Array.from(part.entries(), ([key, entry]) => new Tuple([key, sorted(entry)]))
    if (!pairs.every((pair) => typeof pair.items[0] === 'string'))
      return unsupported('pprint of keys that are not text')
    return Dict.of(
      sortBy(rt, pairs, (pair) => (pair as Tuple).items[0] as Value, false).map(
        (pair) => (pair as Tuple).items as [Value, Value],
      ),
    )
  }
  const text = repr(rt, sorted(value))
  return codePointLength(text) <= 80 ? text : unsupported('pprint of what takes several lines')
}

export const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>(
  Object.entries({
    ...TEXT_FILTERS,
    abs(_, value, given) {
      bind('abs', given)
      if (!isNumeric(value)) return typeError(`bad operand type for abs(): '${typeName(value)}'`)
      const positive = value instanceof PythonFloat ? float(Math.abs(value.value)) : intOf(value)
      return !(positive instanceof PythonFloat) && positive < 0 ? negate(positive) : positive
    },
    attr(rt, value, given) {
      const [name] = bind('attr', given, 'name')
      if (value instanceof Undefined) return value.fail()
      if (typeof name !== 'string') return typeError('attribute name must be string')
      if (!hasAttribute(rt, value, name)) return new Undefined(`'${typeName(value)} object' has no attribute '${name}'`)
      return getAttribute(rt, value, name)
    },
    batch,
    count: length,
    d: defaultFilter,
    default: defaultFilter,
    dictsort: dictSort,
    first,
    float: toFloatFilter,
    groupby: groupBy,
    int: toInt,
    items,
    last,
    length,
    list(rt, value, given) {
      bind('list', given)
      return listOf(rt, value)
    },
    map,
    max: extreme('max', (order) => order > 0),
    min: extreme('min', (order) => order < 0),
    pprint: prettyPrint,
    random: () => unsupported('the filter random, whose choice differs from run to run,'),
    reject: choose(false, false),
    rejectattr: choose(false, true),
    reverse,
    round,
    select: choose(true, false),
    selectattr: choose(true, true),
    slice: slices,
    sort,
    sum,
    tojson: toJson,
    unique,
  } satisfies Record<string, Filter>),
)

/** Filters that the compiler of jinja2 may not evaluate beforehand, since they look at the context. */
export const CONTEXT_FILTERS: ReadonlySet<string> = new Set([
  'map',
  'random',
  'reject',
  'rejectattr',
  'select',
  'selectattr',
])

/** Calls a filter by its name. @throws TemplateRuntimeError for one that does not exist */
export function callFilter(rt: Runtime, name: Value, value: Value, given: CallArguments): Value {
  const filter = typeof name === 'string' ? FILTERS.get(name) : undefined
  if (filter === undefined) return fail('TemplateRuntimeError', `No filter named ${repr(rt, name)}.`)
  rt.step()
  return filter(rt, value, given)
}

export function callTest(rt: Runtime, name: Value, value: Value, given: CallArguments): boolean {
  const test = typeof name === 'string' ? TESTS.get(name) : undefined
  if (name === 'filter' || name === 'test') {
    bind(name, given)
    hashKey(value)
    return typeof value === 'string' && (name === 'filter' ? FILTERS : TEST_NAMES).has(value)
  }
  if (test === undefined) return fail('TemplateRuntimeError', `No test named ${repr(rt, name)}.`)
  rt.step()
  return test(rt, value, given)
}

export const TEST_NAMES: ReadonlySet<string> = new Set([...TESTS.keys(), 'filter', 'test'])
