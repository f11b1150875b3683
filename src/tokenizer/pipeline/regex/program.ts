/**
 * @file Matching a regular expression in time that grows with the text, whatever the expression: a backtracking machine
 * that never goes through one state twice. There are no references to groups, so a state that failed once fails again.
 */

import { describeValue } from '../../../errors.js'
import { ModelError } from '../../../lowrank-error.js'
import { runAtOnce, type Steps } from '../../../turns.js'
import { NumberList } from '../number-list.js'
import { type CodeSet, namedSet } from '../unicode.js'
import type { MatchEnd } from './automaton.js'
import { lengthOf, type Node, type Place } from './syntax.js'

type Instruction =
  | { readonly op: 'set'; readonly set: CodeSet }
  | { readonly op: 'split'; first: number; second: number; readonly id: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'place'; readonly place: Place }
  | { readonly op: 'atomic'; readonly part: Part }
  | {
      readonly op: 'look'
      readonly part: Part
      readonly negated: boolean
      readonly behind: readonly [number, number] | undefined
    }
  | { readonly op: 'end' }

/** A part that is matched by itself; what it gave at a position is remembered. */
interface Part {
  readonly start: number
  readonly id: number
}

interface Program {
  readonly instructions: readonly Instruction[]
  readonly splits: number
}

const MAX_INSTRUCTIONS = 20_000

export interface Found {
  readonly start: number
  readonly end: number
}

/** What finds the first match at or behind a position. */
export interface Finder {
  find(text: string, from: number): Found | undefined
  /** Only where no text makes that take long. */
  readonly endAt?: MatchEnd | undefined
  /** The same for a long text. */
  scan(text: string): Scanner
}

/** What finds matches in a long text. */
export interface Scanner {
  /** The first match at or behind a position; undefined where that has to be found out in steps. */
  near(from: number): Found | undefined
  far(from: number): Steps<Found | undefined>
}

/** @throws when the expression unfolds into too many instructions */
export function boundedFinder(node: Node, pattern: string): Finder {
  const program = compile(node, pattern)
  let run: Run | undefined
  return {
    find(text, from) {
      // What failed before in this text is worth knowing until the search begins elsewhere.
      if (run === undefined || run.text !== text || from < run.last) run = new Run(program, text, pattern)
      run.last = from
      return runAtOnce(run.search(from))
    },
    scan(text) {
      const own = new Run(program, text, pattern)
      return { near: () => undefined, far: (from) => own.search(from) }
    },
  }
}

function compile(node: Node, pattern: string): Program {
  const instructions: Instruction[] = []
  let splits = 0
  let parts = 0
  const emit = <T extends Instruction>(instruction: T): T => {
    if (instructions.length >= MAX_INSTRUCTIONS) {
      throw new ModelError(
        `[tokenizer] expected an expression of at most ${MAX_INSTRUCTIONS} steps, got ${describeValue(pattern)}, whose counts unfold into more`,
      )
    }
    instructions.push(instruction)
    return instruction
  }
  const later: (() => void)[] = []
  const partOf = (inner: Node): Part => {
    const part = { start: -1, id: parts++ }
    later.push(() => {
      part.start = instructions.length
      write(inner)
      emit({ op: 'end' })
    })
    return part
  }
  const split = (lazy: boolean): ((body: number, rest: number) => void) => {
    const instruction = emit({ op: 'split', first: -1, second: -1, id: splits++ })
    return (body, rest) => {
      instruction.first = lazy ? rest : body
      instruction.second = lazy ? body : rest
    }
  }
  const write = (one: Node): void => {
    switch (one.type) {
      case 'set':
        emit({ op: 'set', set: one.set })
        return
      case 'sequence':
        for (const inner of one.nodes) write(inner)
        return
      case 'choice': {
        const ends: { to: number }[] = []
        one.nodes.forEach((branch, index) => {
          if (index === one.nodes.length - 1) {
            write(branch)
            return
          }
          const set = split(false)
          const body = instructions.length
          write(branch)
          ends.push(emit({ op: 'jump', to: -1 }))
          set(body, instructions.length)
        })
        for (const end of ends) end.to = instructions.length
        return
      }
      case 'repeat': {
        for (let count = 0; count < one.min; count++) write(one.node)
        if (one.max === Number.POSITIVE_INFINITY) {
          const start = instructions.length
          const set = split(one.lazy)
          write(one.node)
          emit({ op: 'jump', to: start })
          set(start + 1, instructions.length)
          return
        }
        const sets: ((rest: number) => void)[] = []
        for (let count = one.min; count < one.max; count++) {
          const set = split(one.lazy)
          const body = instructions.length
          sets.push((rest) => set(body, rest))
          write(one.node)
        }
        for (const set of sets) set(instructions.length)
        return
      }
      case 'atomic':
        emit({ op: 'atomic', part: partOf(one.node) })
        return
      case 'look': {
        const { min, max } = lengthOf(one.node)
        emit({ op: 'look', part: partOf(one.node), negated: one.negated, behind: one.behind ? [min, max] : undefined })
        return
      }
      case 'place':
        emit({ op: 'place', place: one.place })
        return
      default:
        one satisfies never
    }
  }
  write(node)
  emit({ op: 'end' })
  for (let next = later.shift(); next !== undefined; next = later.shift()) next()
  return { instructions, splits: Math.max(1, splits) }
}

// States are kept by pages of positions, and those before the search are let go.
const PAGE = 1024
const STEP = 8192
const STEPS_PER_UNIT = 500
const FREE_STEPS = 2_000_000

class Run {
  readonly text: string
  last = 0
  readonly #program: Program
  readonly #pattern: string
  readonly #pages = new Map<number, Uint8Array>()
  /** Ends of parts by position and part: -1 where it does not match. */
  readonly #parts = new Map<number, Map<number, number>>()
  #oldest = 0
  #steps = 0

  constructor(program: Program, text: string, pattern: string) {
    this.#program = program
    this.text = text
    this.#pattern = pattern
  }

  *search(from: number): Steps<Found | undefined> {
    for (let start = from; start <= this.text.length; start++) {
      if (start > from && isInsidePair(this.text, start)) continue
      if (start - this.#oldest > 4 * PAGE) this.#forget(start - 2 * PAGE)
      const end = yield* this.#match(0, start, undefined)
      if (end >= 0) return { start, end }
    }
    return undefined
  }

  #forget(before: number): void {
    this.#oldest = before
    for (const page of this.#pages.keys()) if ((page + 1) * PAGE <= before) this.#pages.delete(page)
    for (const at of this.#parts.keys()) if (at < before) this.#parts.delete(at)
  }

  /** Whether a split was at this position before; if not, it has been now. */
  #visited(id: number, at: number): boolean {
    const page = Math.floor(at / PAGE)
    let bits = this.#pages.get(page)
    if (bits === undefined) {
      bits = new Uint8Array(Math.ceil((this.#program.splits * PAGE) / 8))
      this.#pages.set(page, bits)
    }
    const bit = (at % PAGE) * this.#program.splits + id
    const known = (bits[bit >> 3]! & (1 << (bit & 7))) !== 0
    bits[bit >> 3]! |= 1 << (bit & 7)
    return known
  }

  *#part(part: Part, at: number, end: number | undefined): Steps<number> {
    if (end !== undefined) return yield* this.#match(part.start, at, end)
    let known = this.#parts.get(at)
    if (known === undefined) {
      known = new Map()
      this.#parts.set(at, known)
    }
    let result = known.get(part.id)
    if (result === undefined) {
      result = yield* this.#match(part.start, at, undefined)
      known.set(part.id, result)
    }
    return result
  }

  *#look(instruction: Instruction & { op: 'look' }, at: number): Steps<boolean> {
    const { part, behind, negated } = instruction
    if (behind === undefined) return (yield* this.#part(part, at, undefined)) >= 0 !== negated
    let start = at
    for (let count = 0; count <= behind[1]; count++) {
      if (count >= behind[0] && (yield* this.#part(part, start, at)) >= 0) return !negated
      if (start === 0) break
      start -= isInsidePair(this.text, start - 1) ? 2 : 1
    }
    return negated
  }

  /** The end of the first match at `start`, or -1. A look-behind has to end at `wanted`. */
  *#match(entry: number, start: number, wanted: number | undefined): Steps<number> {
    const { instructions } = this.#program
    const { text } = this
    // A part's states are remembered over its attempts as long as these fail, which a wanted end would spoil.
    const own = wanted === undefined ? undefined : new Set<number>()
    // What is still to be tried, with the length of the path up to there.
    const stack = new NumberList()
    const path = new NumberList()
    let [pc, at] = [entry, start]
    const limit = FREE_STEPS + STEPS_PER_UNIT * text.length
    for (;;) {
      for (;;) {
        if (++this.#steps > limit) throw this.#tooSlow()
        if (this.#steps % STEP === 0) yield
        const instruction = instructions[pc]!
        if (instruction.op === 'set') {
          if (at >= text.length) break
          const code = text.codePointAt(at)!
          if (!instruction.set.has(code)) break
          at += code > 0xffff ? 2 : 1
          pc++
        } else if (instruction.op === 'split') {
          if (own === undefined) {
            if (this.#visited(instruction.id, at)) break
            path.push(instruction.id)
            path.push(at)
          } else {
            const state = at * this.#program.splits + instruction.id
            if (own.has(state)) break
            own.add(state)
          }
          stack.push(instruction.second)
          stack.push(at)
          stack.push(path.length)
          pc = instruction.first
        } else if (instruction.op === 'jump') {
          pc = instruction.to
        } else if (instruction.op === 'place') {
          if (!isPlace(instruction.place, text, at)) break
          pc++
        } else if (instruction.op === 'look') {
          if (!(yield* this.#look(instruction, at))) break
          pc++
        } else if (instruction.op === 'atomic') {
          const end = yield* this.#part(instruction.part, at, undefined)
          if (end < 0) break
          at = end
          pc++
        } else {
          if (wanted !== undefined && at !== wanted) break
          // The states on the path led to a match; all others that were gone through have failed for good.
          for (let index = 0; index < path.length; index += 2) {
            this.#unvisit(path.get(index), path.get(index + 1))
            if (index % STEP === 0 && index > 0) yield
          }
          return at
        }
      }
      if (stack.length === 0) return -1
      path.truncate(stack.pop())
      at = stack.pop()
      pc = stack.pop()
    }
  }

  #unvisit(id: number, at: number): void {
    const bits = this.#pages.get(Math.floor(at / PAGE))
    const bit = (at % PAGE) * this.#program.splits + id
    if (bits !== undefined) bits[bit >> 3]! &= ~(1 << (bit & 7))
  }

  #tooSlow(): Error {
    return new ModelError(
      `[tokenizer] expected an expression that finds its matches in a bounded number of steps, got ${describeValue(this.#pattern)}, which took ` +
        `more than ${this.#steps} for ${this.text.length} characters; use another tokenizer`,
    )
  }
}

function isInsidePair(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800
}

function isWordAt(text: string, at: number): boolean {
  if (at >= text.length) return false
  return namedSet('word').has(text.codePointAt(at)!)
}

function isWordBefore(text: string, at: number): boolean {
  if (at === 0) return false
  return isWordAt(text, isInsidePair(text, at - 1) ? at - 2 : at - 1)
}

/** Whether a position is such a place. */
function isPlace(place: Place, text: string, at: number): boolean {
  switch (place) {
    case 'textStart':
      return at === 0
    case 'textEnd':
      return at === text.length
    case 'lastLineEnd':
      return at === text.length || (at === text.length - 1 && text[at] === '\n')
    case 'lineStart':
      return at === 0 || (text[at - 1] === '\n' && at < text.length)
    case 'lineEnd':
      return at === text.length || text[at] === '\n'
    case 'wordBoundary':
      return isWordBefore(text, at) !== isWordAt(text, at)
    case 'insideWord':
      return isWordBefore(text, at) === isWordAt(text, at)
    default:
      return place satisfies never
  }
}
