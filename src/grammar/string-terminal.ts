/**
 * @file Strings of JSON as terminals: any string, strings of some length, and strings whose text an automaton takes.
 * Characters are counted as JSON Schema counts them: by code points.
 */

import type { Steps } from '../turns.js'
import { type ByteRange, type Terminal, tableTerminal } from './byte-automaton.js'
import type { StringTable } from './string-tokens.js'
import type { CodeTransition, TextAutomaton } from './text-automaton.js'

// Where a string of JSON stands. Numbers of hexadecimal digits that are still to come follow the names.
const BEFORE = 0
const INSIDE = 1
const BEHIND = 2
const MORE_1 = 3
const MORE_2 = 4
const MORE_3 = 5
const AFTER_E0 = 6
const AFTER_ED = 7
const AFTER_F0 = 8
const AFTER_F4 = 9
const ESCAPE = 10
const HEX_4 = 11
const HEX_3 = 12
const HEX_2 = 13
const HEX_1 = 14
/** Behind `\ud`, which may begin a pair. */
const HEX_D = 15
const HIGH_2 = 16
const HIGH_1 = 17
/** Behind the first half of a pair: `\`, `u`, `d`, `c` to `f` and two digits follow. */
const LOW_ESCAPE = 18
const LOW_U = 19
const LOW_D = 20
const LOW_3 = 21
const STATES = 22

/** States of a string by byte; -1 where a byte may not come. */
const TABLE = makeTable()

/** Any string of JSON. */
export const ANY_STRING: StringTable = { next: TABLE, inside: INSIDE, behind: BEHIND }

function makeTable(): Int8Array {
  const table = new Int8Array(STATES * 256).fill(-1)
  const set = (state: number, low: number, high: number, to: number): void => {
    table.fill(to, state * 256 + low, state * 256 + high + 1)
  }
  const hex = (state: number, to: number): void => {
    set(state, 0x30, 0x39, to)
    set(state, 0x41, 0x46, to)
    set(state, 0x61, 0x66, to)
  }
  set(BEFORE, 0x22, 0x22, INSIDE)
  set(INSIDE, 0x20, 0x7f, INSIDE)
  set(INSIDE, 0x22, 0x22, BEHIND)
  set(INSIDE, 0x5c, 0x5c, ESCAPE)
  // Well-formed UTF-8, as table 3-7 of the Unicode standard has it.
  set(INSIDE, 0xc2, 0xdf, MORE_1)
  set(INSIDE, 0xe1, 0xef, MORE_2)
  set(INSIDE, 0xe0, 0xe0, AFTER_E0)
  set(INSIDE, 0xed, 0xed, AFTER_ED)
  set(INSIDE, 0xf1, 0xf3, MORE_3)
  set(INSIDE, 0xf0, 0xf0, AFTER_F0)
  set(INSIDE, 0xf4, 0xf4, AFTER_F4)
  set(MORE_1, 0x80, 0xbf, INSIDE)
  set(MORE_2, 0x80, 0xbf, MORE_1)
  set(MORE_3, 0x80, 0xbf, MORE_2)
  set(AFTER_E0, 0xa0, 0xbf, MORE_1)
  set(AFTER_ED, 0x80, 0x9f, MORE_1)
  set(AFTER_F0, 0x90, 0xbf, MORE_2)
  set(AFTER_F4, 0x80, 0x8f, MORE_2)
  for (const char of '"\\/bfnrt') set(ESCAPE, char.charCodeAt(0), char.charCodeAt(0), INSIDE)
  set(ESCAPE, 0x75, 0x75, HEX_4)
  hex(HEX_4, HEX_3)
  set(HEX_4, 0x44, 0x44, HEX_D)
  set(HEX_4, 0x64, 0x64, HEX_D)
  hex(HEX_3, HEX_2)
  hex(HEX_2, HEX_1)
  hex(HEX_1, INSIDE)
  // A half of a pair alone is no character.
  set(HEX_D, 0x30, 0x37, HEX_2)
  for (const char of '89abAB') set(HEX_D, char.charCodeAt(0), char.charCodeAt(0), HIGH_2)
  hex(HIGH_2, HIGH_1)
  hex(HIGH_1, LOW_ESCAPE)
  set(LOW_ESCAPE, 0x5c, 0x5c, LOW_U)
  set(LOW_U, 0x75, 0x75, LOW_D)
  for (const char of 'dD') set(LOW_D, char.charCodeAt(0), char.charCodeAt(0), LOW_3)
  for (const char of 'cdefCDEF') set(LOW_3, char.charCodeAt(0), char.charCodeAt(0), HEX_2)
  return table
}

/**
 * Strings of `min` to `max` code points; `max` may be infinite. A state is where the string stands, plus 32 times the
 * characters that have begun.
 */
export function stringTerminal(min: number, max: number): Terminal {
  const isBounded = max !== Number.POSITIVE_INFINITY
  const most = isBounded ? max : min
  return {
    key: `string ${min} ${max}`,
    start: BEFORE,
    next(state, byte) {
      const at = state & 31
      const to = TABLE[at * 256 + byte]!
      if (to < 0) return -1
      const count = state >>> 5
      if (at !== INSIDE) return (count << 5) | to
      if (to === BEHIND) return count < min ? -1 : to
      if (count < most) return ((count + 1) << 5) | to
      return isBounded ? -1 : (count << 5) | to
    },
    accepts: (state) => state === BEHIND,
    maskKey(state, reach) {
      const count = state >>> 5
      const needed = Math.min(Math.max(0, min - count), reach + 1)
      return `string ${state & 31} ${needed} ${Math.min(max - count, reach + 1)}`
    },
    placeInString(state) {
      const count = state >>> 5
      return { place: state & 31, needed: Math.max(0, min - count), most: max - count }
    },
  }
}

/** Escapes of control characters that JSON.stringify writes with a letter. */
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x08, 0x62],
  [0x09, 0x74],
  [0x0a, 0x6e],
  [0x0c, 0x66],
  [0x0d, 0x72],
])

const STEP = 8

/** Strings whose text an automaton takes, escaped as JSON.stringify does it: each text is written in one way. */
export function* textTerminal(key: string, automaton: TextAutomaton): Steps<Terminal> {
  const maker = new TableMaker(automaton.transitions.length)
  const end = maker.state(true)
  for (const [state, transitions] of automaton.transitions.entries()) {
    if (automaton.accepting[state]) maker.add(state, 0x22, 0x22, end)
    maker.addPlain(state, transitions)
    maker.addEscapes(state, transitions)
    if (state % STEP === 0) yield
  }
  const start = maker.state(false)
  maker.add(start, 0x22, 0x22, 0)
  return yield* tableTerminal(key, start, maker.transitions, maker.accepting)
}

/** Texts of ASCII without quotes, as numbers. */
export function* bareTerminal(key: string, { transitions, accepting }: TextAutomaton): Steps<Terminal> {
  return yield* tableTerminal(key, 0, transitions, accepting)
}

class TableMaker {
  readonly transitions: ByteRange[][] = []
  readonly accepting: boolean[] = []
  /** States within a character, by what is still to come. */
  readonly #inside = new Map<string, number>()

  constructor(states: number) {
    for (let state = 0; state < states; state++) this.state(false)
  }

  state(accepts: boolean): number {
    this.accepting.push(accepts)
    return this.transitions.push([]) - 1
  }

  add(from: number, low: number, high: number, to: number): void {
    const own = this.transitions[from]!
    const last = own.at(-1)
    if (last !== undefined && last.to === to && last.high + 1 === low) own[own.length - 1] = { ...last, high }
    else own.push({ low, high, to })
  }

  /** Characters that stand for themselves. */
  addPlain(state: number, transitions: readonly CodeTransition[]): void {
    for (const { low, high, to } of transitions) {
      for (const [from, until] of [
        [0x20, 0x21],
        [0x23, 0x5b],
        [0x5d, 0x7f],
      ] as const) {
        if (low <= until && high >= from) this.add(state, Math.max(low, from), Math.min(high, until), to)
      }
    }
    const leads = [
      { first: 0xc2, last: 0xdf, mask: 0x1f, more: 1 },
      { first: 0xe0, last: 0xef, mask: 0x0f, more: 2 },
      { first: 0xf0, last: 0xf4, mask: 0x07, more: 3 },
    ]
    for (const { first, last, mask, more } of leads) {
      for (let lead = first; lead <= last; lead++) {
        const base = (lead & mask) << (6 * more)
        // Shorter encodings of the same characters are not well-formed.
        const shortest = more === 1 ? 0x80 : more === 2 ? 0x800 : 0x10000
        const own = clip(transitions, Math.max(base, shortest), base + (1 << (6 * more)) - 1)
        if (own.length > 0) this.add(state, lead, lead, this.#rest(own, base, more))
      }
    }
  }

  /** The state before `more` bytes of a character whose code begins at `base`. */
  #rest(transitions: readonly CodeTransition[], base: number, more: number): number {
    const key = `${more} ${transitions.map(({ low, high, to }) => `${low - base}-${high - base}>${to}`).join(' ')}`
    const known = this.#inside.get(key)
    if (known !== undefined) return known
    const state = this.state(false)
    this.#inside.set(key, state)
    const size = 1 << (6 * (more - 1))
    for (let byte = 0; byte < 64; byte++) {
      const from = base + byte * size
      const own = clip(transitions, from, from + size - 1)
      if (own.length === 0) continue
      this.add(state, 0x80 + byte, 0x80 + byte, more === 1 ? own[0]!.to : this.#rest(own, from, more - 1))
    }
    return state
  }

  addEscapes(state: number, transitions: readonly CodeTransition[]): void {
    const special: [code: number, to: number][] = []
    for (const { low, high, to } of transitions) {
      for (let code = low; code <= Math.min(high, 0x1f); code++) special.push([code, to])
      for (const code of [0x22, 0x5c]) if (low <= code && code <= high) special.push([code, to])
    }
    if (special.length === 0) return
    const backslash = this.state(false)
    this.add(state, 0x5c, 0x5c, backslash)
    let hex: number | undefined
    const digits = new Map<number, number>()
    for (const [code, to] of special) {
      const letter = code > 0x1f ? code : SHORT_ESCAPES.get(code)
      if (letter !== undefined) {
        this.add(backslash, letter, letter, to)
        continue
      }
      if (hex === undefined) {
        // \u00, before the last two digits
        hex = this.state(false)
        const second = this.state(false)
        const first = this.state(false)
        this.add(backslash, 0x75, 0x75, first)
        this.add(first, 0x30, 0x30, second)
        this.add(second, 0x30, 0x30, hex)
      }
      let last = digits.get(code >> 4)
      if (last === undefined) {
        last = this.state(false)
        digits.set(code >> 4, last)
        this.add(hex, 0x30 + (code >> 4), 0x30 + (code >> 4), last)
      }
      const digit = (code & 15).toString(16).charCodeAt(0)
      this.add(last, digit, digit, to)
    }
  }
}

function clip(transitions: readonly CodeTransition[], low: number, high: number): readonly CodeTransition[] {
  const found: CodeTransition[] = []
  for (const own of transitions) {
    if (own.high < low || own.low > high) continue
    found.push({ low: Math.max(own.low, low), high: Math.min(own.high, high), to: own.to })
  }
  return found
}
