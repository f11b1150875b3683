/** @file Files by their address, on any server: which addresses are asked, and what refusals mean. */

import { describeValue } from '../errors.js'
import { retryAfter } from '../http/patience.js'
import { OptionError } from '../lowrank-error.js'
import type { HttpTarget } from './http.js'
import { HubError } from './hub-error.js'
import type { HubSettings } from './settings.js'

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/

/**
 * An address as errors and lineage have it: its query may be a signature, which is as good as a password.
 * @throws OptionError for what is no address of a file that may be asked for
 */
export function shownAddress(address: string): string {
  if (!URL.canParse(address)) {
    throw new OptionError(`[data] expected the address of a file, got ${describeValue(address)}; check it`)
  }
  const url = new URL(address)
  if (url.username !== '' || url.password !== '') {
    throw new OptionError(
      `[data] expected an address without name and password, got one of ${url.host}; download the file, or use an address that needs none`,
    )
  }
  expectSafe(url, 'got')
  return shown(url)
}

/** Where a file is, and who says so: the Hub's token is for the Hub alone. */
export function webTarget(address: string, { endpoint, token, answerTimeout, pieceTimeout }: HubSettings): HttpTarget {
  const url = new URL(address)
  const location = shown(url)
  const isHub = url.origin === new URL(endpoint).origin
  return {
    what: location,
    server: url.origin,
    where: 'data',
    setting: ' and the address',
    token: isHub ? token : undefined,
    answerTimeout,
    pieceTimeout,
    refusal: (response) => refusal(response, location, isHub),
    checkUrl: (next) => expectSafe(next, `${location} leads to`),
  }
}

function shown({ origin, pathname }: URL): string {
  return `${origin}${pathname}`
}

/** @throws OptionError for an address where anybody in between could change what comes */
export function expectSafe(url: URL, got: string): void {
  if (url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname))) return
  throw new OptionError(
    `[data] expected an https address, ${got} ${describeValue(shown(url))}; without https anybody in between can change the rows: use ` +
      'https, or download the file from where you trust it',
  )
}

function refusal({ status, headers }: Response, location: string, isHub: boolean): HubError {
  const gone = { cacheMayServe: false }
  if (status === 401 || status === 403 || status === 407) {
    const remedy = isHub
      ? 'set HF_TOKEN to an access token that may read it'
      : 'download the file with a program that logs in and give its path; where the address is signed, it may have expired: make another'
    return new HubError(`[data] ${location} asks for access (HTTP ${status}); ${remedy}`, gone)
  }
  if (status === 404 || status === 410) {
    return new HubError(`[data] expected a file at ${location}, got HTTP ${status}; check the address`, gone)
  }
  if (status === 429) {
    const wait = retryAfter(headers)
    const when = wait === undefined ? 'later' : `in ${Math.ceil(wait / 1000)} s`
    return new HubError(`[data] ${location} had too many requests (HTTP 429); try again ${when}`)
  }
  if (status >= 500) return new HubError(`[data] the server of ${location} failed (HTTP ${status}); try again later`)
  return new HubError(`[data] expected a file at ${location}, got HTTP ${status}; check the address`, gone)
}
