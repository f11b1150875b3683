/** @file Filters of lists, dicts and other sequences. */

import { bind } from './arguments.js'
import { attributeGetter, attributesGetter, ignoreCase } from './attributes.js'
import { equal, order, sortBy } from './compare.js'
import { fail, typeError, unsupported } from './errors.js'
import type { Filter } from './filters.js'
import { asCount, isNumeric } from './numbers.js'
import { binary } from './operators.js'
import type { Runtime } from './runtime.js'
import { codePointLength, codePoints } from './text.js'
import {
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

/** An iterator as Python's generator functions give it: nothing happens before the first item is asked for. */
export function generator(items: () => Generator<Value>, label = 'generator'): Generator_ {
  return new Generator_(label, items())
}

export function* each(rt: Runtime, value: Value): Generator<Value> {
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

export const SEQUENCE_FILTERS: Readonly<Record<string, Filter>> = {
  batch,
  count: length,
  dictsort: dictSort,
  first,
  groupby: groupBy,
  items,
  last,
  length,
  list(rt, value, given) {
    bind('list', given)
    return listOf(rt, value)
  },
  max: extreme('max', (order) => order > 0),
  min: extreme('min', (order) => order < 0),
  reverse,
  slice: slices,
  sort,
  sum,
  unique,
}
