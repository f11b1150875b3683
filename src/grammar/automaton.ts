/**
 * @file Runs a program over bytes. All ways that are still open are followed at once: a configuration is the set of
 * places where they stand, each with the set of stacks to return to. Configurations are made once each and remember
 * where bytes lead, so that the automaton becomes deterministic as it is used.
 */

import type { Terminal } from './byte-automaton.js'
import type { Mask } from './configuration-masks.js'
import { isTerminal, type State } from './program.js'

/** Where called rules return to: the states behind the calls, each with what lies below. */
export interface Stack {
  readonly id: number
  readonly frames: readonly { readonly state: State; readonly below: Stack }[]
  /** Whether nothing lies below, on one of the ways: the value is complete there. */
  readonly isBottom: boolean
  /** The configuration behind the return, once somebody asked. */
  returned?: Configuration
  /** The ids that go on here behind a terminal, by its list of exits. */
  behind?: Map<Int32Array, Int32Array>
}

/** A place in a program that waits for a byte or a token. */
export interface StateNode {
  readonly state: State
  readonly stack: Stack
}

/** A place inside a terminal. */
export interface TerminalNode {
  readonly terminal: Terminal
  readonly at: number
  readonly stack: Stack
}

/** All places where the ways that are open stand. */
export interface Configuration {
  readonly states: readonly StateNode[]
  readonly terminals: readonly TerminalNode[]
  /** Whether the value may end here. */
  readonly isComplete: boolean
  /** Where bytes lead that somebody asked about; null: nowhere. */
  readonly next: Map<number, Configuration | null>
  /** The configuration of `states` alone. */
  withoutTerminals?: Configuration
  /** What its mask has beside those of up to a few terminals. */
  mask?: Mask
}

/** A program with the configurations that were reached. */
export class Automaton {
  readonly #terminalIds = new Map<Terminal, number>()
  readonly #stacks = new Map<string, Stack>()
  readonly #unions = new Map<string, Stack>()
  readonly #configurations = new Map<string, Configuration>()
  readonly #bottom: Stack = { id: 0, frames: [], isBottom: true }
  readonly start: Configuration

  constructor(start: State) {
    this.#stacks.set('true', this.#bottom)
    const open = this.#open()
    open.add(start, this.#bottom)
    this.start = this.#close(open) as Configuration
  }

  /** Configurations and stacks that are kept. */
  get size(): number {
    return this.#configurations.size + this.#stacks.size
  }

  /** Where a byte leads; null: nowhere. */
  step(from: Configuration, byte: number): Configuration | null {
    const known = from.next.get(byte)
    if (known !== undefined) return known
    const open = this.#open()
    for (const { state, stack } of from.states) {
      if (state.byte === byte) open.add(state.target!, stack)
      const target = state.branch?.(byte)
      if (target !== undefined) open.add(target, stack)
    }
    for (const { terminal, at, stack } of from.terminals) {
      const to = terminal.next(at, byte)
      if (to >= 0) open.addTerminal(terminal, to, stack)
    }
    const to = this.#close(open)
    from.next.set(byte, to)
    return to
  }

  /** Where an added token leads; null: nowhere. */
  stepToken(from: Configuration, id: number, isText: boolean): Configuration | null {
    const open = this.#open()
    for (const { state, stack } of from.states) if (state.token === id) open.add(state.target!, stack)
    for (const { terminal, at, stack } of from.terminals) {
      if (isText && terminal.takesToken?.(id)) open.addTerminal(terminal, at, stack)
    }
    return this.#close(open)
  }

  /** The configuration in which a terminal has returned. */
  returned(stack: Stack): Configuration {
    if (stack.returned === undefined) {
      const open = this.#open()
      open.return(stack)
      stack.returned = this.#close(open) as Configuration
    }
    return stack.returned
  }

  /** A configuration of another automaton for the same program, as one of this. */
  adopt({ states, terminals, isComplete }: Configuration): Configuration {
    const known = new Map<Stack, Stack>()
    const open = {
      states: states.map(({ state, stack }) => ({ state, stack: this.#adoptStack(stack, known) })),
      terminals: terminals.map((node) => ({ ...node, stack: this.#adoptStack(node.stack, known) })),
      isComplete,
    }
    return this.#close(open) as Configuration
  }

  /** Stacks may be deeper than calls can be. */
  #adoptStack(stack: Stack, known: Map<Stack, Stack>): Stack {
    const waiting = [stack]
    for (let top = waiting.at(-1); top !== undefined; top = waiting.at(-1)) {
      const missing = top.frames.filter(({ below }) => !known.has(below))
      if (missing.length > 0 && !known.has(top)) {
        for (const { below } of missing) waiting.push(below)
        continue
      }
      waiting.pop()
      if (known.has(top)) continue
      const frames = top.frames.map(({ state, below }) => ({ state, below: known.get(below)! }))
      known.set(top, this.#stackOf(frames, top.isBottom))
    }
    return known.get(stack)!
  }

  /** The configuration with the places alone that wait for bytes of the program. */
  withoutTerminals(from: Configuration): Configuration {
    if (from.terminals.length === 0) return from
    from.withoutTerminals ??= { states: from.states, terminals: [], isComplete: from.isComplete, next: new Map() }
    return from.withoutTerminals
  }

  #open(): OpenPlaces {
    return new OpenPlaces((state, below) => this.#stackOf([{ state, below }], false))
  }

  #close({
    states,
    terminals,
    isComplete,
  }: Pick<Configuration, 'states' | 'terminals' | 'isComplete'>): Configuration | null {
    if (states.length === 0 && terminals.length === 0 && !isComplete) return null
    const mergedStates = new Map<number, StateNode>()
    for (const { state, stack } of states) {
      const known = mergedStates.get(state.id)
      mergedStates.set(
        state.id,
        known === undefined ? { state, stack } : { state, stack: this.#union(known.stack, stack) },
      )
    }
    const mergedTerminals = new Map<string, TerminalNode>()
    for (const { terminal, at, stack } of terminals) {
      const key = `${this.#terminalId(terminal)}.${at}`
      const known = mergedTerminals.get(key)
      const merged = known === undefined ? stack : this.#union(known.stack, stack)
      mergedTerminals.set(key, { terminal, at, stack: merged })
    }
    const keys = [...mergedStates.values()].map(({ state, stack }) => `${state.id},${stack.id}`)
    for (const [key, { stack }] of mergedTerminals) keys.push(`${key},${stack.id}`)
    const key = `${isComplete} ${keys.sort().join(' ')}`
    const known = this.#configurations.get(key)
    if (known !== undefined) return known
    const made: Configuration = {
      states: [...mergedStates.values()],
      terminals: [...mergedTerminals.values()],
      isComplete,
      next: new Map(),
    }
    this.#configurations.set(key, made)
    return made
  }

  #terminalId(terminal: Terminal): number {
    let id = this.#terminalIds.get(terminal)
    if (id === undefined) {
      id = this.#terminalIds.size
      this.#terminalIds.set(terminal, id)
    }
    return id
  }

  /** @param frames states that differ, in order of their ids */
  #stackOf(frames: Stack['frames'], isBottom: boolean): Stack {
    const key = `${isBottom} ${frames.map(({ state, below }) => `${state.id},${below.id}`).join(' ')}`
    const known = this.#stacks.get(key)
    if (known !== undefined) return known
    const made: Stack = { id: this.#stacks.size, frames, isBottom }
    this.#stacks.set(key, made)
    return made
  }

  #union(a: Stack, b: Stack): Stack {
    if (a === b) return a
    const key = a.id < b.id ? `${a.id} ${b.id}` : `${b.id} ${a.id}`
    const known = this.#unions.get(key)
    if (known !== undefined) return known
    const frames = new Map(a.frames.map((frame) => [frame.state.id, frame]))
    for (const frame of b.frames) {
      const other = frames.get(frame.state.id)
      const below = other === undefined ? frame.below : this.#union(other.below, frame.below)
      frames.set(frame.state.id, { state: frame.state, below })
    }
    const sorted = [...frames.values()].sort((x, y) => x.state.id - y.state.id)
    const made = this.#stackOf(sorted, a.isBottom || b.isBottom)
    this.#unions.set(key, made)
    return made
  }
}

/** Follows calls, returns and alternatives until every way waits for a byte or a token. */
class OpenPlaces {
  readonly states: StateNode[] = []
  readonly terminals: TerminalNode[] = []
  isComplete = false
  readonly #push: (state: State, below: Stack) => Stack
  readonly #seen = new Set<string>()
  readonly #waiting: StateNode[] = []

  constructor(push: (state: State, below: Stack) => Stack) {
    this.#push = push
  }

  add(state: State, stack: Stack): void {
    this.#waiting.push({ state, stack })
    this.#drain()
  }

  addTerminal(terminal: Terminal, at: number, stack: Stack): void {
    this.#enter(terminal, at, stack)
    this.#drain()
  }

  return(stack: Stack): void {
    this.#leave(stack)
    this.#drain()
  }

  #drain(): void {
    for (let place = this.#waiting.pop(); place !== undefined; place = this.#waiting.pop()) {
      const { state, stack } = place
      const key = `${state.id},${stack.id}`
      if (this.#seen.has(key)) continue
      this.#seen.add(key)
      if (state.returns) this.#leave(stack)
      for (const other of state.also) this.#waiting.push({ state: other, stack })
      if (state.byte !== undefined || state.token !== undefined || state.branch !== undefined) this.states.push(place)
      if (state.call === undefined) continue
      const below = this.#push(state.target!, stack)
      if (isTerminal(state.call)) {
        this.#enter(state.call, state.call.start, below)
        continue
      }
      for (const start of state.call.starts) this.#waiting.push({ state: start, stack: below })
      for (const terminal of state.call.terminals) this.#enter(terminal, terminal.start, below)
    }
  }

  #enter(terminal: Terminal, at: number, stack: Stack): void {
    this.terminals.push({ terminal, at, stack })
    if (terminal.accepts(at)) this.#leave(stack)
  }

  #leave(stack: Stack): void {
    if (stack.isBottom) this.isComplete = true
    for (const { state, below } of stack.frames) this.#waiting.push({ state, stack: below })
  }
}
