/** @file Requests to hosted services: addresses that tokens may go to, errors in words, and patience with failures. */

import { describeValue } from '../errors.js'
import { pause } from '../http/patience.js'
import type { RefusedAnswer, RestClient, RestTarget } from '../http/rest.js'
import { createRest } from '../http/rest.js'
import { ServiceError } from '../http/service-error.js'
import { OptionError } from '../lowrank-error.js'
import { isObject } from '../values.js'

const LONGEST_MESSAGE = 1000
/** Statuses after which calls that are the same when they come twice are sent again; 429 and 503 always are. */
const PASSING = [408, 500, 502, 504]
const ATTEMPTS = 4
const WAIT = 250

/**
 * An address without a slash at its end.
 * @throws OptionError for what is none, for one with a password, and for plain http beyond this machine
 */
export function readAddress(name: string, address: string): string {
  // Before anything shows it.
  if (address.includes('@'))
    throw new OptionError(`[hosted] expected an address without name and password for ${name}; give the key by itself`)
  const url = URL.canParse(address) ? new URL(address) : undefined
  const isLocal = url !== undefined && /^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(url.hostname)
  const isWeb = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLocal)
  if (!isWeb || /[?#]/.test(address))
    throw new OptionError(
      `[hosted] expected an https address (http on this machine alone) without ? and # for ${name}, got ${describeValue(address)}; ` +
        'correct it',
    )
  return address.replace(/\/+$/, '')
}

/** A client whose paths begin behind `base`. */
export function hostedRest(
  name: string,
  base: string,
  authorize: RestTarget['authorize'],
  headers: Readonly<Record<string, string>> = {},
): RestClient {
  return createRest({
    server: base,
    where: 'hosted',
    setting: ` and the address of ${name}`,
    headers,
    authorize,
    errorOf: (answer, { what }) => refusal(name, answer, what),
  })
}

/** Sends a call that does no harm when it comes twice, and again where a server fails for a moment. */
export async function patiently<T>(signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      const isPassing = error instanceof ServiceError && PASSING.includes(error.status ?? 0)
      if (!isPassing || attempt >= ATTEMPTS) throw error
      await pause(attempt * WAIT, signal)
    }
  }
}

/** What a call gives, or undefined where the service says that there is no such thing. */
export async function unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    if (error instanceof ServiceError && error.status === 404) return undefined
    throw error
  }
}

function refusal(name: string, { status, headers, text }: RefusedAnswer, what: string): ServiceError {
  const { code, message } = readError(text)
  const said = message === '' ? '' : `: ${message.slice(0, LONGEST_MESSAGE)}`
  const shownCode = code === undefined ? '' : ` (${code})`
  return new ServiceError(
    `[hosted] expected ${name} to serve ${what}, got HTTP ${status}${shownCode}${said}; ${remedyOf(status)}`,
    {
      status,
      errorCode: code,
      requestId: headers.get('x-request-id') ?? headers.get('apim-request-id') ?? undefined,
    },
  )
}

/** Errors of OpenAI, of Azure, of Google and of OAuth. */
function readError(text: string): { readonly code: string | undefined; readonly message: string } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { code: undefined, message: /^\s*</.test(text) ? 'a page of HTML' : text.trim() }
  }
  const first = Array.isArray(json) ? json[0] : json
  const error = isObject(first) ? first.error : undefined
  if (isObject(error)) {
    const code = [error.status, error.code, error.type].find((value) => typeof value === 'string' && value !== '')
    return { code: code as string | undefined, message: typeof error.message === 'string' ? error.message : '' }
  }
  if (isObject(first) && typeof error === 'string')
    return { code: error, message: typeof first.error_description === 'string' ? first.error_description : '' }
  return { code: undefined, message: '' }
}

function remedyOf(status: number): string {
  if (status === 401) return 'check the key or the credentials'
  if (status === 403) return 'check what the credentials are permitted to do'
  if (status === 404) return 'check the name and the address'
  if (status === 429) return 'wait, or ask for a larger quota'
  if (status >= 500) return 'try again later'
  return 'correct what was asked for'
}
