/** @file The filter `tojson` as transformers defines it: Python's `json.dumps`. */

import { jsonFloat, jsonString, PythonFloat } from '../../lossless-json.js'
import type { Steps } from '../../turns.js'
import { bind } from './arguments.js'
import { sortBy } from './compare.js'
import { typeError, valueError } from './errors.js'
import { asCount } from './numbers.js'
import { Pause, type Pausing } from './pause.js'
import { intText } from './repr.js'
import type { Runtime } from './runtime.js'
import {
  type CallArguments,
  Dict,
  isInt,
  isTrue,
  listOf,
  Markup,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

interface Style {
  ascii: boolean
  /** What a level is indented by, or undefined for one line. */
  indent: string | undefined
  itemSeparator: string
  keySeparator: string
  sortKeys: boolean
}

/** `value | tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`. Pauses within long lists. */
export function toJson(rt: Runtime, value: Value, given: CallArguments): Pausing<string> {
  const [ascii, indent, separators, sortKeys] = bind(
    'tojson',
    given,
    'ensure_ascii?',
    'indent?',
    'separators?',
    'sort_keys?',
  )
  const style: Style = {
    ascii: ascii !== undefined && isTrue(ascii),
    // Python does not look at the indent for a text.
    indent: textOf(value) === undefined ? indentOf(rt, indent ?? null) : undefined,
    itemSeparator: indent === undefined || indent === null ? ', ' : ',',
    keySeparator: ': ',
    sortKeys: sortKeys !== undefined && isTrue(sortKeys),
  }
  if (separators !== undefined && separators !== null) {
    const parts = listOf(rt, separators)
    if (parts.length !== 2) return valueError('expected two separators')
    if (!parts.every((part) => typeof part === 'string')) return typeError('separators must be str')
    ;[style.itemSeparator, style.keySeparator] = parts as [string, string]
  }
  const pieces: string[] = []
  const line = style.indent === undefined ? undefined : '\n'
  if (Array.isArray(value) && value.length > ITEMS_OF_STEP)
    return new Pause(listInSteps(rt, value, style, line, pieces))
  write(rt, value, style, line, pieces)
  return pieces.join('')
}

// Lists of tools and of messages may be long, what is in them is short.
const ITEMS_OF_STEP = 16

function* listInSteps(
  rt: Runtime,
  items: readonly Value[],
  style: Style,
  line: string | undefined,
  pieces: string[],
): Steps<string> {
  for (let first = 0; first < items.length; first += ITEMS_OF_STEP) {
    writeItems(rt, items, style, line, pieces, first, Math.min(items.length, first + ITEMS_OF_STEP))
    if (rt.isDue) yield* rt.pause()
  }
  return pieces.join('')
}

/** Writes items of a list, with the brackets that belong to the first and the last. */
function writeItems(
  rt: Runtime,
  items: readonly Value[],
  style: Style,
  line: string | undefined,
  pieces: string[],
  first = 0,
  end = items.length,
): void {
  const inner = line === undefined ? undefined : line + style.indent
  const between = style.itemSeparator + (inner ?? '')
  if (first === 0) put(rt, `[${inner ?? ''}`, pieces)
  for (let index = first; index < end; index++) {
    if (index > 0) put(rt, between, pieces)
    write(rt, items[index] as Value, style, inner, pieces)
  }
  if (end === items.length) put(rt, `${line ?? ''}]`, pieces)
}

function put(rt: Runtime, text: string, pieces: string[]): void {
  rt.room(text.length)
  pieces.push(text)
}

function indentOf(rt: Runtime, indent: Value): string | undefined {
  if (indent === null) return undefined
  if (typeof indent === 'string') return indent
  if (!isInt(indent)) return indent instanceof Undefined ? indent.fail() : typeError('indent must be int or str')
  const width = Math.max(0, asCount(indent))
  rt.room(width)
  return ' '.repeat(width)
}

function write(rt: Runtime, value: Value, style: Style, line: string | undefined, pieces: string[]): void {
  const inner = line === undefined ? undefined : line + style.indent
  const between = style.itemSeparator + (inner ?? '')
  if (Array.isArray(value) || value instanceof Tuple) {
    const items = Array.isArray(value) ? value : value.items
    if (items.length === 0) {
      put(rt, '[]', pieces)
      return
    }
    writeItems(rt, items, style, line, pieces)
    return
  }
  if (value instanceof Dict) {
    if (value.size === 0) {
      put(rt, '{}', pieces)
      return
    }
    put(rt, `{${inner ?? ''}`, pieces)
    const pairs = Array.from(value.entries(), (pair) => new Tuple(pair))
    const sorted = style.sortKeys ? sortBy(rt, pairs, (pair) => (pair as Tuple).items[0] as Value, false) : pairs
    sorted.forEach((pair, index) => {
      if (index > 0) put(rt, between, pieces)
      const [key, item] = (pair as Tuple).items as [Value, Value]
      put(rt, quoted(keyText(key), style) + style.keySeparator, pieces)
      write(rt, item, style, inner, pieces)
    })
    put(rt, `${line ?? ''}}`, pieces)
    return
  }
  if (typeof value === 'string') {
    put(rt, quoted(value, style), pieces)
    return
  }
  if (value instanceof Markup) {
    put(rt, quoted(value.text, style), pieces)
    return
  }
  put(rt, scalarText(value) ?? typeError(`Object of type ${typeName(value)} is not JSON serializable`), pieces)
}

function scalarText(value: Value): string | undefined {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'number' || typeof value === 'bigint') return intText(value)
  return value instanceof PythonFloat ? jsonFloat(value.value) : undefined
}

function keyText(key: Value): string {
  if (typeof key === 'string') return key
  if (key instanceof Markup) return key.text
  return scalarText(key) ?? typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
}

function quoted(value: string, style: Style): string {
  const json = jsonString(value)
  if (!style.ascii) return json
  return json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
