/** @file The mask of an answer: the place that it has reached in a grammar, and which ids may come there. */

import type { TokenMask } from '../decoding/token-mask.js'
import { ModelError } from '../lowrank-error.js'
import { runAtOnce, Turns } from '../turns.js'
import { Automaton, type Configuration } from './automaton.js'
import { ConfigurationMasks, type Mask, writeMask } from './configuration-masks.js'
import type { State } from './program.js'
import { notAllowed, type TokenVocabulary } from './vocabulary.js'

/** A grammar over the tokens of a vocabulary. Many answers may follow it at the same time. */
export interface CompiledGrammar {
  /** The mask of a new answer. */
  start(): TokenMask
}

// What answers share; deeply nested values come once each, and would be kept for ever.
const KEPT_CONFIGURATIONS = 10_000
const TURN_MS = 5

/** @param start the state in which a value begins; it ends where that state's rule returns */
export function grammarOf(start: State, vocabulary: TokenVocabulary): CompiledGrammar {
  const grammar = new Grammar(start, vocabulary)
  return { start: () => new GrammarMask(grammar) }
}

/** What the answers of a grammar share; begun anew where it has become large. */
class Grammar {
  readonly vocabulary: TokenVocabulary
  /** The mask behind the end. */
  readonly end: Mask
  readonly #start: State
  #masks: ConfigurationMasks
  #most = KEPT_CONFIGURATIONS

  constructor(start: State, vocabulary: TokenVocabulary) {
    this.vocabulary = vocabulary
    this.end = { bits: [], ids: [Int32Array.from(vocabulary.eosTokenIds)] }
    this.#start = start
    this.#masks = this.#new()
  }

  get masks(): ConfigurationMasks {
    if (this.#masks.automaton.size > this.#most) {
      this.#masks = this.#new()
      this.#most = KEPT_CONFIGURATIONS
    }
    return this.#masks
  }

  /** The same place among what is kept now. An answer that nests deeply has room for as much again. */
  adopt(at: Configuration): Configuration {
    const { automaton } = this.masks
    const adopted = automaton.adopt(at)
    this.#most = Math.max(this.#most, 2 * automaton.size)
    return adopted
  }

  #new(): ConfigurationMasks {
    return new ConfigurationMasks(new Automaton(this.#start), this.vocabulary)
  }
}

class GrammarMask implements TokenMask {
  readonly #grammar: Grammar
  readonly #eos: ReadonlySet<number>
  #masks: ConfigurationMasks
  #at: Configuration
  /** The mask of the present place, once it is known. */
  #mask: Mask | undefined
  #isOver = false

  constructor(grammar: Grammar) {
    this.#grammar = grammar
    this.#eos = new Set(grammar.vocabulary.eosTokenIds)
    this.#masks = grammar.masks
    this.#at = this.#masks.automaton.start
  }

  prepare(): Promise<void> | undefined {
    this.#mask ??= this.#isOver ? this.#grammar.end : this.#masks.find(this.#at)
    return this.#mask === undefined ? this.#prepare() : undefined
  }

  async #prepare(): Promise<void> {
    this.#mask = await new Turns(undefined, TURN_MS).run(this.#masks.make(this.#at))
  }

  allowed(words: Uint32Array): boolean {
    this.#mask ??= this.#isOver
      ? this.#grammar.end
      : (this.#masks.find(this.#at) ?? runAtOnce(this.#masks.make(this.#at)))
    writeMask(this.#mask, words)
    if (words.every((word) => word === 0)) {
      throw new ModelError(
        '[grammar] expected a token that continues the value, got a vocabulary without one; use a model with byte-level ' +
          'BPE, or with byte fallback',
      )
    }
    return true
  }

  accept(id: number): void {
    if (this.#eos.has(id)) {
      if (!this.#at.isComplete) throw notAllowed(id)
      this.#isOver = true
      this.#mask = undefined
      return
    }
    const next = this.#isOver ? null : this.#next(id)
    if (next === null) throw notAllowed(id)
    const { masks } = this.#grammar
    this.#at = masks === this.#masks ? next : this.#grammar.adopt(next)
    this.#masks = masks
    this.#mask = undefined
  }

  #next(id: number): Configuration | null {
    const { automaton } = this.#masks
    const { vocabulary } = this.#grammar
    const bytes = vocabulary.bytesOf(id)
    if (bytes === undefined) return automaton.stepToken(this.#at, id, vocabulary.addedTextIds.has(id))
    if (bytes.length === 0) return null
    let at: Configuration | null = this.#at
    for (const byte of bytes) {
      at = automaton.step(at, byte)
      if (at === null) return null
    }
    return at
  }
}
