/** @file Whether a request has a key, found out in a time that says nothing of the keys there are. */

import { createHash, timingSafeEqual } from 'node:crypto'
import { ApiError } from './api-error.js'

/** @returns a check that throws ApiError; it lets everybody through where there are no keys */
export function createKeyCheck(keys: readonly string[]): (headers: Headers) => void {
  if (keys.length === 0) return () => undefined
  const known = keys.map(digest)
  return (headers) => {
    const [, given] = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '') ?? []
    const asked = digest(given ?? '')
    // All are compared: how long it takes does not say which one it was.
    let isKnown = false
    for (const key of known) isKnown = timingSafeEqual(key, asked) || isKnown
    if (given !== undefined && isKnown) return
    const message =
      given === undefined
        ? 'Expected an API key as Authorization: Bearer KEY, got none.'
        : 'Incorrect API key provided.'
    const header = { 'www-authenticate': 'Bearer' }
    throw new ApiError(401, 'invalid_request_error', message, { code: 'invalid_api_key', headers: header })
  }
}

/** Texts of any length as bytes of one length. */
function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest()
}
