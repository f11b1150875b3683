/** @file Access tokens that run out: kept until shortly before, and asked for again where a service rejects one. */

import { createRest, type RestTarget } from '../http/rest.js'
import { withoutToken } from '../http/secret.js'
import { ServiceError } from '../http/service-error.js'
import { isObject } from '../values.js'

/** A token, and when it runs out in milliseconds of `Date.now`. */
export interface AccessToken {
  readonly value: string
  readonly expires: number
}

/** Asks for a token again so many milliseconds before it runs out. */
const EARLY = 60_000
const SECOND = 1000

/** Headers that say who asks, with a token that is fetched when it is needed. */
export function bearerOf(
  fetchToken: (signal: AbortSignal | undefined) => Promise<AccessToken>,
): RestTarget['authorize'] {
  let known: AccessToken | undefined
  let asking: Promise<AccessToken> | undefined
  return async (signal, rejected) => {
    const isRejected = known !== undefined && rejected?.authorization === `Bearer ${known.value}`
    if (known === undefined || isRejected || known.expires - EARLY <= Date.now()) {
      asking ??= fetchToken(signal).finally(() => {
        asking = undefined
      })
      known = await asking
    }
    return { authorization: `Bearer ${known.value}` }
  }
}

/**
 * Asks a token endpoint.
 * @param secrets Values of the form that nobody may see.
 * @throws ServiceError
 */
export async function requestToken(
  url: string,
  form: Readonly<Record<string, string>> | undefined,
  secrets: readonly string[],
  {
    what,
    headers = {},
    signal,
  }: { what: string; headers?: Readonly<Record<string, string>>; signal: AbortSignal | undefined },
): Promise<AccessToken> {
  const { origin, pathname, search } = new URL(url)
  const hidden = secrets.map((value) => ({ value }))
  const rest = createRest({
    server: origin,
    where: 'hosted',
    setting: '',
    authorize: async () => ({}),
    errorOf: ({ status, text }) =>
      new ServiceError(
        `[hosted] expected ${origin} to give ${what}, got HTTP ${status}: ${withoutToken(text, hidden).slice(0, 500)}; check the ` +
          'credentials',
        { status },
      ),
  })
  const body = form && new TextEncoder().encode(new URLSearchParams(form).toString())
  const json = await rest.json<Record<string, unknown>>({
    method: form ? 'POST' : 'GET',
    path: pathname + search,
    ...(body && { body: { size: body.byteLength, open: () => body } }),
    headers: { ...(form && { 'content-type': 'application/x-www-form-urlencoded' }), ...headers },
    what,
    isRepeatable: true,
    signal,
  })
  const { access_token: value, expires_in: seconds } = isObject(json) ? json : {}
  if (typeof value !== 'string' || value === '')
    throw new ServiceError(
      `[hosted] expected access_token from ${origin} for ${what}, got an answer without it; check the address`,
    )
  const lasts = Number(seconds)
  return { value, expires: Date.now() + (Number.isFinite(lasts) ? lasts : 300) * SECOND }
}
