/**
 * @file Masks of tokens that stay inside one piece of a grammar, such as a string. They depend on the vocabulary alone:
 * all grammars share them, whatever stands round the piece.
 */

import type { Terminal } from './byte-automaton.js'
import type { TokenTrie } from './token-trie.js'

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
  readonly #words: number
  readonly #kept = new Map<string, TerminalMask>()
  readonly #states: Int32Array
  #bytes = 0

  constructor(trie: TokenTrie, addedTextIds: ReadonlySet<number>, size: number) {
    this.#trie = trie
    this.#addedTextIds = addedTextIds
    this.#words = (size + 31) >>> 5
    this.#states = new Int32Array(trie.longest + 1)
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
    const { byte, depth, end, first, ids } = this.#trie
    const inside = new Uint32Array(this.#words)
    const exits: number[] = []
    const states = this.#states
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
    for (const id of this.#addedTextIds) if (terminal.takesToken?.(id)) setBit(inside, id)
    return { inside, exits: Int32Array.from(exits) }
  }
}

/** Sets the bit of an id. */
export function setBit(words: Uint32Array, id: number): void {
  words[id >>> 5]! |= 1 << (id & 31)
}
