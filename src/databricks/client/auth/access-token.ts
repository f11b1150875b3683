/** @file An access token that is used until shortly before it ends, and then made again, once for all who wait. */

import { unlessStopped } from '../../../http/patience.js'

/** What asks. Times are milliseconds since 1970 by the clock of this machine. */
export interface AccessToken {
  readonly value: string
  /** Undefined: nobody said when it ends. */
  readonly expiresAt: number | undefined
}

export interface TokenSource {
  /** The token that counts now. @throws what making one throws; the signal's reason */
  token(signal: AbortSignal | undefined): Promise<AccessToken>
  /** Forgets a token that a service did not take, so that the next call makes another. */
  reject(value: string): void
}

/** A long request may begin with a token just before it ends. */
const EARLY = 20 * 60_000
/** A token that fails is made again by the next call, not while others wait for nothing. */
const RENEWAL_LIMIT = 90_000

/**
 * Keeps a token. It is made again 20 minutes before it ends, or at half of its life where that is shorter.
 * @param make Makes a token; the signal ends it after 90 seconds.
 */
export function keepToken(
  make: (signal: AbortSignal) => Promise<AccessToken>,
  now: () => number = Date.now,
): TokenSource {
  let kept: AccessToken | undefined
  let renewAt = 0
  let making: Promise<AccessToken> | undefined
  const renew = async (): Promise<AccessToken> => {
    const begun = now()
    const made = await make(AbortSignal.timeout(RENEWAL_LIMIT))
    kept = made
    const life = made.expiresAt === undefined ? Number.POSITIVE_INFINITY : made.expiresAt - begun
    renewAt = begun + life - Math.min(EARLY, life / 2)
    return made
  }
  return {
    async token(signal) {
      signal?.throwIfAborted()
      if (kept !== undefined && now() < renewAt) return kept
      // The work goes on for the others where one of those who wait is aborted.
      making ??= renew().finally(() => {
        making = undefined
      })
      return signal === undefined ? await making : await unlessStopped(making, signal)
    },
    reject(value) {
      if (kept?.value === value) kept = undefined
    },
  }
}
