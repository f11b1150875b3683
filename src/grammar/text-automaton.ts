/**
 * @file Deterministic automata over the code points of a text: made of regular expressions, cut with each other, and
 * bounded in length. Every state can still come to an end.
 */

import { OptionError } from '../lowrank-error.js'
import type { Steps } from '../turns.js'
import { ANY_CODE, type CodeSet, contains } from './code-points.js'
import type { Regex } from './pattern-syntax.js'

/** Code points `low` to `high` lead to state `to`. */
export interface CodeTransition {
  readonly low: number
  readonly high: number
  readonly to: number
}

/** State 0 is the first. An automaton without states takes no text. */
export interface TextAutomaton {
  readonly transitions: readonly (readonly CodeTransition[])[]
  readonly accepting: readonly boolean[]
}

const MOST_PLACES = 20_000
const MOST_STATES = 5000
const STEP = 64

/** The error for an automaton that would grow too large. */
function tooLarge(path: string): Error {
  return new OptionError(
    `[json schema] expected patterns, lengths and ranges that make at most ${MOST_STATES} states at ${path}, got more; use smaller ` +
      'counts, or fewer of these keywords together',
  )
}

/** A nondeterministic automaton (Thompson 1968). */
class Places {
  readonly also: number[][] = []
  readonly sets: ({ readonly set: CodeSet; readonly to: number } | undefined)[] = []
  /** Which places are passed only at the beginning, or only at the end of the text. */
  readonly bound: ('start' | 'end' | undefined)[] = []
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  add(also: number[] = []): number {
    if (this.also.length >= MOST_PLACES) throw tooLarge(this.#path)
    this.sets.push(undefined)
    this.bound.push(undefined)
    return this.also.push(also) - 1
  }

  /** The place before an expression, behind which comes `then`. */
  before(regex: Regex, then: number): number {
    switch (regex.kind) {
      case 'set': {
        const place = this.add()
        this.sets[place] = { set: regex.set, to: then }
        return place
      }
      case 'start':
      case 'end': {
        const place = this.add([then])
        this.bound[place] = regex.kind
        return place
      }
      case 'sequence':
        return regex.parts.reduceRight((place, part) => this.before(part, place), then)
      case 'choice':
        return this.add(regex.parts.map((part) => this.before(part, then)))
      case 'repeat': {
        const { part, min, max } = regex
        let place = then
        if (max === Number.POSITIVE_INFINITY) {
          place = this.add([then])
          this.also[place]!.push(this.before(part, place))
        } else for (let count = min; count < max; count++) place = this.add([then, this.before(part, place)])
        for (let count = 0; count < min; count++) place = this.before(part, place)
        return place
      }
      default:
        return regex satisfies never
    }
  }
}

/**
 * The texts in which an expression matches somewhere, as RegExp.test() says.
 * @param isWhole whether it has to match the whole text instead
 * @param path where it stands, for error messages
 * @throws OptionError where the automaton would have too many states
 */
export function* automatonOf(regex: Regex, isWhole: boolean, path: string): Steps<TextAutomaton> {
  const places = new Places(path)
  const end = places.add()
  let start = places.before(regex, end)
  if (!isWhole) {
    places.sets[end] = { set: ANY_CODE, to: end }
    const loop = places.add()
    places.also[loop]!.push(start)
    const any = places.add()
    places.sets[any] = { set: ANY_CODE, to: loop }
    places.also[loop]!.push(any)
    start = loop
  }
  return yield* determinize(places, start, end, path)
}

/** The places that are reached without a character. */
function closure(places: Places, from: Iterable<number>, passes: 'start' | 'end' | undefined): number[] {
  const seen = new Set<number>(from)
  const waiting = [...seen]
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const bound = places.bound[place]
    if (bound !== undefined && bound !== passes) continue
    for (const next of places.also[place]!) {
      if (seen.has(next)) continue
      seen.add(next)
      waiting.push(next)
    }
  }
  return [...seen].sort((a, b) => a - b)
}

function* determinize(places: Places, start: number, end: number, path: string): Steps<TextAutomaton> {
  // Code points between two borders lead to the same places, wherever a text stands.
  const borders = new Set<number>()
  for (const found of places.sets) {
    for (const [low, high] of found?.set ?? []) borders.add(low).add(high + 1)
  }
  const sorted = [...borders].sort((a, b) => a - b)
  const indexOf = new Map(sorted.map((code, index) => [code, index]))
  yield
  const states: number[][] = []
  const known = new Map<string, number>()
  const stateOf = (members: number[]): number => {
    const key = members.join(' ')
    let state = known.get(key)
    if (state === undefined) {
      state = states.push(members) - 1
      known.set(key, state)
      if (states.length > MOST_STATES) throw tooLarge(path)
    }
    return state
  }
  stateOf(closure(places, [start], 'start'))
  const transitions: CodeTransition[][] = []
  const accepting: boolean[] = []
  let work = 0
  for (let state = 0; state < states.length; state++) {
    const members = states[state]!
    const targets = new Map<number, number[]>()
    for (const place of members) {
      const found = places.sets[place]
      for (const [low, high] of found?.set ?? []) {
        const last = indexOf.get(high + 1)!
        for (let index = indexOf.get(low)!; index < last; index++) {
          const list = targets.get(index)
          if (list === undefined) targets.set(index, [found!.to])
          else list.push(found!.to)
          work++
        }
      }
    }
    const own: CodeTransition[] = []
    const closed = new Map<string, number>()
    for (const index of [...targets.keys()].sort((a, b) => a - b)) {
      const key = targets.get(index)!.join(' ')
      let to = closed.get(key)
      if (to === undefined) {
        const members = closure(places, targets.get(index)!, undefined)
        to = stateOf(members)
        closed.set(key, to)
        work += members.length
      }
      const low = sorted[index]!
      const high = sorted[index + 1]! - 1
      const last = own.at(-1)
      if (last !== undefined && last.to === to && last.high + 1 === low) own[own.length - 1] = { ...last, high }
      else own.push({ low, high, to })
      if (++work > 50_000) {
        work = 0
        yield
      }
    }
    transitions.push(own)
    // At the beginning of an empty text its end is there, too: both bounds are passed.
    const ends = state === 0 ? bothEnds(places, start) : closure(places, members, 'end')
    accepting.push(ends.includes(end))
  }
  return yield* alive({ transitions, accepting })
}

function bothEnds(places: Places, start: number): number[] {
  let reached = [start]
  for (;;) {
    const next = closure(places, closure(places, reached, 'start'), 'end')
    if (next.length === reached.length) return next
    reached = next
  }
}

/** The same without the states that never come to an end. */
function* alive({ transitions, accepting }: TextAutomaton): Steps<TextAutomaton> {
  const before: number[][] = transitions.map(() => [])
  for (const [state, own] of transitions.entries()) {
    if (state % STEP === 0) yield
    for (const { to } of own) before[to]!.push(state)
  }
  const isAlive = accepting.slice()
  const waiting = accepting.flatMap((accepts, state) => (accepts ? [state] : []))
  yield
  for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
    for (const other of before[state]!) {
      if (isAlive[other]) continue
      isAlive[other] = true
      waiting.push(other)
    }
  }
  if (!isAlive[0]) return { transitions: [], accepting: [] }
  const names = new Map<number, number>()
  isAlive.forEach((lives, state) => {
    if (lives) names.set(state, names.size)
  })
  yield
  const living: CodeTransition[][] = []
  for (const state of names.keys()) {
    const own = transitions[state]!.filter(({ to }) => isAlive[to])
    living.push(own.map(({ low, high, to }) => ({ low, high, to: names.get(to)! })))
    if (living.length % STEP === 0) yield
  }
  return { transitions: living, accepting: [...names.keys()].map((state) => accepting[state]!) }
}

/** The product of two automata: a state for each pair that is reached. */
function* product(
  start: readonly [number, number],
  next: (a: number, b: number) => readonly { low: number; high: number; a: number; b: number }[],
  accepts: (a: number, b: number) => boolean,
  path: string,
): Steps<TextAutomaton> {
  const states: (readonly [number, number])[] = [start]
  const known = new Map([[`${start[0]} ${start[1]}`, 0]])
  const transitions: CodeTransition[][] = []
  for (let state = 0; state < states.length; state++) {
    const own: CodeTransition[] = []
    for (const { low, high, a, b } of next(...(states[state] as [number, number]))) {
      const key = `${a} ${b}`
      let to = known.get(key)
      if (to === undefined) {
        to = states.push([a, b]) - 1
        known.set(key, to)
        if (states.length > MOST_STATES) throw tooLarge(path)
      }
      own.push({ low, high, to })
    }
    transitions.push(own)
    if (state % STEP === 0) yield
  }
  return yield* alive({ transitions, accepting: states.map(([a, b]) => accepts(a, b)) })
}

/** The texts that both automata take. */
export function* intersect(first: TextAutomaton, second: TextAutomaton, path: string): Steps<TextAutomaton> {
  if (first.transitions.length === 0 || second.transitions.length === 0) return { transitions: [], accepting: [] }
  const next = (a: number, b: number) => {
    const found: { low: number; high: number; a: number; b: number }[] = []
    const left = first.transitions[a]!
    const right = second.transitions[b]!
    for (let x = 0, y = 0; x < left.length && y < right.length; ) {
      const low = Math.max(left[x]!.low, right[y]!.low)
      const high = Math.min(left[x]!.high, right[y]!.high)
      if (low <= high) found.push({ low, high, a: left[x]!.to, b: right[y]!.to })
      if (left[x]!.high < right[y]!.high) x++
      else y++
    }
    return found
  }
  return yield* product([0, 0], next, (a, b) => first.accepting[a]! && second.accepting[b]!, path)
}

/** The texts of an automaton that have `min` to `max` code points; `max` may be infinite. */
export function* withLength(automaton: TextAutomaton, min: number, max: number, path: string): Steps<TextAutomaton> {
  if (automaton.transitions.length === 0 || (min === 0 && max === Number.POSITIVE_INFINITY)) return automaton
  const most = max === Number.POSITIVE_INFINITY ? min : max
  const next = (state: number, length: number) => {
    if (length >= max) return []
    return automaton.transitions[state]!.map(({ low, high, to }) => ({
      low,
      high,
      a: to,
      b: Math.min(length + 1, most),
    }))
  }
  return yield* product([0, 0], next, (state, length) => length >= min && automaton.accepting[state]!, path)
}

/** The decimal digits of multiples of a whole number, with or without a sign. */
export function multiplesOf(divisor: number, path: string): TextAutomaton {
  if (divisor >= MOST_STATES) throw tooLarge(path)
  const digits = (rest: number): CodeTransition[] =>
    Array.from({ length: 10 }, (_, digit) => ({
      low: 0x30 + digit,
      high: 0x30 + digit,
      to: 2 + ((10 * rest + digit) % divisor),
    }))
  // State 0 is before the sign, state 1 behind it, and the others have a rest.
  const transitions = [[{ low: 0x2d, high: 0x2d, to: 1 }, ...digits(0)], digits(0)]
  for (let rest = 0; rest < divisor; rest++) transitions.push(digits(rest))
  return { transitions, accepting: transitions.map((_, state) => state === 2) }
}

/** All texts but these. */
export function* allBut(texts: readonly string[]): Steps<TextAutomaton> {
  const children: Map<number, number>[] = [new Map()]
  const accepting = [true]
  for (const [at, text] of texts.entries()) {
    if (at % STEP === 0) yield
    let state = 0
    for (const char of text) {
      const code = char.codePointAt(0)!
      let to = children[state]!.get(code)
      if (to === undefined) {
        to = children.push(new Map()) - 1
        accepting.push(true)
        children[state]!.set(code, to)
      }
      state = to
    }
    accepting[state] = false
  }
  const free = children.push(new Map()) - 1
  accepting.push(true)
  const transitions: CodeTransition[][] = []
  for (const own of children) {
    const ranges: CodeTransition[] = []
    const codes = [...own.keys()].sort((a, b) => a - b)
    for (const [low, high] of ANY_CODE) {
      let at = low
      for (const code of codes) {
        if (code < low || code > high) continue
        if (at < code) ranges.push({ low: at, high: code - 1, to: free })
        ranges.push({ low: code, high: code, to: own.get(code)! })
        at = code + 1
      }
      if (at <= high) ranges.push({ low: at, high, to: free })
    }
    transitions.push(ranges)
    if (transitions.length % STEP === 0) yield
  }
  return { transitions, accepting }
}

/** Whether an automaton takes a text. */
export function takes({ transitions, accepting }: TextAutomaton, text: string): boolean {
  if (transitions.length === 0) return false
  let state = 0
  for (const char of text) {
    const code = char.codePointAt(0)!
    const found = transitions[state]!.find(({ low, high }) => contains([[low, high]], code))
    if (found === undefined) return false
    state = found.to
  }
  return accepting[state]!
}
