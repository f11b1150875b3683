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
  isSmall,
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
  if (!isSmall(value)) return new Pause(inSteps(rt, value, style, line, pieces))
  write(rt, value, style, line, pieces)
  return pieces.join('')
}

// So many pieces are joined without a pause.
const MOST_PIECES = 2048

function* inSteps(rt: Runtime, value: Value, style: Style, line: string | undefined, pieces: string[]): Steps<string> {
  yield* writeInSteps(rt, value, style, line, pieces)
  return pieces.join('')
}

function* writeInSteps(
  rt: Runtime,
  value: Value,
  style: Style,
  line: string | undefined,
  pieces: string[],
): Steps<void> {
  if (rt.isDue) yield* rt.pause()
  if (isSmall(value)) {
    write(rt, value, style, line, pieces)
    if (pieces.length > MOST_PIECES) pieces.splice(0, pieces.length, pieces[0] + pieces.slice(1).join(''))
    return
  }
  const { open, close, items, keys } = containerOf(rt, value, style)
  const inner = line === undefined ? undefined : line + style.indent
  put(rt, open + (inner ?? ''), pieces)
  for (let index = 0; index < items.length; index++) {
    putPrefix(rt, index, keys, style, inner, pieces)
    yield* writeInSteps(rt, items[index] as Value, style, inner, pieces)
  }
  put(rt, (line ?? '') + close, pieces)
}

interface Container {
  open: string
  close: string
  items: readonly Value[]
  /** The keys of a dict. */
  keys: readonly Value[] | undefined
}

function containerOf(rt: Runtime, value: Value, style: Style): Container {
  if (!(value instanceof Dict)) {
    return { open: '[', close: ']', items: value instanceof Tuple ? value.items : (value as Value[]), keys: undefined }
  }
  const pairs = Array.from(value.entries(), (pair) => new Tuple(pair))
  const sorted = style.sortKeys ? sortBy(rt, pairs, (pair) => (pair as Tuple).items[0] as Value, false) : pairs
  const part = (at: 0 | 1): Value[] => sorted.map((pair) => (pair as Tuple).items[at] as Value)
  return { open: '{', close: '}', items: part(1), keys: part(0) }
}

/** What stands before an item: the separator and, in a dict, the key. */
function putPrefix(
  rt: Runtime,
  index: number,
  keys: readonly Value[] | undefined,
  style: Style,
  inner: string | undefined,
  pieces: string[],
): void {
  if (index > 0) put(rt, style.itemSeparator + (inner ?? ''), pieces)
  if (keys !== undefined) put(rt, quoted(keyText(keys[index] as Value), style) + style.keySeparator, pieces)
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
  if (Array.isArray(value) || value instanceof Tuple || value instanceof Dict) {
    const { open, close, items, keys } = containerOf(rt, value, style)
    if (items.length === 0) {
      put(rt, open + close, pieces)
      return
    }
    const inner = line === undefined ? undefined : line + style.indent
    put(rt, open + (inner ?? ''), pieces)
    items.forEach((item, index) => {
      putPrefix(rt, index, keys, style, inner, pieces)
      write(rt, item, style, inner, pieces)
    })
    put(rt, (line ?? '') + close, pieces)
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
