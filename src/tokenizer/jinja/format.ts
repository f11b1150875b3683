/** @file Python's `str.format`: replacement fields, and the small language after their colon. */

import { PythonFloat } from '../../lossless-json.js'
import { fail, typeError, unsupported, valueError } from './errors.js'
import { type Int, int, intOf, toFloat } from './numbers.js'
import { floatDigits, fromCodePoint } from './percent-format.js'
import { ascii, intText, repr, str } from './repr.js'
import type { Runtime } from './runtime.js'
import { codePointLength, codePoints } from './text.js'
import { type CallArguments, isInt, Markup, Undefined, type Value } from './values.js'

/** Fields within the specifications of fields; Python allows one level. */
const MAX_NESTING = 2
const MAX_WIDTH = 1 << 20

/** How the fields of a format look into their arguments: as the sandbox allows. */
export interface LookUp {
  attribute: (rt: Runtime, value: Value, name: string) => Value
  item: (rt: Runtime, value: Value, key: Value) => Value
}

/** `text.format(*args, **kwargs)`, with attributes looked up as the sandbox allows. */
export function formatText(rt: Runtime, text: string, given: CallArguments, look: LookUp): string {
  const state: State = { next: 0, look }
  return fields(rt, text, given, state, MAX_NESTING)
}

/** `next` is undefined once a field has named its argument by number. */
interface State {
  next: number | undefined
  look: LookUp
}

function fields(rt: Runtime, text: string, given: CallArguments, state: State, depth: number): string {
  if (depth < 0) return valueError('Max string recursion exceeded')
  let result = ''
  let at = 0
  while (at < text.length) {
    rt.step()
    const brace = text.slice(at).search(/[{}]/)
    if (brace < 0) return result + text.slice(at)
    result += text.slice(at, at + brace)
    at += brace
    const character = text[at] as string
    if (text[at + 1] === character) {
      result += character
      at += 2
      continue
    }
    if (character === '}') return valueError("Single '}' encountered in format string")
    const end = closing(text, at)
    result += field(rt, text.slice(at + 1, end), given, state, depth)
    rt.fits(result.length)
    at = end + 1
  }
  return result
}

function closing(text: string, open: number): number {
  let nested = 0
  let inSpec = false
  for (let at = open; at < text.length; at++) {
    const character = text[at]
    if (character === '[' && nested === 1 && !inSpec) {
      const close = text.indexOf(']', at)
      if (close < 0) break
      at = close
    } else if (character === '{') nested++
    else if (character === ':') inSpec = true
    else if (character === '}' && --nested === 0) return at
  }
  return open + 1 >= text.length
    ? valueError("Single '{' encountered in format string")
    : valueError("expected '}' before end of string")
}

function field(rt: Runtime, text: string, given: CallArguments, state: State, depth: number): string {
  const [, name = '', conversion, spec = ''] =
    /^((?:\[[^\]]*\]|[^![:])*)(?:!([^:]*))?(?::(.*))?$/su.exec(text) ?? valueError('expected a field')
  if (conversion !== undefined && codePointLength(conversion) !== 1) {
    return valueError("expected ':' after conversion specifier")
  }
  const value = lookUp(rt, name, given, state)
  const inner = fields(rt, spec, given, state, depth - 1)
  switch (conversion) {
    case undefined:
      return formatValue(rt, value, inner)
    case 's':
      return formatValue(rt, str(rt, value), inner)
    case 'r':
      return formatValue(rt, repr(rt, value), inner)
    case 'a':
      return formatValue(rt, ascii(rt, value), inner)
  }
  return valueError(`Unknown conversion specifier ${conversion}`)
}

function lookUp(rt: Runtime, path: string, given: CallArguments, state: State): Value {
  const first = /^[^.[]*/.exec(path)?.[0] ?? ''
  let value: Value | undefined
  if (path === '' || /^[0-9]+$/.test(first)) {
    let index = Number(first)
    if (path === '') {
      if (state.next === undefined)
        return valueError('cannot switch from manual field specification to automatic field numbering')
      index = state.next++
    } else if (path === first) {
      if (state.next !== undefined && state.next > 0) {
        return valueError('cannot switch from automatic field numbering to manual field specification')
      }
      state.next = undefined
    }
    value = given.args[index]
    if (value === undefined) return fail('IndexError', 'Replacement index out of range for positional args tuple')
  } else {
    value = given.kwargs.get(first)
    if (value === undefined) return fail('KeyError', first)
  }
  let rest = path.slice(first.length)
  while (rest !== '') {
    const part = /^(?:\.([^.[]+)|\[([^\]]+)\])/u.exec(rest)
    if (part === null) return valueError('Empty attribute in format string')
    const [all, attribute, item] = part
    if (attribute !== undefined) value = state.look.attribute(rt, value, attribute)
    else value = state.look.item(rt, value, /^[0-9]+$/.test(item as string) ? Number(item) : (item as string))
    rest = rest.slice(all.length)
  }
  return value
}

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?([0-9]+)?([,_])?(?:\.([0-9]+))?(.)?$/su

/** `format(value, spec)`. */
function formatValue(rt: Runtime, value: Value, spec: string): string {
  if (spec === '') return str(rt, value)
  if (value instanceof Undefined || value instanceof Markup)
    return typeError('unsupported format string passed to Undefined.__format__')
  const match = SPEC.exec(spec)
  if (match === null) return valueError('Invalid format specifier')
  const [, fill, align, sign, negativeZero, alternate, zero, widthText, grouping, precisionText, type] = match
  if (negativeZero !== undefined) return unsupported('the format flag z')
  const width = Number(widthText ?? 0)
  const precision = precisionText === undefined ? undefined : Number(precisionText)
  if (width > MAX_WIDTH || (precision ?? 0) > MAX_WIDTH) {
    return fail('Bounds', `expected a width of at most ${MAX_WIDTH}, got ${spec}`)
  }
  rt.room(width)
  if (typeof value === 'string') {
    if (sign !== undefined) return valueError('Sign not allowed in string format specifier')
    if (alternate !== undefined) return valueError('Alternate form (#) not allowed in string format specifier')
    if (align === '=') return valueError("'=' alignment not allowed in string format specifier")
    if (grouping !== undefined) return valueError(`Cannot specify '${grouping}' with 's'.`)
    if (type !== undefined && type !== 's') return valueError(`Unknown format code '${type}' for object of type 'str'`)
    const text = precision === undefined ? value : codePoints(value).slice(0, precision).join('')
    return pad(text, fill ?? (zero === undefined ? ' ' : '0'), align ?? '<', width, '')
  }
  if (typeof value === 'boolean' && (type === undefined || type === 's')) {
    // A bool without a type formats as the integer that it is, as soon as there is a specification at all.
    if (type === 's') return valueError("Unknown format code 's' for object of type 'int'")
  }
  if (!isInt(value) && !(value instanceof PythonFloat))
    return typeError('unsupported format string passed to __format__')
  const numberFill = fill ?? (zero === undefined ? ' ' : '0')
  const numberAlign = align ?? (zero === undefined ? '>' : '=')
  const asFloat = value instanceof PythonFloat || (type !== undefined && 'eEfFgG%'.includes(type))
  const body = asFloat
    ? floatBody(toFloat(value), type, precision, alternate !== undefined)
    : intBody(intOf(value as Int | boolean), type, precision, alternate !== undefined, sign)
  if (typeof body === 'string') return pad(body, numberFill, align ?? '<', width, '')
  const marker = body.negative ? '-' : sign === '+' ? '+' : sign === ' ' ? ' ' : ''
  const lead = marker + body.prefix
  let digits = body.digits
  if (grouping !== undefined) {
    const every = type !== undefined && 'bxXo'.includes(type) ? 4 : 3
    if (grouping === ',' && every === 4) return valueError(`Cannot specify ',' with '${type}'.`)
    const zeros = numberFill === '0' && numberAlign === '=' ? width - lead.length - body.tail.length : 0
    digits = grouped(digits, grouping, every, zeros)
  }
  return pad(digits + body.tail, numberFill, numberAlign, width, lead)
}

interface NumberBody {
  negative: boolean
  prefix: string
  /** What is grouped: the digits before the point. */
  digits: string
  tail: string
}

function intBody(
  value: Int,
  type: string | undefined,
  precision: number | undefined,
  alternate: boolean,
  sign: string | undefined,
): NumberBody | string {
  if (precision !== undefined) return valueError('Precision not allowed in integer format specifier')
  if (type === 'c') {
    if (sign !== undefined) return valueError("Sign not allowed with integer format specifier 'c'")
    return fromCodePoint(value)
  }
  const base = { b: 2, o: 8, x: 16, X: 16, d: 10, n: 10 }[type ?? 'd']
  if (base === undefined) return valueError(`Unknown format code '${type}' for object of type 'int'`)
  const size = value < 0 ? int(-BigInt(value)) : value
  const digits = base === 10 ? intText(size) : size.toString(base)
  return {
    negative: value < 0,
    prefix: alternate && base !== 10 ? `0${type}` : '',
    digits: type === 'X' ? digits.toUpperCase() : digits,
    tail: '',
  }
}

function floatBody(
  value: number,
  type: string | undefined,
  precision: number | undefined,
  alternate: boolean,
): NumberBody {
  const negative = value < 0 || Object.is(value, -0)
  const size = Math.abs(value)
  let text: string
  if (type === undefined) text = untypedFloat(size, precision, alternate)
  else if (type === '%') text = `${floatDigits(size * 100, 'f', precision ?? 6, alternate)}%`
  else if ('eEfFgGn'.includes(type)) text = floatDigits(size, type, precision ?? 6, alternate)
  else return valueError(`Unknown format code '${type}' for object of type 'float'`)
  const [digits = ''] = /^[0-9]*/.exec(text) ?? []
  return { negative, prefix: '', digits, tail: text.slice(digits.length) }
}

/** Like `g`, but with at least one digit after the point; `repr` where no precision is given. */
function untypedFloat(size: number, precision: number | undefined, alternate: boolean): string {
  if (precision === undefined || !Number.isFinite(size))
    return alternate ? unsupported('the format flag # of a float without a type') : new PythonFloat(size).toString()
  if (alternate) return unsupported('the format flag # of a float without a type')
  const wanted = precision === 0 ? 1 : precision
  const exponent = Number(floatDigits(size, 'e', wanted - 1).split('e')[1] ?? '0')
  // One digit less before the exponent form, so that ".0" fits.
  if (size !== 0 && (exponent < -4 || exponent >= wanted - (wanted > 1 ? 1 : 0))) {
    const [mantissa = '', power = ''] = floatDigits(size, 'e', wanted - 1).split('e')
    const trimmed = mantissa.includes('.') ? mantissa.replace(/0+$/, '').replace(/\.$/, '') : mantissa
    return exponent >= wanted || exponent < -4 || wanted > 1 ? `${trimmed}e${power}` : `${trimmed}.0`
  }
  const text = floatDigits(size, 'g', wanted)
  return /[.e]/.test(text) ? text : `${text}.0`
}

/** Separators between groups of digits; with zeros in front up to `width`. */
function grouped(digits: string, separator: string, every: number, width: number): string {
  if (!/^[0-9a-fA-F]+$/.test(digits)) return digits
  const join = (text: string): string => {
    const head = text.length % every || every
    return [text.slice(0, head), ...(text.slice(head).match(new RegExp(`.{${every}}`, 'g')) ?? [])].join(separator)
  }
  let padded = digits
  while (join(padded).length < width) padded = `0${padded}`
  return join(padded)
}

function pad(body: string, fill: string, align: string, width: number, lead: string): string {
  const missing = width - codePointLength(lead + body)
  if (missing <= 0) return lead + body
  if (align === '<') return lead + body + fill.repeat(missing)
  if (align === '>') return fill.repeat(missing) + lead + body
  if (align === '=') return lead + fill.repeat(missing) + body
  return fill.repeat(missing >> 1) + lead + body + fill.repeat(missing - (missing >> 1))
}
