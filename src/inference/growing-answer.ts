/** @file An answer while it grows: tokens come in on one side and go out by iteration on the other. */

import type { FinishReason, InferenceAnswer, InferenceToken } from './inference-request.js'

/** Somebody who waits for the next token. */
interface Reader {
  resolve(result: IteratorResult<InferenceToken, undefined>): void
  reject(reason: unknown): void
}

/**
 * Tokens that nobody has read yet are kept: a slow reader slows nobody. An answer that fails gives the error to whoever
 * reads, and to nobody where nobody reads.
 */
export class GrowingAnswer implements InferenceAnswer {
  cachedTokens = 0
  finishReason: FinishReason | undefined
  readonly #onStop: () => void
  readonly #tokens: InferenceToken[] = []
  readonly #readers: Reader[] = []
  #hasEnded = false
  #failure: { readonly reason: unknown } | undefined

  /** @param onStop called where the reader has enough. */
  constructor(onStop: () => void) {
    this.#onStop = onStop
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  push(token: InferenceToken): void {
    const reader = this.#readers.shift()
    if (reader) reader.resolve({ done: false, value: token })
    else this.#tokens.push(token)
  }

  end(reason: FinishReason): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.finishReason = reason
    for (const reader of this.#readers.splice(0)) reader.resolve({ done: true, value: undefined })
  }

  /** Tokens that came before are still read, then comes the reason. */
  fail(reason: unknown): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const readers = this.#readers.splice(0)
    // Whoever waits gets it; who reads later gets it once.
    if (readers.length === 0) this.#failure = { reason }
    for (const reader of readers) reader.reject(reason)
  }

  stop(): void {
    if (this.#hasEnded) return
    this.#tokens.length = 0
    this.end('stop')
    this.#onStop()
  }

  [Symbol.asyncIterator](): AsyncIterator<InferenceToken, undefined> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.stop()
        return { done: true, value: undefined }
      },
    }
  }

  async #next(): Promise<IteratorResult<InferenceToken, undefined>> {
    const value = this.#tokens.shift()
    if (value) return { done: false, value }
    const failure = this.#failure
    this.#failure = undefined
    if (failure) throw failure.reason
    if (this.#hasEnded) return { done: true, value: undefined }
    return await new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
  }
}
