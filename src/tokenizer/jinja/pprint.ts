/**
 * @file The filter pprint, as Python's pprint breaks values of more than a line: width 80, one blank a level, sorted
 * keys.
 */

import { bind } from './arguments.js'
import { order } from './compare.js'
import { isKind, unsupported } from './errors.js'
import type { Filter } from './filters.js'
import { repr, reprText } from './repr.js'
import type { Runtime } from './runtime.js'
import { codePointLength, SPACE_CLASS, splitLines } from './text.js'
import { Dict, Tuple, typeName, type Value } from './values.js'

const WIDTH = 80
/** Types whose names have no module in front. */
const NAMED_TYPES: ReadonlySet<string> = new Set(['NoneType', 'bool', 'float', 'int', 'range', 'str', 'tuple'])
const WORD = new RegExp(`[^${SPACE_CLASS}]*[${SPACE_CLASS}]*`, 'gu')

export const prettyPrint: Filter = (rt, value, given) => {
  bind('pprint', given)
  const parts: string[] = []
  format(rt, value, parts, 0, 0, 0)
  return parts.join('')
}

/**
 * Writes a value of which the first line begins in column `indent` and the last is followed by `allowance` characters.
 */
function format(rt: Runtime, value: Value, out: string[], indent: number, allowance: number, level: number): void {
  const line = onLine(rt, value)
  if (codePointLength(line) <= WIDTH - indent - allowance) out.push(line)
  else if (typeof value === 'string') formatText(rt, value, out, indent, allowance, level + 1)
  else if (Array.isArray(value)) formatItems(rt, value, out, '[', ']', indent, allowance, level + 1)
  else if (value instanceof Tuple && value.names.length === 0) {
    formatItems(rt, value.items, out, '(', value.items.length === 1 ? ',)' : ')', indent, allowance, level + 1)
  } else if (value instanceof Dict) formatDict(rt, value, out, indent, allowance, level + 1)
  else out.push(line)
  rt.room(line.length)
}

/** `repr` with the keys of dicts sorted. */
function onLine(rt: Runtime, value: Value): string {
  const sorted = (part: Value): Value => {
    if (Array.isArray(part)) return part.map(sorted)
    // A group of groupby prints itself.
    if (part instanceof Tuple) return part.names.length > 0 ? part : new Tuple(part.items.map(sorted))
    return part instanceof Dict ? Dict.of(sortedEntries(rt, part).map(([key, entry]) => [key, sorted(entry)])) : part
  }
  return repr(rt, sorted(value))
}

function formatItems(
  rt: Runtime,
  items: readonly Value[],
  out: string[],
  open: string,
  close: string,
  indent: number,
  allowance: number,
  level: number,
): void {
  out.push(open)
  items.forEach((item, index) => {
    if (index > 0) out.push(`,\n${' '.repeat(indent + 1)}`)
    format(rt, item, out, indent + 1, index === items.length - 1 ? allowance + close.length : 1, level)
  })
  out.push(close)
}

function formatDict(rt: Runtime, dict: Dict, out: string[], indent: number, allowance: number, level: number): void {
  out.push('{')
  const entries = sortedEntries(rt, dict)
  entries.forEach(([key, entry], index) => {
    if (index > 0) out.push(`,\n${' '.repeat(indent + 1)}`)
    const shown = onLine(rt, key)
    out.push(`${shown}: `)
    const isLast = index === entries.length - 1
    format(rt, entry, out, indent + 1 + codePointLength(shown) + 2, isLast ? allowance + 1 : 1, level)
  })
  out.push('}')
}

/** Entries by their keys; keys that have no order go by the names of their types. */
function sortedEntries(rt: Runtime, dict: Dict): [Value, Value][] {
  return Array.from(dict.entries()).sort(([a], [b]) => {
    rt.step()
    try {
      const found = order(rt, a, b)
      return Number.isNaN(found) ? unsupported('sorting NaN') : found
    } catch (error) {
      if (!isKind(error, 'TypeError')) throw error
      const [first, second] = [typeName(a), typeName(b)]
      const areNamed = NAMED_TYPES.has(first) && NAMED_TYPES.has(second)
      // Python goes by addresses here, or by names with modules in them.
      if (first === second || !areNamed) return unsupported(`pprint of keys of the types ${first} and ${second}`)
      return first < second ? -1 : 1
    }
  })
}

/** A text as several literals, one below the other: by its lines, and these by their words. */
function formatText(rt: Runtime, text: string, out: string[], column: number, given: number, level: number): void {
  rt.step(text.length)
  const isAlone = level === 1
  const indent = isAlone ? column + 1 : column
  const allowance = isAlone ? given + 1 : given
  const chunks: string[] = []
  const lines = splitLines(text, true)
  lines.forEach((line, index) => {
    const isLastLine = index === lines.length - 1
    const shown = reprText(rt, line)
    if (codePointLength(shown) <= WIDTH - indent - (isLastLine ? allowance : 0)) {
      chunks.push(shown)
      return
    }
    const words = line.match(WORD)?.filter((word) => word !== '') ?? []
    let current = ''
    words.forEach((word, at) => {
      const width = WIDTH - indent - (isLastLine && at === words.length - 1 ? allowance : 0)
      const candidate = current + word
      if (codePointLength(reprText(rt, candidate)) > width) {
        if (current !== '') chunks.push(reprText(rt, current))
        current = word
      } else current = candidate
    })
    if (current !== '') chunks.push(reprText(rt, current))
  })
  // A text that stays in one piece is written as it is.
  const [only] = chunks
  if (chunks.length === 1) out.push(only as string)
  else out.push(isAlone ? '(' : '', chunks.join(`\n${' '.repeat(indent)}`), isAlone ? ')' : '')
}
