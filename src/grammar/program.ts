/**
 * @file A grammar as a recursive transition network: states with the byte, the token or the rule that leads on. A rule
 * is called and returns, as in a program; that is what brackets need beyond a finite automaton.
 */

import type { Terminal } from './byte-automaton.js'

/** Several ways to write one value: each start is a state, each terminal a whole way. */
export interface GrammarRule {
  readonly starts: State[]
  readonly terminals: Terminal[]
}

/** A place in a grammar. All that is there applies: several of them are alternatives. */
export interface State {
  readonly id: number
  /** States that are as good as this one. */
  readonly also: State[]
  /** The byte that leads to `target`. */
  byte?: number
  /** The id of the added token that leads to `target`. */
  token?: number
  /** What is called; it returns to `target`. */
  call?: GrammarRule | Terminal
  target?: State
  /** The state behind a byte, where bytes are many: made when it is asked for, and the same by its id. */
  branch?(byte: number): State | undefined
  /** Whether the rule may end here. */
  returns?: true
}

/** Makes states. */
export class Program {
  #count = 0
  #reserved = 0

  get size(): number {
    return this.#count
  }

  /** The first id for the states of a tree, `each` of them at each node: they are made when they are asked for. */
  reserve(nodes: number, each: number): number {
    this.#count += nodes
    this.#reserved += nodes * each
    return -this.#reserved
  }

  state(also: readonly State[] = []): State {
    return { id: this.#count++, also: [...also] }
  }

  /** The state before these bytes, behind which comes `target`. */
  text(text: string, target: State): State {
    let state = target
    for (const byte of new TextEncoder().encode(text).reverse()) state = { ...this.state(), byte, target: state }
    return state
  }

  call(called: GrammarRule | Terminal, target: State): State {
    return { ...this.state(), call: called, target }
  }

  token(id: number, target: State): State {
    return { ...this.state(), token: id, target }
  }

  returning(): State {
    return { ...this.state(), returns: true }
  }
}

/** Whether what is called is a terminal. */
export function isTerminal(called: GrammarRule | Terminal): called is Terminal {
  return 'next' in called
}
