/** @file How Python prints values: `str()`, and `repr()` for what stands in lists and dicts. */

import { floatText, MAX_INTEGER_DIGITS, PythonFloat } from '../../lossless-json.js'
import type { Steps } from '../../turns.js'
import { unsupported, valueError } from './errors.js'
import { Pause, type Pausing } from './pause.js'
import type { Runtime } from './runtime.js'
import {
  Callable,
  Dict,
  DictView,
  isSmall,
  Markup,
  Missing,
  NativeObject,
  Range,
  Slice,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** `str(value)`, which is what a template prints. */
export function str(rt: Runtime, value: Value): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  if (value instanceof Undefined) return ''
  if (value instanceof Markup) return value.text
  return repr(rt, value)
}

/** `str(value)`, with pauses where much is in it. */
export function strPausing(rt: Runtime, value: Value): Pausing<string> {
  const isLarge = typeof value === 'object' && value !== null && !isSmall(value)
  return isLarge ? new Pause(reprInSteps(rt, value)) : str(rt, value)
}

function* reprInSteps(rt: Runtime, value: Value): Steps<string> {
  if (rt.isDue) yield* rt.pause()
  if (isSmall(value)) return repr(rt, value)
  rt.step()
  const parts: string[] = []
  if (value instanceof Dict) {
    for (const [key, entry] of value.entries()) parts.push(`${repr(rt, key)}: ${yield* reprInSteps(rt, entry)}`)
    return `{${bounded(rt, parts)}}`
  }
  const items = value instanceof Tuple ? value.items : (value as Value[])
  for (const item of items) parts.push(yield* reprInSteps(rt, item))
  if (!(value instanceof Tuple)) return `[${bounded(rt, parts)}]`
  return `(${bounded(rt, parts)}${items.length === 1 ? ',' : ''})`
}

/** `repr(value)`. @throws for what Python prints with an address, which differs from run to run */
export function repr(rt: Runtime, value: Value): string {
  rt.step()
  if (typeof value === 'string') return reprText(rt, value)
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return String(value)
  if (typeof value === 'bigint') return intText(value)
  if (value instanceof PythonFloat) return floatText(value.value)
  if (Array.isArray(value)) return `[${joined(rt, value)}]`
  if (value instanceof Tuple) return `(${joined(rt, value.items)}${value.items.length === 1 ? ',' : ''})`
  if (value instanceof Dict) return `{${pairs(rt, value)}}`
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Markup) return `Markup(${reprText(rt, value.text)})`
  if (value instanceof Range) {
    return `range(${value.start}, ${value.stop}${value.step === 1 ? '' : `, ${value.step}`})`
  }
  if (value instanceof Missing) return 'missing'
  if (value instanceof DictView) {
    const items = value.kind === 'items' ? [...value.items()] : [...value.items()]
    return `dict_${value.kind}([${joined(rt, items)}])`
  }
  if (value instanceof Slice) {
    return `slice(${[value.start, value.stop, value.step].map((part) => repr(rt, part)).join(', ')})`
  }
  if (value instanceof NativeObject && value.shown !== undefined) return value.shown(rt)
  if (value instanceof Callable && value.shown !== undefined) return value.shown
  return unsupported(`printing an object of type ${typeName(value)}`)
}

/** Digits of an integer. @throws ValueError beyond what Python prints */
export function intText(value: number | bigint): string {
  const text = String(value)
  if (text.length > MAX_INTEGER_DIGITS + (text.startsWith('-') ? 1 : 0)) {
    valueError(`Exceeds the limit (${MAX_INTEGER_DIGITS} digits) for integer string conversion`)
  }
  return text
}

function joined(rt: Runtime, items: readonly Value[]): string {
  return bounded(
    rt,
    items.map((item) => repr(rt, item)),
  )
}

export function pairs(rt: Runtime, dict: Dict): string {
  return bounded(
    rt,
    Array.from(dict.entries(), ([key, value]) => `${repr(rt, key)}: ${repr(rt, value)}`),
  )
}

function bounded(rt: Runtime, parts: readonly string[]): string {
  let length = 0
  for (const part of parts) length += part.length + 2
  rt.room(length)
  return parts.join(', ')
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
// What Python does not print as it is: separators other than the space, controls, formats, private and unassigned.
const UNPRINTABLE = /[\\\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu

/** `repr()` of a str. */
export function reprText(rt: Runtime, text: string): string {
  rt.step(text.length >> 4)
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = text.replace(UNPRINTABLE, (character) => ESCAPES[character] ?? hexEscape(character))
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote
}

/** `ascii(value)`: `repr` with escapes in place of all that is not ASCII. */
export function ascii(rt: Runtime, value: Value): string {
  return repr(rt, value).replace(/[^\0-\x7f]/gu, hexEscape)
}

/** `\x..`, `\u....` or `\U........`, whichever is the shortest that holds the character. */
export function hexEscape(character: string): string {
  const code = character.codePointAt(0) as number
  const hex = code.toString(16)
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}
