/**
 * @file Masks of tokens that stay inside one piece of a grammar, such as a string. They depend on the vocabulary alone:
 * all grammars share them, whatever stands round the piece.
 */

import { runAtOnce, type Steps } from '../turns.js'
import type { ByteTable, Terminal } from './byte-automaton.js'
import { ANY_STRING } from './string-terminal.js'
import { StringTokens } from './string-tokens.js'
import { setBit, type TokenTrie } from './token-trie.js'

/** What a state of a terminal allows. */
export interface TerminalMask {
  /** Bits of the tokens that stay inside the terminal to their end. */
  readonly inside: Uint32Array
  /** Nodes of the trie at which the terminal may end while tokens go on below. */
  readonly exits: Int32Array
}

/** Bytes of all masks that are kept; then all are made again. */
const MEMORY = 64 * 2 ** 20

/** Makes and keeps masks of terminals. */
export class TerminalMasks {
  readonly #trie: TokenTrie
  readonly #addedTextIds: ReadonlySet<number>
  readonly #size: number
  readonly #kept = new Map<string, TerminalMask>()
  /** By the place in a string. */
  readonly #strings = new Map<number, StringTokens>()
  #bytes = 0

  constructor(trie: TokenTrie, addedTextIds: ReadonlySet<number>, size: number) {
    this.#trie = trie
    this.#addedTextIds = addedTextIds
    this.#size = size
  }

  /** Makes what nearly every grammar asks for. */
  *prepare(): Steps<void> {
    const { inside } = ANY_STRING
    this.#strings.set(inside, yield* StringTokens.read(this.#trie, this.#size, ANY_STRING, inside))
  }

  /** A mask that is there. */
  find(terminal: Terminal, state: number): TerminalMask | undefined {
    return this.#kept.get(terminal.maskKey(state, this.#trie.longest))
  }

  get(terminal: Terminal, state: number): TerminalMask {
    const key = terminal.maskKey(state, this.#trie.longest)
    const known = this.#kept.get(key)
    if (known !== undefined) return known
    const made = this.#make(terminal, state)
    this.#bytes += 4 * (made.inside.length + made.exits.length) + 200
    if (this.#bytes > MEMORY) {
      this.#kept.clear()
      this.#bytes = 4 * (made.inside.length + made.exits.length) + 200
    }
    this.#kept.set(key, made)
    return made
  }

  #make(terminal: Terminal, state: number): TerminalMask {
    const found = terminal.placeInString?.(state)
    if (found !== undefined) return this.#stringTokens(found.place).mask(found.needed, found.most)
    const inside = new Uint32Array((this.#size + 31) >>> 5)
    const exits = terminal.table
      ? tokensOfTable(this.#trie, terminal.table, state, inside)
      : tokensOf(this.#trie, terminal, state, inside)
    if (terminal.takesToken !== undefined)
      for (const id of this.#addedTextIds) if (terminal.takesToken(id)) setBit(inside, id)
    return { inside, exits }
  }

  #stringTokens(place: number): StringTokens {
    let tokens = this.#strings.get(place)
    if (tokens === undefined) {
      tokens = runAtOnce(StringTokens.read(this.#trie, this.#size, ANY_STRING, place))
      this.#strings.set(place, tokens)
    }
    return tokens
  }
}

/** Sets the bits of tokens that stay inside; returns the exits. */
function tokensOf(trie: TokenTrie, terminal: Terminal, state: number, inside: Uint32Array): Int32Array {
  const { byte, depth, end, first, ids } = trie
  const exits: number[] = []
  const states = new Int32Array(trie.longest + 1)
  states[0] = state
  for (let node = 1; node < byte.length; ) {
    const level = depth[node]!
    const to = terminal.next(states[level - 1]!, byte[node]!)
    if (to < 0) {
      node = end[node]!
      continue
    }
    states[level] = to
    for (let at = first[node]!; at < first[node + 1]!; at++) setBit(inside, ids[at]!)
    if (end[node]! > node + 1 && terminal.accepts(to)) exits.push(node)
    node++
  }
  return Int32Array.from(exits)
}

/** The same through a table, without a call for each byte: most states of a pattern let most of a vocabulary come. */
function tokensOfTable(trie: TokenTrie, table: ByteTable, state: number, inside: Uint32Array): Int32Array {
  const { byte, depth, end, first, ids } = trie
  const { columns, column, next, accepts } = table
  const exits: number[] = []
  // Where the row of a state begins, by depth.
  const rows = new Int32Array(trie.longest + 1)
  rows[0] = columns * state
  for (let node = 1; node < byte.length; ) {
    const level = depth[node]!
    const to = next[rows[level - 1]! + column[byte[node]!]!]!
    if (to < 0) {
      node = end[node]!
      continue
    }
    rows[level] = columns * to
    const last = first[node + 1]!
    for (let at = first[node]!; at < last; at++) setBit(inside, ids[at]!)
    if (accepts[to] === 1 && end[node]! > node + 1) exits.push(node)
    node++
  }
  return Int32Array.from(exits)
}
