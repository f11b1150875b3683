/**
 * @file Matching an expression by a table: one look-up for each character, where a backtracking matcher tries one
 * branch after the other. The table is made as texts need it. Expressions with nothing but sets, sequences, choices,
 * counts and a look at the next character can be written so.
 *
 * 1. A state is what may come next, in the order in which a backtracking matcher would try it.
 * 2. Whether a match ends before a character is known when that character is read, since a look-ahead may ask for it:
 *    so transitions say it, and the end of the text counts as a character.
 * 3. What stands behind a match in that order is dropped, and so the match is the one of a backtracking matcher.
 */

import type { CodeSet } from '../unicode.js'
import { lengthOf, type Node } from './syntax.js'

type Instruction =
  | { readonly op: 'set'; readonly set: CodeSet }
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'look'; readonly set: CodeSet; readonly negated: boolean }
  | { readonly op: 'end' }

// More than any published expression has. Others keep the matcher of JavaScript.
const MOST_INSTRUCTIONS = 2000
const MOST_SETS = 100
/** States that are remembered; when there are more, all of them are made again. */
const MOST_STATES = 1000

const UNKNOWN = -1
const DEAD = 0
const START = 1
const BMP = 0x10000
/** Stands for the first half of a pair: the class is that of the whole character. */
const PAIR = 255

/** Gives the end of the match that begins at a place of the text `[.., to)`, or -1. */
export type MatchEnd = (units: Uint16Array, from: number, to: number) => number

/** Undefined where an expression cannot be written so. */
export function automaton(node: Node): MatchEnd | undefined {
  const instructions: Instruction[] = []
  if (!write(node, instructions)) return undefined
  instructions.push({ op: 'end' })
  const classes = classesOf(instructions)
  if (classes === undefined) return undefined
  const { table: classOfUnit, classOf, members, count } = classes
  // The last class is the end of the text.
  const width = count + 1
  let states: (readonly number[])[] = []
  let numbers = new Map<string, number>()
  let table = new Int32Array(0)

  const forget = (): void => {
    states = [[], [0]]
    numbers = new Map([
      ['', DEAD],
      ['0', START],
    ])
    table = new Int32Array(16 * width).fill(UNKNOWN)
  }
  forget()

  /** What may be read where `character` comes next, in order, and whether a match ends before it. */
  const reachable = (state: readonly number[], character: number): { sets: number[]; ends: boolean } => {
    const sets: number[] = []
    const seen = new Set<number>()
    const stack = [...state].reverse()
    for (let pc = stack.pop(); pc !== undefined; pc = stack.pop()) {
      if (seen.has(pc)) continue
      seen.add(pc)
      const instruction = instructions[pc]!
      if (instruction.op === 'set') sets.push(pc)
      else if (instruction.op === 'split') stack.push(instruction.second, instruction.first)
      else if (instruction.op === 'look') {
        if (members(instruction.set, character) !== instruction.negated) stack.push(pc + 1)
      } else return { sets, ends: true }
    }
    return { sets, ends: false }
  }

  /** The next state, twice, and 1 more where a match ends before the character. */
  const follow = (state: number, character: number): number => {
    const { sets, ends } = reachable(states[state]!, character)
    const next: number[] = []
    for (const pc of sets) {
      const instruction = instructions[pc]!
      if (instruction.op === 'set' && members(instruction.set, character)) next.push(pc + 1)
    }
    const key = next.join()
    let number = numbers.get(key)
    if (number === undefined) {
      const isFull = states.length >= MOST_STATES
      if (isFull) forget()
      number = states.push(next) - 1
      numbers.set(key, number)
      if (number * width >= table.length) {
        const larger = new Int32Array(2 * table.length).fill(UNKNOWN)
        larger.set(table)
        table = larger
      }
      // The state that this came from is forgotten too.
      if (isFull) return 2 * number + Number(ends)
    }
    const found = 2 * number + Number(ends)
    table[state * width + character] = found
    return found
  }

  return (units, from, to) => {
    let state = START
    let end = -1
    for (let at = from; at < to; at++) {
      let character = classOfUnit[units[at]!]!
      let size = 1
      if (character === PAIR) {
        const code = codeAt(units, at, to)
        character = classOf(code)
        size = code >= BMP ? 2 : 1
      }
      let found = table[state * width + character]!
      if (found < 0) found = follow(state, character)
      if ((found & 1) === 1) end = at
      state = found >> 1
      if (state === DEAD) return end
      at += size - 1
    }
    let found = table[state * width + count]!
    if (found < 0) found = follow(state, count)
    return (found & 1) === 1 ? to : end
  }
}

/** The character whose first unit is the first half of a pair, or that half where it stands alone. */
function codeAt(units: Uint16Array, at: number, to: number): number {
  const [high, low] = [units[at]!, at + 1 < to ? units[at + 1]! : 0]
  return (low & 0xfc00) === 0xdc00 ? BMP + ((high & 0x3ff) << 10) + (low & 0x3ff) : high
}

/** False where the expression has something else. */
function write(node: Node, to: Instruction[]): boolean {
  if (to.length > MOST_INSTRUCTIONS) return false
  switch (node.type) {
    case 'set':
      to.push({ op: 'set', set: node.set })
      return true
    case 'sequence':
      return node.nodes.every((inner) => write(inner, to))
    case 'choice':
      return writeChoice(node.nodes, to)
    case 'repeat':
      return writeRepeat(node, to)
    case 'look':
      if (node.behind || node.node.type !== 'set') return false
      to.push({ op: 'look', set: node.node.set, negated: node.negated })
      return true
    case 'atomic':
    case 'place':
      return false
    default:
      return node satisfies never
  }
}

function writeChoice([first, ...others]: readonly Node[], to: Instruction[]): boolean {
  if (first === undefined) return false
  if (others.length === 0) return write(first, to)
  const choice = splitTo(to)
  choice.first = to.length
  if (!write(first, to)) return false
  // A jump over the others, both ways of which are one.
  const jump = splitTo(to)
  choice.second = to.length
  if (!writeChoice(others, to)) return false
  jump.first = jump.second = to.length
  return true
}

function writeRepeat({ node, min, max, lazy }: Node & { type: 'repeat' }, to: Instruction[]): boolean {
  // What can be repeated without end and without a character needs rules of its own.
  if (max === Number.POSITIVE_INFINITY && lengthOf(node).min === 0) return false
  for (let count = 0; count < min; count++) if (!write(node, to)) return false
  const point = (split: Instruction & { op: 'split' }, body: number, rest: number): void => {
    split.first = lazy ? rest : body
    split.second = lazy ? body : rest
  }
  if (max === Number.POSITIVE_INFINITY) {
    const start = to.length
    const loop = splitTo(to)
    if (!write(node, to)) return false
    const back = splitTo(to)
    back.first = back.second = start
    point(loop, start + 1, to.length)
    return true
  }
  const splits: [split: Instruction & { op: 'split' }, body: number][] = []
  for (let count = min; count < max; count++) {
    splits.push([splitTo(to), to.length])
    if (!write(node, to)) return false
  }
  for (const [split, body] of splits) point(split, body, to.length)
  return true
}

function splitTo(to: Instruction[]): Instruction & { op: 'split' } {
  const split: Instruction & { op: 'split' } = { op: 'split', first: -1, second: -1 }
  to.push(split)
  return split
}

interface Classes {
  /** Class of each unit, PAIR for what may be the first half of a pair. */
  readonly table: Uint8Array
  classOf(code: number): number
  /** Whether the characters of a class are in a set; those of the class `count`, the end of the text, are in none. */
  members(set: CodeSet, character: number): boolean
  readonly count: number
}

/** Characters that no set tells apart are of one class. */
function classesOf(instructions: readonly Instruction[]): Classes | undefined {
  const sets = new Set<CodeSet>()
  for (const one of instructions) if (one.op === 'set' || one.op === 'look') sets.add(one.set)
  if (sets.size > MOST_SETS) return undefined
  const edges = new Set([0])
  for (const { ranges } of sets) for (let at = 0; at < ranges.length; at++) edges.add(ranges[at]! + (at & 1))
  const starts = Int32Array.from(edges).sort()
  const numbers = new Map<string, number>()
  // One character of each class stands for all.
  const examples: number[] = []
  const all = [...sets]
  const classes = Uint8Array.from(starts, (code) => {
    const key = all.map((set) => (set.has(code) ? 1 : 0)).join('')
    let number = numbers.get(key)
    if (number === undefined) {
      number = examples.push(code) - 1
      numbers.set(key, number)
    }
    return number
  })
  if (examples.length >= PAIR) return undefined
  const table = new Uint8Array(BMP)
  starts.forEach((start, index) => {
    if (start < BMP) table.fill(classes[index]!, start, Math.min(starts[index + 1] ?? BMP, BMP))
  })
  table.fill(PAIR, 0xd800, 0xdc00)
  return {
    table,
    count: examples.length,
    members: (set, character) => character < examples.length && set.has(examples[character]!),
    classOf(code) {
      let [low, high] = [0, starts.length]
      while (high - low > 1) {
        const middle = (low + high) >>> 1
        if (starts[middle]! <= code) low = middle
        else high = middle
      }
      return classes[low]!
    },
  }
}
