/** @file Requests that give an access token: who asks is in the body, so that errors are cleared of it. */

import { shorten, withoutSecrets } from '../../../errors.js'
import { createRest, type RestCall, type RestClient } from '../../../http/rest.js'
import { type Secret, withoutToken } from '../../../http/secret.js'
import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import type { AccessToken } from './access-token.js'

/** Milliseconds for all tries of one request. */
const BUDGET = 60_000
const TIMEOUT = 20_000

export interface TokenRequest {
  /** Address that gives the token. */
  readonly url: string
  /** What is asked for, as errors have it: `an access token of the service principal`. */
  readonly what: string
  /** What to look at where the answer is no: `check DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET`. */
  readonly remedy: string
  /** What the request holds and nobody else may see. */
  readonly secrets: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Fields of a form that is sent by POST; undefined: a GET. */
  readonly form?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** The JSON of an answer. @throws ServiceError without any of the secrets */
export async function askForToken(request: TokenRequest): Promise<Record<string, unknown>> {
  const { url, what, form, headers, signal } = request
  const { origin, pathname, search } = new URL(url)
  const call: RestCall = {
    method: form === undefined ? 'GET' : 'POST',
    path: pathname + search,
    ...(form && { body: formBody(form) }),
    headers: { ...headers, ...(form && { 'content-type': 'application/x-www-form-urlencoded' }) },
    what,
    // Another token than the one that was lost does no harm.
    isRepeatable: true,
    signal,
  }
  const json = await restOf(origin, request).json<unknown>(call)
  return isObject(json) ? json : {}
}

/** The token of an OAuth answer. @throws ServiceError where there is none */
export async function oauthToken(request: TokenRequest): Promise<AccessToken> {
  const asked = Date.now()
  const { access_token: value, expires_in: seconds } = await askForToken(request)
  if (typeof value !== 'string' || value === '') throw noToken(request)
  const life = Number(seconds)
  return { value, expiresAt: Number.isFinite(life) && life > 0 ? asked + 1000 * life : undefined }
}

/** The error for an answer without a token. */
export function noToken({ url, what, remedy }: Pick<TokenRequest, 'url' | 'what' | 'remedy'>): ServiceError {
  return new ServiceError(
    `[databricks] expected ${new URL(url).origin} to give ${what}, got an answer without one; ${remedy}`,
  )
}

function restOf(server: string, { remedy, secrets }: TokenRequest): RestClient {
  const hidden: Secret[] = secrets.map((value) => ({ value }))
  return createRest({
    server,
    where: 'databricks',
    setting: ` to ${server}`,
    timeout: TIMEOUT,
    budget: BUDGET,
    authorize: async () => ({}),
    errorOf: ({ status, headers, text }, { what }) => {
      const { said, errorCode } = saidIn(withoutToken(text, hidden))
      const got = [`HTTP ${status}`, errorCode, said && JSON.stringify(shorten(withoutSecrets(said)))]
      return new ServiceError(
        `[databricks] expected ${server} to give ${what}, got ${got.filter(Boolean).join(', ')}; ${remedy}`,
        { status, errorCode, requestId: headers.get('x-request-id') ?? undefined },
      )
    },
  })
}

function saidIn(text: string): { readonly said: string; readonly errorCode: string | undefined } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { said: /^\s*</.test(text) ? 'a page of HTML' : text.trim(), errorCode: undefined }
  }
  if (!isObject(json)) return { said: '', errorCode: undefined }
  const code = json.error ?? json.error_code
  const said = json.error_description ?? json.message ?? ''
  return { said: String(said), errorCode: typeof code === 'string' ? code : undefined }
}

function formBody(form: Readonly<Record<string, string>>): NonNullable<RestCall['body']> {
  const bytes = Buffer.from(new URLSearchParams(form).toString())
  return { size: bytes.length, open: () => bytes }
}
