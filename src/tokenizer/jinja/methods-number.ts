/** @file Attributes of numbers. */

import { PythonFloat } from '../../lossless-json.js'
import { bind } from './arguments.js'
import { unsupported } from './errors.js'
import { type Int, intOf } from './numbers.js'
import type { Runtime } from './runtime.js'
import { Callable, type Value } from './values.js'

const INT_ONLY = [
  'as_integer_ratio',
  'bit_count',
  'bit_length',
  'conjugate',
  'denominator',
  'from_bytes',
  'imag',
  'numerator',
  'real',
  'to_bytes',
]
const FLOAT_ONLY = ['as_integer_ratio', 'conjugate', 'fromhex', 'hex', 'imag', 'is_integer', 'real']

/** The attribute `name` of a number, or undefined where Python has none. */
export function numberAttribute(_: Runtime, value: Int | boolean | PythonFloat, name: string): Value | undefined {
  const isFloat = value instanceof PythonFloat
  if (!(isFloat ? FLOAT_ONLY : INT_ONLY).includes(name)) return undefined
  if (isFloat && name === 'is_integer') {
    return new Callable(name, (_rt, given) => {
      bind(name, given)
      return Number.isInteger(value.value)
    })
  }
  if (!isFloat) {
    if (name === 'real' || name === 'numerator') return intOf(value)
    if (name === 'imag') return 0
    if (name === 'denominator') return 1
    if (name === 'bit_length') {
      return new Callable(name, (_rt, given) => {
        bind(name, given)
        const size = BigInt(intOf(value))
        return size === 0n ? 0 : (size < 0n ? -size : size).toString(2).length
      })
    }
  } else if (name === 'real') return value
  else if (name === 'hex') {
    return new Callable(name, (_rt, given) => {
      bind(name, given)
      return hexText(value.value)
    })
  }
  return unsupported(`the attribute ${name} of numbers`)
}

/** `float.hex()`: 13 hexadecimal digits and the power of two. */
function hexText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value < 0 ? '-inf' : 'inf'
  const bits = new BigUint64Array(new Float64Array([value]).buffer)[0] as bigint
  const sign = bits >> 63n === 1n ? '-' : ''
  if (value === 0) return `${sign}0x0.0p+0`
  const exponent = Number((bits >> 52n) & 0x7ffn)
  const digits = (bits & 0xfffffffffffffn).toString(16).padStart(13, '0')
  const power = exponent === 0 ? -1022 : exponent - 1023
  return `${sign}0x${exponent === 0 ? 0 : 1}.${digits}p${power < 0 ? '' : '+'}${power}`
}
