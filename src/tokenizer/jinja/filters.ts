/**
 * @file The table of all filters, those that call filters and tests, and how filters and tests are called by their
 * names.
 */

import { getAttribute, hasAttribute } from './access.js'
import { bind } from './arguments.js'
import { attributeGetter } from './attributes.js'
import { fail, typeError, unsupported } from './errors.js'
import { HTML_FILTERS } from './html-filters.js'
import { NUMBER_FILTERS } from './number-filters.js'
import { atOnce } from './pause.js'
import { prettyPrint } from './pprint.js'
import { repr } from './repr.js'
import type { Runtime } from './runtime.js'
import { each, generator, SEQUENCE_FILTERS } from './sequence-filters.js'
import { TESTS } from './tests.js'
import { TEXT_FILTERS } from './text-filters.js'
import { toJson } from './to-json.js'
import { type CallArguments, hashKey, isTrue, typeName, Undefined, type Value } from './values.js'

export type Filter = (rt: Runtime, value: Value, given: CallArguments) => Value

const defaultFilter: Filter = (_, value, given) => {
  const [absent = '', boolean = false] = bind('default', given, 'default_value?', 'boolean?')
  return value instanceof Undefined || (isTrue(boolean) && !isTrue(value)) ? absent : value
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

export const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>(
  Object.entries({
    ...HTML_FILTERS,
    ...NUMBER_FILTERS,
    ...SEQUENCE_FILTERS,
    ...TEXT_FILTERS,
    attr(rt, value, given) {
      const [name] = bind('attr', given, 'name')
      if (value instanceof Undefined) return value.fail()
      if (typeof name !== 'string') return typeError('attribute name must be string')
      if (!hasAttribute(rt, value, name)) return new Undefined(`'${typeName(value)} object' has no attribute '${name}'`)
      return getAttribute(rt, value, name)
    },
    d: defaultFilter,
    default: defaultFilter,
    map,
    pprint: prettyPrint,
    random: () => unsupported('the filter random, whose choice differs from run to run,'),
    reject: choose(false, false),
    rejectattr: choose(false, true),
    select: choose(true, false),
    selectattr: choose(true, true),
    tojson: (rt, value, given) => atOnce(toJson(rt, value, given)),
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
