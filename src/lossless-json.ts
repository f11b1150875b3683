/**
 * @file JSON as Python reads and writes it: what `JSON.parse` would change (integers beyond 2^53, `2.0`, the order of
 * keys like "10") stays as it was written. Imports nothing.
 */

/**
 * A float whose value is an integer, as `2.0` or `1e3`: Python prints it as a float, a JavaScript number cannot tell.
 */
export class PythonFloat {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }

  valueOf(): number {
    return this.value
  }

  toJSON(): number {
    return this.value
  }

  toString(): string {
    return floatText(this.value)
  }
}

/**
 * What `parseLosslessJson` returns: plain JavaScript values where nothing is lost by them. Integers beyond 2^53 are
 * bigints, floats with an integral value `PythonFloat`, and objects whose order of keys JavaScript would change Maps.
 */
export type LosslessJson =
  | null
  | boolean
  | number
  | bigint
  | string
  | PythonFloat
  | LosslessJson[]
  | Map<string, LosslessJson>
  | { [key: string]: LosslessJson }

export interface LosslessJsonOptions {
  /** What a key that occurs twice does: the last value counts, as in Python, or it is an error. Default 'last'. */
  duplicateKeys?: 'last' | 'refuse'
  /** Levels of arrays and objects, above which the text is refused. Default 500. */
  maxDepth?: number
}

const MAX_DEPTH = 500
/** Python refuses to read or print more digits, because the time for it grows with their square. */
export const MAX_INTEGER_DIGITS = 4300

const OPEN_ARRAY = 91
const CLOSE_ARRAY = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125
const QUOTE = 34
const COMMA = 44
const COLON = 58
const BACKSLASH = 92
const LOWER_U = 117
// Characters of a string, and quotes within it, that are read without a pause.
const LONG_STRING = 1 << 16

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const WORD = /true|false|null/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids exactly these within strings.
const CONTROL = /[\u0000-\u001f]/
const INTEGER_KEY = /^(?:0|[1-9][0-9]{0,9})$/

interface Level {
  array: LosslessJson[] | undefined
  object: Map<string, LosslessJson> | undefined
  /** The key whose value comes next. */
  key: string
}

/**
 * Parses one JSON value in linear time.
 *
 * @throws SyntaxError with line and column for what is not JSON, is nested too deep, or has a key twice where that is
 * refused.
 */
export function parseLosslessJson(text: string, options: LosslessJsonOptions = {}): LosslessJson {
  const steps = losslessJsonSteps(text, options)
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/**
 * `parseLosslessJson` for long texts: yields wherever it may be interrupted, at least each fraction of a millisecond.
 */
export function* losslessJsonSteps(
  text: string,
  options: LosslessJsonOptions = {},
): Generator<undefined, LosslessJson, undefined> {
  const maxDepth = options.maxDepth ?? MAX_DEPTH
  const refuseTwice = options.duplicateKeys === 'refuse'
  const levels: Level[] = []
  let at = 0
  const fail = (expected: string, where = at): never => {
    throw new SyntaxError(`expected ${expected}, got ${found(text, where)} at ${placeOf(text, where)}`)
  }
  const skip = (): number => {
    for (;;) {
      const code = text.charCodeAt(at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return code
      at++
    }
  }
  const bodyOf = (start: number, end: number): string => {
    const body = text.slice(start, end)
    const control = CONTROL.exec(body)
    if (control !== null) fail('no control character within a string', start + control.index)
    if (!body.includes('\\')) return body
    try {
      return JSON.parse(`"${body}"`) as string
    } catch {
      return fail('a string with valid escapes', start - 1)
    }
  }
  /** Whether an odd number of backslashes stands before `end`, so that the character there is escaped. */
  const isEscaped = (end: number): boolean => {
    let first = end
    while (text.charCodeAt(first - 1) === BACKSLASH) first--
    return (end - first) % 2 === 1
  }
  /** The string that begins here, or undefined where it is too long to be read without a pause. */
  const readString = (): string | undefined => {
    const start = at + 1
    let end = text.indexOf('"', start)
    for (let tries = 0; end >= 0 && isEscaped(end); tries++) {
      if (tries > LONG_STRING / 64) return undefined
      end = text.indexOf('"', end + 1)
    }
    if (end < 0) fail('a closing quote', text.length)
    if (end - start > LONG_STRING) return undefined
    at = end + 1
    return bodyOf(start, end)
  }
  function* readLongString(): Generator<undefined, string, undefined> {
    let start = at + 1
    let whole = ''
    for (;;) {
      // A piece ends at the closing quote, or behind a whole escape.
      const limit = Math.min(start + LONG_STRING, text.length)
      let end = start
      while (end < limit && text.charCodeAt(end) !== QUOTE) {
        if (text.charCodeAt(end) !== BACKSLASH) end++
        else end += text.charCodeAt(end + 1) === LOWER_U ? 6 : 2
      }
      if (end >= text.length) fail('a closing quote', text.length)
      whole += bodyOf(start, end)
      start = end
      if (text.charCodeAt(end) === QUOTE) break
      yield
    }
    at = start + 1
    return whole
  }
  const beginKey = (): number => {
    if (skip() !== QUOTE) fail('a key in quotes')
    return at
  }
  const endKey = (level: Level, start: number): void => {
    if (refuseTwice && level.object?.has(level.key)) fail(`the key ${JSON.stringify(level.key)} only once`, start)
    if (skip() !== COLON) fail('":"')
    at++
  }
  const open = (level: Level): void => {
    if (levels.push(level) > maxDepth) fail(`at most ${maxDepth} levels of arrays and objects`)
    at++
  }

  for (let values = 1; ; values++) {
    if (values % 256 === 0) yield
    let value: LosslessJson
    const code = skip()
    if (code === OPEN_OBJECT) {
      const level: Level = { array: undefined, object: new Map(), key: '' }
      open(level)
      if (skip() !== CLOSE_OBJECT) {
        const start = beginKey()
        level.key = readString() ?? (yield* readLongString())
        endKey(level, start)
        continue
      }
      at++
      levels.pop()
      value = {}
    } else if (code === OPEN_ARRAY) {
      open({ array: [], object: undefined, key: '' })
      if (skip() !== CLOSE_ARRAY) continue
      at++
      levels.pop()
      value = []
    } else if (code === QUOTE) value = readString() ?? (yield* readLongString())
    else {
      WORD.lastIndex = at
      NUMBER.lastIndex = at
      const word = WORD.exec(text)?.[0]
      const number = word === undefined ? NUMBER.exec(text) : null
      if (word !== undefined) {
        value = word === 'null' ? null : word === 'true'
        at += word.length
      } else if (number !== null) {
        value = numberOf(number[0], number[1] !== undefined || number[2] !== undefined, fail)
        at += number[0].length
      } else value = fail('a JSON value')
    }
    // The value is whole: it goes into the level around it, which may end with it.
    for (;;) {
      const level = levels.at(-1)
      if (level === undefined) {
        skip()
        if (at < text.length) fail('nothing after the value')
        return value
      }
      if (level.array !== undefined) level.array.push(value)
      else level.object?.set(level.key, value)
      const next = skip()
      if (next === COMMA) {
        at++
        if (level.object !== undefined) {
          const start = beginKey()
          level.key = readString() ?? (yield* readLongString())
          endKey(level, start)
        }
        break
      }
      if (next !== (level.array !== undefined ? CLOSE_ARRAY : CLOSE_OBJECT)) {
        fail(level.array !== undefined ? '"," or "]"' : '"," or "}"')
      }
      at++
      levels.pop()
      value = level.array ?? plainIfEqual(level.object as Map<string, LosslessJson>)
    }
  }
}

/** The plain JavaScript value: Maps as objects, bigints and floats as the nearest number. */
export function plainJson(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof PythonFloat) return value.value
  if (Array.isArray(value)) return value.map(plainJson)
  const plain: Record<string, unknown> = {}
  for (const [key, entry] of value instanceof Map ? value : Object.entries(value)) {
    Object.defineProperty(plain, key, { value: plainJson(entry), enumerable: true, writable: true, configurable: true })
  }
  return plain
}

/**
 * The text that Python's `json.dumps(value, ensure_ascii=False)` gives.
 *
 * @throws TypeError for what JSON has no form of, such as functions.
 */
export function jsonText(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') return jsonString(value)
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return Number.isInteger(value) ? String(BigInt(value)) : jsonFloat(value)
  if (value instanceof PythonFloat) return jsonFloat(value.value)
  if (Array.isArray(value)) return `[${value.map(jsonText).join(', ')}]`
  if (typeof value !== 'object') throw new TypeError(`expected a JSON value, got a ${typeof value}`)
  const entries = value instanceof Map ? [...value] : Object.entries(value).filter(([, entry]) => entry !== undefined)
  return `{${entries.map(([key, entry]) => `${jsonString(String(key))}: ${jsonText(entry)}`).join(', ')}}`
}

/** A JSON string as Python writes it with `ensure_ascii=False`: lone surrogates stay as they are. */
export function jsonString(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON escapes.
  return `"${text.replace(/[\u0000-\u001f"\\]/g, escapeOf)}"`
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
}

function escapeOf(character: string): string {
  return SHORT_ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** A float in JSON as Python writes it, which knows `NaN` and `Infinity`. */
export function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity'
  return floatText(value)
}

/**
 * `repr()` of a Python float: the shortest digits that read back the same, with an exponent from 1e16 on and below
 * 1e-4.
 */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  const sign = value < 0 || Object.is(value, -0) ? '-' : ''
  if (value === 0) return `${sign}0.0`
  const [mantissa = '', power = ''] = Math.abs(value).toExponential().split('e')
  const exponent = Number(power)
  if (exponent >= 16 || exponent < -4) {
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  const digits = mantissa.replace('.', '')
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`
}

function numberOf(text: string, isFloat: boolean, fail: (expected: string) => never): LosslessJson {
  const value = Number(text)
  if (isFloat) return Number.isInteger(value) ? new PythonFloat(value) : value
  if (Number.isSafeInteger(value)) return value === 0 ? 0 : value
  if (text.length > MAX_INTEGER_DIGITS + (text.startsWith('-') ? 1 : 0)) {
    fail(`an integer of at most ${MAX_INTEGER_DIGITS} digits`)
  }
  return BigInt(text)
}

/** The object with the entries of `map`, or the map itself where an object would order them in another way. */
function plainIfEqual(map: Map<string, LosslessJson>): LosslessJson {
  let last = -1
  let names = 0
  for (const key of map.keys()) {
    if (key === '__proto__') return map
    if (!INTEGER_KEY.test(key)) names++
    else if (names > 0 || Number(key) < last) return map
    else last = Number(key)
  }
  const plain: Record<string, LosslessJson> = {}
  for (const [key, value] of map) plain[key] = value
  return plain
}

function found(text: string, at: number): string {
  if (at >= text.length) return 'the end of the text'
  return JSON.stringify(text.slice(at, at + 20))
}

function placeOf(text: string, at: number): string {
  let line = 1
  let start = 0
  for (let next = text.indexOf('\n'); next >= 0 && next < at; next = text.indexOf('\n', start)) {
    line++
    start = next + 1
  }
  return line === 1 ? `column ${at + 1}` : `line ${line} column ${at - start + 1}`
}
