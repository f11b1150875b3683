/**
 * @file The masks of a grammar's configurations. A mask is made of bits that all grammars share, those of terminals,
 * and of lists of ids: what comes behind terminals, and what the grammar itself spells.
 */

import type { Steps } from '../turns.js'
import type { Automaton, Configuration, Stack } from './automaton.js'
import type { TerminalMask } from './terminal-masks.js'
import { setBit } from './token-trie.js'
import type { TokenVocabulary } from './vocabulary.js'

/** Bytes of lists and bits that a grammar keeps beside those of the vocabulary; then all are made again. */
const MEMORY = 8 * 2 ** 20
/** Bytes of a list beside its ids. */
const LIST = 200
/** Places that are looked at before the event loop may have its turn. */
const STEP = 256
/** Terminals whose bits are put together each time. Of more, the result is kept. */
const FEW = 4

const NONE = new Int32Array(0)

/** The union of these sets of ids. */
export interface Mask {
  readonly bits: readonly Uint32Array[]
  readonly ids: readonly Int32Array[]
}

/** Makes and keeps the masks of configurations. */
export class ConfigurationMasks {
  readonly automaton: Automaton
  readonly #vocabulary: TokenVocabulary
  #kept: { mask?: unknown; behind?: unknown }[] = []
  #bytes = 0

  constructor(automaton: Automaton, vocabulary: TokenVocabulary) {
    this.automaton = automaton
    this.#vocabulary = vocabulary
  }

  /** The mask of a configuration; undefined where a part of it is not there. */
  find(at: Configuration): Mask | undefined {
    if (at.mask === undefined || at.terminals.length === 0 || at.terminals.length > FEW) return at.mask
    const bits: Uint32Array[] = []
    const ids = [...at.mask.ids]
    for (const { terminal, at: state, stack } of at.terminals) {
      const own = this.#vocabulary.masks.find(terminal, state)
      const behind = own && (own.exits.length === 0 ? NONE : stack.behind?.get(own.exits))
      if (behind === undefined) return undefined
      bits.push(own!.inside)
      ids.push(behind)
    }
    return { bits, ids }
  }

  /** Makes the mask of a configuration, or what is missing of it. */
  *make(at: Configuration): Steps<Mask> {
    const bits: Uint32Array[] = []
    const ids: Int32Array[] = []
    const areMany = at.terminals.length > FEW
    if (areMany) bits.push(new Uint32Array((this.#vocabulary.size + 31) >>> 5))
    for (const { terminal, at: state, stack } of at.terminals) {
      const own = this.#vocabulary.masks.get(terminal, state)
      yield
      const behind = yield* this.#behind(stack, own)
      if (areMany) {
        addBits(own.inside, bits[0]!)
        addIds(behind, bits[0]!)
      } else {
        bits.push(own.inside)
        ids.push(behind)
      }
    }
    const own = at.mask?.ids[0] ?? (yield* this.#idsOf(at))
    if (at.mask === undefined) {
      this.#keep(at, 4 * own.length + (areMany ? bits[0]!.byteLength : 0))
      at.mask = { bits: areMany ? bits : [], ids: [own] }
    }
    return { bits, ids: [...ids, own] }
  }

  /** The ids that end a terminal and go on behind it. */
  *#behind(stack: Stack, { exits }: TerminalMask): Steps<Int32Array> {
    if (exits.length === 0) return NONE
    const known = stack.behind?.get(exits)
    if (known !== undefined) return known
    const behind = this.automaton.returned(stack)
    const ids: number[] = []
    if (behind.terminals.length > 0 || behind.states.length > 0)
      for (const node of exits) yield* this.#walk(node, behind, ids)
    const list = Int32Array.from(ids)
    this.#keep(stack, 4 * list.length)
    stack.behind ??= new Map()
    stack.behind.set(exits, list)
    return list
  }

  /** The ids that no terminal allows: what the grammar spells, added tokens, and the end. */
  *#idsOf(at: Configuration): Steps<Int32Array> {
    const ids: number[] = []
    for (const { state } of at.states) if (state.token !== undefined) ids.push(state.token)
    if (at.states.length > 0) yield* this.#walk(0, this.automaton.withoutTerminals(at), ids)
    if (at.isComplete) ids.push(...this.#vocabulary.eosTokenIds)
    return Int32Array.from(ids)
  }

  /** Adds the tokens below a node whose bytes lead somewhere from a configuration. */
  *#walk(root: number, from: Configuration, found: number[]): Steps<void> {
    const { byte, depth, end, first, ids } = this.#vocabulary.trie
    const level = depth[root]!
    const path = [from]
    const last = end[root]!
    let places = 0
    for (let node = root + 1; node < last; ) {
      const before = path[depth[node]! - 1 - level]!
      const to = this.automaton.step(before, byte[node]!)
      places += 1 + before.states.length + before.terminals.length
      if (places > STEP) {
        places = 0
        yield
      }
      if (to === null) {
        node = end[node]!
        continue
      }
      path[depth[node]! - level] = to
      for (let at = first[node]!; at < first[node + 1]!; at++) found.push(ids[at]!)
      node++
    }
  }

  /** Called before a list is put on its owner. */
  #keep(owner: { mask?: unknown; behind?: unknown }, bytes: number): void {
    this.#bytes += bytes + LIST
    if (this.#bytes > MEMORY) {
      for (const kept of this.#kept) {
        delete kept.mask
        delete kept.behind
      }
      this.#kept = []
      this.#bytes = bytes + LIST
    }
    this.#kept.push(owner)
  }
}

/** Sets the words to a mask. */
export function writeMask({ bits, ids }: Mask, words: Uint32Array): void {
  words.fill(0)
  for (const one of bits) addBits(one, words)
  for (const list of ids) addIds(list, words)
}

function addBits(bits: Uint32Array, words: Uint32Array): void {
  const length = Math.min(bits.length, words.length)
  for (let word = 0; word < length; word++) words[word]! |= bits[word]!
}

function addIds(ids: Int32Array, words: Uint32Array): void {
  for (let at = 0; at < ids.length; at++) setBit(words, ids[at]!)
}
