/** @file The functions that every chat template knows: those of jinja2, and those that transformers adds. */

import { bind } from './arguments.js'
import { fail, typeError, unsupported, valueError } from './errors.js'
import { fromKeys, makeDict } from './methods.js'
import { asIndex } from './numbers.js'
import { pairs, str } from './repr.js'
import type { Runtime } from './runtime.js'
import { strftime } from './strftime.js'
import { type CallArguments, Callable, NativeObject, Range, typeName, Undefined, type Value } from './values.js'

/** The sandbox's own bound on ranges. */
const MAX_RANGE = 100_000

function range(given: CallArguments): Range {
  const values = bind('range', given, '/start', '/stop?', '/step?').map((value) =>
    asIndex(value as Value, typeName(value as Value)),
  )
  const [first = 0, second, step = 1] = values
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  if (step === 0) return valueError('range() arg 3 must not be zero')
  const made = new Range(Number(start), Number(stop), Number(step))
  if (made.length > MAX_RANGE)
    fail('OverflowError', `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`)
  if (![start, stop, step].every((value) => typeof value === 'number'))
    return unsupported('a range of integers beyond 2^53')
  return made
}

/** A namespace: the one value that a template may change. */
function makeNamespace(rt: Runtime, given: CallArguments): NativeObject {
  const attributes = makeDict(rt, given)
  const refuse = (name: Value): void => {
    if (typeof name === 'string' && name.startsWith('_')) {
      fail(
        'SecurityError',
        `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${name}'`,
      )
    }
  }
  for (const name of attributes.keys()) refuse(name)
  return new NativeObject('Namespace', {
    attribute: (name) => attributes.get(name),
    shown: (runtime) => `<Namespace {${pairs(runtime, attributes)}}>`,
    assign(name, value) {
      refuse(name)
      attributes.set(name, value)
    },
  })
}

function makeCycler({ args, kwargs }: CallArguments): NativeObject {
  if (kwargs.size > 0) return typeError('Cycler.__init__() got an unexpected keyword argument')
  if (args.length === 0) return fail('TemplateRuntimeError', 'at least one item has to be provided')
  let position = 0
  const methods = new Map<string, (given: CallArguments) => Value>([
    [
      'next',
      (given) => {
        bind('next', given)
        const item = args[position] as Value
        position = (position + 1) % args.length
        return item
      },
    ],
    [
      'reset',
      (given) => {
        bind('reset', given)
        position = 0
        return null
      },
    ],
  ])
  return new NativeObject('Cycler', {
    attribute(name) {
      if (name === 'current') return args[position] as Value
      if (name === 'items') return unsupported('the items of a cycler')
      if (name === 'pos') return position
      const method = methods.get(name)
      return method === undefined ? undefined : new Callable(name, (_, given) => method(given))
    },
  })
}

function makeJoiner(given: CallArguments): NativeObject {
  const [separator = ', '] = bind('joiner', given, 'sep?')
  let used = false
  return new NativeObject('Joiner', {
    call(_, inner) {
      bind('joiner', inner)
      if (used) return separator
      used = true
      return ''
    },
    attribute: (name) => (name === 'sep' ? separator : name === 'used' ? used : undefined),
  })
}

/** The globals of a rendering. */
export const GLOBALS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ['range', new Callable('range', (_, given) => range(given))],
  [
    'dict',
    new NativeObject('TemplateDict', {
      call: (rt, given) => makeDict(rt, given),
      attribute: (name) => (name === 'fromkeys' ? new Callable(name, fromKeys) : undefined),
    }),
  ],
  ['lipsum', new Callable('lipsum', () => unsupported('lipsum, whose text differs from run to run,'))],
  ['cycler', new Callable('cycler', (_, given) => makeCycler(given))],
  ['joiner', new Callable('joiner', (_, given) => makeJoiner(given))],
  ['namespace', new Callable('namespace', makeNamespace)],
  [
    'raise_exception',
    new Callable('raise_exception', (rt, given) => {
      const [message] = bind('raise_exception', given, 'message')
      return fail('TemplateError', str(rt, message as Value))
    }),
  ],
  [
    'strftime_now',
    new Callable('strftime_now', (rt, given) => {
      const [format] = bind('strftime_now', given, 'format')
      if (format instanceof Undefined) return format.fail()
      if (typeof format !== 'string')
        return typeError(`strftime() argument 1 must be str, not ${typeName(format as Value)}`)
      rt.room(format.length * 4)
      return strftime(rt.now, format)
    }),
  ],
])
