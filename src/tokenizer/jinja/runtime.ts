/** @file The state of one rendering: where it is, how much it may still do, and what it has written. */

import type { Steps } from '../../turns.js'
import { fail } from './errors.js'
import { MISSING, type Value } from './values.js'

/** Bounds of one rendering. They are far beyond what a conversation needs and end a hostile template in seconds. */
const MAX_STEPS = 10_000_000
/** Steps after which a rendering pauses: some tenths of a millisecond. */
const STEPS_TO_PAUSE = 512
/** Longest text that a template may write or build, in UTF-16 units. */
const MAX_TEXT = 1 << 24
/** Python gives up at some 190 nested calls of macros. */
const MAX_DEPTH = 200

/** Characters `[start, end)` of a rendering, in UTF-16 units. */
export interface Span {
  start: number
  end: number
}

/** What stands in the rendering for one item of a loop over messages. */
export interface ItemSpan extends Span {
  item: Value
}

// Parts that are put together without a pause.
const MOST_PARTS = 2048

/** A list of texts that become one. */
export class Output {
  #parts: string[] = []
  // What came before: many parts at the end would take long to put together.
  #before = ''
  length = 0

  write(rt: Runtime, text: string): void {
    if (text === '') return
    this.length += text.length
    rt.step(1 + (text.length >> 8))
    if (this.length > MAX_TEXT) tooLong()
    this.#parts.push(text)
    if (this.#parts.length < MOST_PARTS) return
    this.#before += this.#parts.join('')
    this.#parts = []
  }

  text(): string {
    return this.#before + this.#parts.join('')
  }
}

function tooLong(): never {
  return fail('Bounds', `expected at most ${MAX_TEXT} characters, got a longer text`)
}

const NOTHING: ReadonlySet<Value> = new Set()

/** One rendering. */
export class Runtime {
  readonly root = new Output()
  /** What `{% generation %}` marked, in the order in which transformers records it. */
  readonly generated: (Span & { text: string })[] = []
  /** Filled where a loop over one of `watched` writes straight to the rendering. */
  readonly itemSpans: ItemSpan[] = []
  readonly watched: ReadonlySet<Value>
  readonly now: Date
  line = 1
  readonly #variables: ReadonlyMap<string, Value>
  readonly #globals: ReadonlyMap<string, Value>
  #steps = 0
  #pauseAt = STEPS_TO_PAUSE
  #depth = 0

  /** @param globals What is known under a name that is none of the variables. Default nothing. */
  constructor(
    now: Date,
    variables: ReadonlyMap<string, Value>,
    watched: ReadonlySet<Value> = NOTHING,
    globals: ReadonlyMap<string, Value> = new Map(),
  ) {
    this.now = now
    this.#variables = variables
    this.#globals = globals
    this.watched = watched
  }

  /** A variable from outside of the template. */
  resolve(name: string): Value {
    const value = this.#variables.get(name)
    if (value !== undefined) return value
    return this.#globals.get(name) ?? MISSING
  }

  /** Counts steps. @throws when the template has spent them */
  step(count = 1): void {
    this.#steps += count
    if (this.#steps > MAX_STEPS) fail('Bounds', `expected at most ${MAX_STEPS} steps, got a template that takes more`)
  }

  /** Whether it is time to pause. */
  get isDue(): boolean {
    return this.#steps >= this.#pauseAt
  }

  *pause(): Steps<void> {
    yield
    this.#pauseAt = this.#steps + STEPS_TO_PAUSE
  }

  /** Checks the length of a text that grows piece by piece. */
  fits(length: number): void {
    if (length > MAX_TEXT) tooLong()
  }

  /** Asks for room for a text of `length` before it is built. */
  room(length: number): void {
    this.fits(length)
    // So that texts which are kept cannot fill the memory: 10 million steps are 320 MB of them.
    this.step(1 + (length >> 5))
  }

  /** Asks for room for texts put together, of which JavaScript copies nothing yet. */
  joins(length: number): void {
    this.fits(length)
    this.step(1 + (length >> 10))
  }

  /** Asks for room for `count` values before they are made. */
  items(count: number): void {
    this.step(1 + count)
  }

  enter(): void {
    if (++this.#depth > MAX_DEPTH) fail('Bounds', `expected at most ${MAX_DEPTH} nested calls, got more`)
  }

  leave(): void {
    this.#depth--
  }
}
