/**
 * @file Automata over bytes: what a grammar takes as one piece, such as a string or a number. A state is a whole
 * number; no state is a dead end.
 */

/** White space of JSON. */
const WHITE_SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d])

import type { Steps } from '../turns.js'

/** An automaton over bytes. */
export interface Terminal {
  /** Terminals with the same key are the same. */
  readonly key: string
  readonly start: number
  /** The state behind a byte; -1 where the byte may not come. */
  next(state: number, byte: number): number
  /** Whether the piece may end here. */
  accepts(state: number): boolean
  /** What decides about the next `reach` bytes: states with the same text take and accept the same, in any terminal. */
  maskKey(state: number, reach: number): string
  /** Whether an added token that is not special may come inside, by its id; absent: none may. */
  takesToken?(id: number): boolean
  /** The same automaton as a table, for walks over a whole vocabulary; absent where it would be large. */
  readonly table?: ByteTable
  /** Where a state stands in a string of JSON; absent where the text of the string matters. */
  placeInString?(state: number): PlaceInString
}

/** An automaton with a column for each group of bytes that no state tells apart. */
export interface ByteTable {
  readonly columns: number
  /** The column of each byte. */
  readonly column: Uint8Array
  /** The state behind: `next[columns * state + column[byte]]`; -1: the byte may not come. */
  readonly next: Int32Array
  /** 1 for states in which the piece may end. */
  readonly accepts: Uint8Array
}

/** A place in a string whose text does not matter. */
export interface PlaceInString {
  /** The place in the table of any string. */
  readonly place: number
  /** Characters that have to begin before the end. */
  readonly needed: number
  /** Characters that may begin; may be infinite. */
  readonly most: number
}

/** Bytes `low` to `high` lead to state `to`. */
export interface ByteRange {
  readonly low: number
  readonly high: number
  readonly to: number
}

const STEP = 64

/** A terminal of a table. */
export function* tableTerminal(
  key: string,
  start: number,
  transitions: readonly (readonly ByteRange[])[],
  accepting: readonly boolean[],
): Steps<Terminal> {
  const isBorder = new Uint8Array(257)
  for (const [state, ranges] of transitions.entries()) {
    if (state % STEP === 0) yield
    for (const { low, high } of ranges) {
      isBorder[low] = 1
      isBorder[high + 1] = 1
    }
  }
  const column = new Uint8Array(256)
  let columns = 0
  for (let byte = 0; byte < 256; byte++) {
    if (byte > 0 && isBorder[byte] === 1) columns++
    column[byte] = columns
  }
  columns++
  const table = new Int32Array(transitions.length * columns).fill(-1)
  for (const [state, ranges] of transitions.entries()) {
    if (state % STEP === 0) yield
    for (const { low, high, to } of ranges)
      table.fill(to, state * columns + column[low]!, state * columns + column[high]! + 1)
  }
  const accepts = Uint8Array.from(accepting, Number)
  return {
    key,
    start,
    next: (state, byte) => table[state * columns + column[byte]!]!,
    accepts: (state) => accepts[state] === 1,
    maskKey: (state) => `${key}:${state}`,
    table: { columns, column, next: table, accepts },
  }
}

/** A terminal that takes one of several texts. */
export function literalTerminal(key: string, texts: readonly string[]): Terminal {
  const encoder = new TextEncoder()
  const byte = [0]
  const child = [-1]
  const sibling = [-1]
  const ends = [false]
  const find = (state: number, wanted: number): number => {
    let at = child[state]!
    while (at >= 0 && byte[at] !== wanted) at = sibling[at]!
    return at
  }
  for (const text of texts) {
    let state = 0
    for (const next of encoder.encode(text)) {
      let to = find(state, next)
      if (to < 0) {
        to = byte.length
        byte.push(next)
        child.push(-1)
        sibling.push(child[state]!)
        child[state] = to
        ends.push(false)
      }
      state = to
    }
    ends[state] = true
  }
  return {
    key,
    start: 0,
    next: find,
    accepts: (state) => ends[state]!,
    maskKey: (state) => `${key}:${state}`,
  }
}

/**
 * Any bytes, and added tokens that are not special: text in which nothing is looked for.
 * @param without id of an added token that may not come
 */
export function freeText(without: number): Terminal {
  const key = `free text without ${without}`
  const next = (): number => 0
  const accepts = (): boolean => true
  return {
    key,
    start: 0,
    next,
    accepts,
    maskKey: () => key,
    takesToken: (id) => id !== without,
    table: tableOf(1, next, accepts),
  }
}

/**
 * Text up to and with the first occurrence of a marker (Knuth, Morris and Pratt 1977).
 * @param isEnd whether it is the text behind the last one instead: it ends anywhere, and has no marker
 */
export function textWithMarker(marker: string, isEnd: boolean): Terminal {
  const bytes = new TextEncoder().encode(marker)
  const fallback = new Int32Array(bytes.length + 1)
  for (let at = 1, length = 0; at < bytes.length; at++) {
    while (length > 0 && bytes[at] !== bytes[length]) length = fallback[length]!
    if (bytes[at] === bytes[length]) length++
    fallback[at + 1] = length
  }
  const next = (state: number, byte: number): number => {
    let length = state
    while (length > 0 && bytes[length] !== byte) length = fallback[length]!
    return bytes[length] === byte ? length + 1 : length
  }
  const step = (state: number, byte: number): number => {
    if (state === bytes.length) return -1
    const to = next(state, byte)
    return isEnd && to === bytes.length ? -1 : to
  }
  const accepts = (state: number): boolean => isEnd || state === bytes.length
  const key = `${isEnd ? 'without' : 'until'} ${marker}`
  return {
    key,
    start: 0,
    next: step,
    accepts,
    maskKey: (state) => `${key}:${state}`,
    takesToken: () => true,
    table: tableOf(bytes.length + 1, step, accepts),
  }
}

/** The table of an automaton of few states. */
function tableOf(
  states: number,
  next: (state: number, byte: number) => number,
  accepts: (state: number) => boolean,
): ByteTable {
  return {
    columns: 256,
    column: Uint8Array.from({ length: 256 }, (_, byte) => byte),
    next: Int32Array.from({ length: 256 * states }, (_, at) => next(at >> 8, at & 255)),
    accepts: Uint8Array.from({ length: states }, (_, state) => Number(accepts(state))),
  }
}

/** What another terminal takes, but its first byte that is no white space is not `byte`. */
export function withoutFirst(inner: Terminal, byte: number): Terminal {
  // The last bit of a state says whether such a byte has come.
  const { takesToken } = inner
  const step = (state: number, next: number): number => {
    const hasBegun = state % 2 === 1 || !WHITE_SPACE.has(next)
    if (state % 2 === 0 && next === byte) return -1
    const to = inner.next(state >> 1, next)
    return to < 0 ? -1 : 2 * to + Number(hasBegun)
  }
  const accepts = (state: number): boolean => inner.accepts(state >> 1)
  return {
    key: `first byte not ${byte}, ${inner.key}`,
    start: 2 * inner.start,
    next: step,
    ...(inner.table && { table: tableOf(2 * inner.table.accepts.length, step, accepts) }),
    accepts,
    maskKey: (state, reach) =>
      `${state % 2 === 1 ? '' : `first byte not ${byte}, `}${inner.maskKey(state >> 1, reach)}`,
    ...(takesToken && { takesToken }),
  }
}
