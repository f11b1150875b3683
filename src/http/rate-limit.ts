/** @file A limit of how many requests begin within a second, so that a service need not refuse them. */

import { pause } from './patience.js'

const SECOND = 1000

/**
 * Waits until one more request may begin: any second holds at most `perSecond` beginnings.
 * @param clock Milliseconds that never go back
 */
export function rateLimiter(
  perSecond: number,
  clock: () => number = () => performance.now(),
): (signal: AbortSignal | undefined) => Promise<void> {
  /** When each of the last requests began or will begin. */
  const begun: number[] = []
  return async (signal) => {
    const now = clock()
    const before = begun.length < perSecond ? undefined : begun.shift()
    const at = before === undefined ? now : Math.max(now, before + SECOND)
    begun.push(at)
    if (at > now) await pause(at - now, signal)
  }
}
