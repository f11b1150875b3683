/** @file The mask of an answer: the place that it has reached in a grammar, and which ids may come there. */

import type { TokenMask } from '../decoding/token-mask.js'
import { ModelError } from '../lowrank-error.js'
import { Automaton, type Configuration, type TerminalNode } from './automaton.js'
import type { State } from './program.js'
import { setBit } from './terminal-masks.js'
import { notAllowed, type TokenVocabulary } from './vocabulary.js'

/** A grammar over the tokens of a vocabulary. Many answers may follow it at the same time. */
export interface CompiledGrammar {
  /** The mask of a new answer. */
  start(): TokenMask
}

// Configurations that answers share; deeply nested ones come once each, and would be kept for ever.
const KEPT_CONFIGURATIONS = 20_000
/** Bytes of masks that a grammar keeps beside those of the vocabulary. */
const KEPT_MASKS = 32 * 2 ** 20

/** @param start the state in which a value begins; it ends where that state's rule returns */
export function grammarOf(start: State, vocabulary: TokenVocabulary): CompiledGrammar {
  let masks = new Masks(new Automaton(start), vocabulary)
  return {
    start() {
      if (masks.automaton.size > KEPT_CONFIGURATIONS) masks = new Masks(new Automaton(start), vocabulary)
      return new GrammarMask(masks, vocabulary)
    },
  }
}

class GrammarMask implements TokenMask {
  readonly #masks: Masks
  readonly #vocabulary: TokenVocabulary
  readonly #eos: ReadonlySet<number>
  #at: Configuration
  #isOver = false

  constructor(masks: Masks, vocabulary: TokenVocabulary) {
    this.#masks = masks
    this.#vocabulary = vocabulary
    this.#eos = new Set(vocabulary.eosTokenIds)
    this.#at = masks.automaton.start
  }

  allowed(words: Uint32Array): boolean {
    const mask = this.#isOver ? this.#masks.end : this.#masks.of(this.#at)
    words.set(mask.length > words.length ? mask.subarray(0, words.length) : mask)
    words.fill(0, Math.min(mask.length, words.length))
    return true
  }

  accept(id: number): void {
    if (this.#eos.has(id)) {
      if (!this.#at.isComplete) throw notAllowed(id)
      this.#isOver = true
      return
    }
    const next = this.#isOver ? null : this.#next(id)
    if (next === null) throw notAllowed(id)
    this.#at = next
  }

  #next(id: number): Configuration | null {
    const { automaton } = this.#masks
    const bytes = this.#vocabulary.bytesOf(id)
    if (bytes === undefined) return automaton.stepToken(this.#at, id, this.#vocabulary.addedTextIds.has(id))
    if (bytes.length === 0) return null
    let at: Configuration | null = this.#at
    for (const byte of bytes) {
      at = automaton.step(at, byte)
      if (at === null) return null
    }
    return at
  }
}

/** Makes and keeps the masks of configurations. */
class Masks {
  readonly automaton: Automaton
  readonly end: Uint32Array
  readonly #vocabulary: TokenVocabulary
  readonly #words: number
  readonly #path: Configuration[] = []
  #kept: { mask?: Uint32Array; masks?: unknown }[] = []

  constructor(automaton: Automaton, vocabulary: TokenVocabulary) {
    this.automaton = automaton
    this.#vocabulary = vocabulary
    this.#words = (vocabulary.size + 31) >>> 5
    this.end = new Uint32Array(this.#words)
    for (const id of vocabulary.eosTokenIds) setBit(this.end, id)
  }

  of(at: Configuration): Uint32Array {
    if (at.mask !== undefined) return at.mask
    const [only] = at.terminals
    // Inside a string the mask does not depend on how much of it is there.
    if (only !== undefined && at.terminals.length === 1 && at.states.length === 0 && !at.isComplete) {
      return this.#ofTerminal(only)
    }
    const mask = new Uint32Array(this.#words)
    for (const node of at.terminals) {
      const own = this.#ofTerminal(node)
      for (let word = 0; word < own.length; word++) mask[word]! |= own[word]!
    }
    for (const { state } of at.states) if (state.token !== undefined) setBit(mask, state.token)
    if (at.states.length > 0) this.#walk(0, this.automaton.withoutTerminals(at), mask)
    if (at.isComplete) for (const id of this.#vocabulary.eosTokenIds) setBit(mask, id)
    if (mask.every((word) => word === 0)) {
      throw new ModelError(
        '[grammar] expected a token that continues the value, got a vocabulary without one; use a model with byte-level ' +
          'BPE, or with byte fallback',
      )
    }
    at.mask = mask
    this.#keep(at)
    return mask
  }

  /** What may come inside a terminal, and behind it. */
  #ofTerminal({ terminal, at, stack }: TerminalNode): Uint32Array {
    const own = this.#vocabulary.masks.get(terminal, at)
    if (own.exits.length === 0) return own.inside
    const behind = this.automaton.returned(stack)
    if (behind.terminals.length === 0 && behind.states.every(({ state }) => state.byte === undefined)) return own.inside
    const known = stack.masks?.get(own)
    if (known !== undefined) return known
    const mask = own.inside.slice()
    for (const node of own.exits) this.#walk(node, behind, mask)
    if (stack.masks === undefined) stack.masks = new Map()
    stack.masks.set(own, mask)
    this.#keep(stack)
    return mask
  }

  /** Sets the bits of the tokens below a node whose bytes lead somewhere from a configuration. */
  #walk(root: number, from: Configuration, mask: Uint32Array): void {
    const { byte, depth, end, first, ids } = this.#vocabulary.trie
    const path = this.#path
    const level = depth[root]!
    path[level] = from
    const last = end[root]!
    for (let node = root + 1; node < last; ) {
      const to = this.automaton.step(path[depth[node]! - 1]!, byte[node]!)
      if (to === null) {
        node = end[node]!
        continue
      }
      path[depth[node]!] = to
      for (let at = first[node]!; at < first[node + 1]!; at++) setBit(mask, ids[at]!)
      node++
    }
  }

  #keep(owner: { mask?: Uint32Array; masks?: unknown }): void {
    if (4 * this.#words * this.#kept.length > KEPT_MASKS) {
      for (const kept of this.#kept) {
        delete kept.mask
        delete kept.masks
      }
      this.#kept = []
    }
    this.#kept.push(owner)
  }
}
