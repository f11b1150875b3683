/** @file How long to wait for servers, and what to say of one that did not answer. Knows no server. */

import { setTimeout as sleep } from 'node:timers/promises'
import { toError } from '../values.js'
import { type Secrets, withoutToken } from './secret.js'

const LONGEST_REASON = 300

/** Waits. @throws the signal's reason once it is aborted */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {})
  signal?.throwIfAborted()
}

/**
 * Waits for an action until it is told to stop. The action itself goes on: `fetch` of Node 20 leaves a reader waiting
 * that is stopped behind the last piece of a body.
 * @throws what the action throws; the signal's reason once it is aborted
 */
export async function unlessStopped<T>(action: Promise<T>, stop: AbortSignal): Promise<T> {
  let onAbort: () => void = () => {}
  try {
    return await new Promise<T>((resolve, reject) => {
      onAbort = () => reject(toError(stop.reason))
      stop.addEventListener('abort', onAbort)
      action.then(resolve, reject)
      if (stop.aborted) onAbort()
    })
  } finally {
    stop.removeEventListener('abort', onAbort)
  }
}

/** Milliseconds that the server asks to wait: Retry-After in seconds or as a date, or the reset of RateLimit. */
export function retryAfter(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim()
  if (value !== undefined && /^\d+$/.test(value)) return 1000 * Number(value)
  const date = Date.parse(value ?? '')
  if (!Number.isNaN(date)) return Math.max(0, date - Date.now())
  const [, reset] = /\bt=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? []
  return reset === undefined ? undefined : 1000 * Number(reset)
}

/** Why `fetch` gave no answer, without the secret. */
export function reasonOf(thrown: unknown, secret: Secrets): string {
  // fetch says "fetch failed", and what happened is the cause of that.
  const { message, cause: inner } = thrown as Error
  const reason = inner instanceof Error ? inner.message || String((inner as NodeJS.ErrnoException).code) : message
  return withoutToken(reason, secret).slice(0, LONGEST_REASON)
}
