/**
 * @file When a request may be sent, and what all of them used: open requests, requests and tokens of the last minute, a
 * pause that the endpoint asked for, and the cap on cost.
 *
 * A request reserves the most that it can cost before it is sent. One that might pass the cap waits for open ones,
 * which mostly cost less than they reserved, and is refused where none is open. A request of which nobody knows
 * whether it was served, as one without a reply in time, counts as the most that it can cost.
 */

import { CLOCK, type Clock } from '../http/retry.js'
import { EndpointError } from './endpoint-error.js'
import type { ResolvedEndpoint } from './endpoint-options.js'

/** Tokens of requests and replies. */
export interface TokenCounts {
  readonly promptTokens: number
  readonly completionTokens: number
}

/** What requests used so far. */
export interface EndpointUsage extends TokenCounts {
  /** Requests that were sent, tries included. */
  readonly requests: number
  /** Those of them that were tries after a first one. */
  readonly retries: number
  /** Replies that did not say their tokens, and requests without a reply: the most that they can have taken counts. */
  readonly estimated: number
  /** What they cost, with what earlier runs of the same work did. */
  readonly cost: number
}

const MINUTE = 60_000
const MILLION = 1e6

/** A request that may be sent. */
export interface Permit {
  /** Says what it took; undefined: nobody knows. A request that was not served took nothing. */
  settle(took: TokenCounts | 'nothing' | undefined): void
}

/** A request of the last minute. */
interface Sent {
  readonly at: number
  tokens: number
}

export class Allowance {
  readonly #limits: ResolvedEndpoint
  readonly #clock: Clock
  readonly #sent: Sent[] = []
  #open = 0
  #reserved = 0
  #promptTokens = 0
  #completionTokens = 0
  #requests = 0
  #retries = 0
  #estimated = 0
  #spent: number
  #notBefore = 0
  /** Those who wait for an open request to end. */
  #waiting: (() => void)[] = []
  /** Requests are let through one after the other, in the order in which they came. */
  #turn: Promise<void> = Promise.resolve()

  /** @param before Tokens of earlier runs of the same work: what they cost counts into the cap. */
  constructor(limits: ResolvedEndpoint, before: TokenCounts, clock = CLOCK) {
    this.#limits = limits
    this.#spent = this.costOf(before)
    this.#clock = clock
  }

  get clock(): Clock {
    return this.#clock
  }

  get usage(): EndpointUsage {
    return {
      requests: this.#requests,
      retries: this.#retries,
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
      estimated: this.#estimated,
      cost: this.#spent,
    }
  }

  /** What tokens cost. */
  costOf({ promptTokens, completionTokens }: TokenCounts): number {
    const { inputPrice, outputPrice } = this.#limits
    return (promptTokens * inputPrice + completionTokens * outputPrice) / MILLION
  }

  /** No request is sent for so many milliseconds: the endpoint asked for it. */
  holdBack(milliseconds: number): void {
    this.#notBefore = Math.max(this.#notBefore, this.#clock.now() + milliseconds)
  }

  /**
   * Waits until a request may be sent.
   * @param most The most tokens that it can take.
   * @param likely How many it mostly takes.
   * @throws EndpointError where it might pass the cap on cost
   */
  async admit(most: TokenCounts, likely: number, isRetry: boolean, signal: AbortSignal | undefined): Promise<Permit> {
    const before = this.#turn
    let done: () => void = () => {}
    this.#turn = new Promise((resolve) => {
      done = resolve
    })
    try {
      await before
      await this.#untilFree(this.costOf(most), likely, signal)
    } finally {
      done()
    }
    return this.#begin(most, likely, isRetry)
  }

  async #untilFree(cost: number, likely: number, signal: AbortSignal | undefined): Promise<void> {
    const { concurrency, maxCost = Number.POSITIVE_INFINITY } = this.#limits
    for (;;) {
      signal?.throwIfAborted()
      const wait = this.#untilAllowed(likely)
      const isAffordable = this.#spent + this.#reserved + cost <= maxCost
      if (!isAffordable && this.#open === 0) throw this.#tooDear(cost)
      if (!isAffordable || this.#open >= concurrency) await this.#untilOneEnds(signal)
      else if (wait > 0) await this.#clock.pause(wait, signal)
      else return
    }
  }

  /** Milliseconds until the limits of a minute let a request through. */
  #untilAllowed(likely: number): number {
    const { requestsPerMinute = Number.POSITIVE_INFINITY, tokensPerMinute = Number.POSITIVE_INFINITY } = this.#limits
    const now = this.#clock.now()
    while (this.#sent[0] !== undefined && this.#sent[0].at <= now - MINUTE) this.#sent.shift()
    let requests = this.#sent.length
    let tokens = this.#sent.reduce((sum, sent) => sum + sent.tokens, 0)
    let allowed = now
    // Those that have to be older than a minute first. What is larger than the limit by itself goes alone.
    for (const sent of this.#sent) {
      if (requests < requestsPerMinute && tokens + likely <= tokensPerMinute) break
      allowed = sent.at + MINUTE
      requests--
      tokens -= sent.tokens
    }
    return Math.max(allowed, this.#notBefore) - now
  }

  async #untilOneEnds(signal: AbortSignal | undefined): Promise<void> {
    let wake: () => void = () => {}
    const ended = new Promise<void>((resolve) => {
      wake = resolve
    })
    this.#waiting.push(wake)
    signal?.addEventListener('abort', wake)
    await ended
    signal?.removeEventListener('abort', wake)
  }

  #begin(most: TokenCounts, likely: number, isRetry: boolean): Permit {
    const reserved = this.costOf(most)
    const sent = { at: this.#clock.now(), tokens: likely }
    const { requestsPerMinute, tokensPerMinute } = this.#limits
    if (requestsPerMinute !== undefined || tokensPerMinute !== undefined) this.#sent.push(sent)
    this.#open++
    this.#reserved += reserved
    this.#requests++
    if (isRetry) this.#retries++
    return {
      settle: (took) => {
        this.#open--
        this.#reserved -= reserved
        // Sums of what was reserved drift by rounding.
        if (this.#open === 0) this.#reserved = 0
        const tokens = took === 'nothing' ? { promptTokens: 0, completionTokens: 0 } : (took ?? most)
        if (took === undefined) this.#estimated++
        this.#promptTokens += tokens.promptTokens
        this.#completionTokens += tokens.completionTokens
        this.#spent += this.costOf(tokens)
        if (took !== undefined && took !== 'nothing') sent.tokens = tokens.promptTokens + tokens.completionTokens
        for (const resolve of this.#waiting.splice(0)) resolve()
      },
    }
  }

  #tooDear(cost: number): EndpointError {
    const figure = (value: number): string => String(Number(value.toPrecision(4)))
    return new EndpointError(
      `[endpoint] expected the next request within maxCost (${this.#limits.maxCost}), but ${figure(this.#spent)} is spent and it may ` +
        `cost ${figure(cost)}; it was not sent: raise maxCost`,
      { failure: 'cost' },
    )
  }
}
