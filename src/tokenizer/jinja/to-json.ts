/** @file The filter `tojson` as transformers defines it: Python's `json.dumps`. */

import { jsonFloat, jsonString, PythonFloat } from '../../lossless-json.js'
import { bind } from './arguments.js'
import { sortBy } from './compare.js'
import { typeError, valueError } from './errors.js'
import { asCount } from './numbers.js'
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

/** `value | tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`. */
export function toJson(rt: Runtime, value: Value, given: CallArguments): string {
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
  write(rt, value, style, style.indent === undefined ? undefined : '\n', pieces)
  return pieces.join('')
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
  const put = (text: string): void => {
    rt.room(text.length)
    pieces.push(text)
  }
  const inner = line === undefined ? undefined : line + style.indent
  const between = style.itemSeparator + (inner ?? '')
  if (Array.isArray(value) || value instanceof Tuple) {
    const items = Array.isArray(value) ? value : value.items
    if (items.length === 0) {
      put('[]')
      return
    }
    put(`[${inner ?? ''}`)
    items.forEach((item, index) => {
      if (index > 0) put(between)
      write(rt, item, style, inner, pieces)
    })
    put(`${line ?? ''}]`)
    return
  }
  if (value instanceof Dict) {
    if (value.size === 0) {
      put('{}')
      return
    }
    put(`{${inner ?? ''}`)
    const pairs = Array.from(value.entries(), (pair) => new Tuple(pair))
    const sorted = style.sortKeys ? sortBy(rt, pairs, (pair) => (pair as Tuple).items[0] as Value, false) : pairs
    sorted.forEach((pair, index) => {
      if (index > 0) put(between)
      const [key, item] = (pair as Tuple).items as [Value, Value]
      put(quoted(keyText(key), style) + style.keySeparator)
      write(rt, item, style, inner, pieces)
    })
    put(`${line ?? ''}}`)
    return
  }
  if (typeof value === 'string') {
    put(quoted(value, style))
    return
  }
  if (value instanceof Markup) {
    put(quoted(value.text, style))
    return
  }
  put(scalarText(value) ?? typeError(`Object of type ${typeName(value)} is not JSON serializable`))
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
