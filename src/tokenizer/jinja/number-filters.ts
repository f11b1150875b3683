/** @file Filters that make numbers, and texts of them. */

import { PythonFloat } from '../../lossless-json.js'
import { bind } from './arguments.js'
import { fail, isKind, typeError } from './errors.js'
import type { Filter } from './filters.js'
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
import { floatDigits } from './percent-format.js'
import { isInt, isTrue, Markup, textOf, typeName, Undefined } from './values.js'

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

const PREFIXES = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y']

const fileSize: Filter = (_, value, given) => {
  const [binaryGiven = false] = bind('filesizeformat', given, 'binary?')
  if (value instanceof Undefined) return value.fail()
  const text = textOf(value)
  if (text === undefined && !isNumeric(value))
    return typeError(`float() argument must be a string or a real number, not '${typeName(value)}'`)
  const bytes = text === undefined ? toFloat(value as PythonFloat) : parseFloatText(text)
  const isBinary = isTrue(binaryGiven)
  const base = isBinary ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${truncate(bytes)} Bytes`
  let index = 0
  while (index < PREFIXES.length - 1 && bytes >= base ** (index + 2)) index++
  const scaled = float((base * bytes) / base ** (index + 2)).value
  const prefix = PREFIXES[index] as string
  return `${floatDigits(scaled, 'f', 1)} ${isBinary ? prefix.toUpperCase() : prefix}${isBinary ? 'iB' : 'B'}`
}

export const NUMBER_FILTERS: Readonly<Record<string, Filter>> = {
  abs(_, value, given) {
    bind('abs', given)
    if (!isNumeric(value)) return typeError(`bad operand type for abs(): '${typeName(value)}'`)
    const positive = value instanceof PythonFloat ? float(Math.abs(value.value)) : intOf(value)
    return !(positive instanceof PythonFloat) && positive < 0 ? negate(positive) : positive
  },
  filesizeformat: fileSize,
  float: toFloatFilter,
  int: toInt,
  round,
}
