/**
 * @file Long work in short turns of the event loop. Work that can take long is a generator which yields wherever it may
 * be interrupted; one caller runs it at a stretch, another gives way to timers, requests and signals in between.
 * Imports nothing of src/.
 */

/** Work that yields (nothing) wherever it may be interrupted, and returns its result. */
export type Steps<T> = Generator<undefined, T, undefined>

// Long enough to cost nothing, short enough that timers and requests of the program do not notice.
const LONGEST_TURN_MS = 8

/** Counts the time of the present turn, and gives way when it has lasted long enough. */
export class Turns {
  readonly #signal: AbortSignal | undefined
  readonly #longest: number
  #began = performance.now()

  /**
   * @param signal Ends the work at the next turn with its reason.
   * @param longest Milliseconds that a turn lasts. Default 8; less where the work leaves much to the collection of
   * garbage, which is part of a turn.
   */
  constructor(signal?: AbortSignal, longest = LONGEST_TURN_MS) {
    this.#signal = signal
    this.#longest = longest
  }

  /** Whether it is time to give way. */
  get isOver(): boolean {
    return performance.now() - this.#began > this.#longest
  }

  /** Ends the work once it is aborted. */
  get signal(): AbortSignal | undefined {
    return this.#signal
  }

  throwIfAborted(): void {
    this.#signal?.throwIfAborted()
  }

  /** Goes on in a new turn. @throws the signal's reason once it is aborted. */
  async next(): Promise<void> {
    this.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
    this.throwIfAborted()
    this.#began = performance.now()
  }

  /** Runs work to its end, in as many turns as it takes. @throws the signal's reason once it is aborted. */
  async run<T>(steps: Steps<T>): Promise<T> {
    for (;;) {
      const { done, value } = steps.next()
      if (done) return value
      if (this.isOver) await this.next()
    }
  }
}

/** Runs work to its end at a stretch. */
export function runAtOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}
