/** @file A request that is not answered, in the form that OpenAI's clients know: status, type, parameter and code. */

import { LowrankError } from '../lowrank-error.js'
import { toError } from '../values.js'

/** What an error may say besides its message. */
interface ApiErrorDetails {
  /** The field of the request that it is about: `messages[2].content`. */
  readonly param?: string
  /** A word that programs know. */
  readonly code?: string
  /** Headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>
  readonly cause?: unknown
}

/** Thrown where a request is read or answered; it becomes the answer. */
export class ApiError extends Error {
  readonly status: number
  readonly type: string
  readonly param: string | undefined
  readonly code: string | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, type: string, message: string, details: ApiErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.name = 'ApiError'
    this.status = status
    this.type = type
    this.param = details.param
    this.code = details.code
    this.headers = details.headers ?? {}
  }

  /** The body of the answer. */
  get body(): { readonly error: Readonly<Record<string, string | null>> } {
    const { message, type, param = null, code = null } = this
    return { error: { message, type, param, code } }
  }
}

/** The error for a request that says something wrong. */
export function badRequest(message: string, param?: string, code?: string): ApiError {
  return new ApiError(400, 'invalid_request_error', message, { param, code } as ApiErrorDetails)
}

/** Seconds after which a full server is worth asking again. */
const RETRY_SECONDS = '1'

/** The error for a request that more requests came before than may wait. */
export function tooManyRequests(message: string): ApiError {
  const headers = { 'retry-after': RETRY_SECONDS }
  return new ApiError(429, 'rate_limit_error', message, { code: 'rate_limit_exceeded', headers })
}

/** The error for a server that is about to end. */
export function isEnding(): ApiError {
  const headers = { 'retry-after': RETRY_SECONDS, connection: 'close' }
  return new ApiError(503, 'server_error', 'The server is shutting down.', { code: 'server_shutting_down', headers })
}

/** What an engine throws at a request that it is given: what is wrong with it is the request's. */
export function refusedByEngine(thrown: unknown): ApiError {
  if (thrown instanceof LowrankError && thrown.code === 'INVALID_OPTION')
    return new ApiError(400, 'invalid_request_error', thrown.message, { cause: thrown })
  return toApiError(thrown)
}

/** What was thrown while a request was read or answered, as the answer to it. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown
  const cause = thrown
  if (thrown instanceof LowrankError) {
    const { code, message } = thrown
    if (code === 'BUSY') return tooManyRequests(message)
    if (code === 'OUT_OF_MEMORY') {
      const headers = { 'retry-after': RETRY_SECONDS }
      const says = 'The server has no memory for this request at present; ask again later, or ask for less.'
      return new ApiError(503, 'server_error', says, { code: 'out_of_memory', headers, cause })
    }
  }
  if (toError(thrown).name === 'AbortError')
    return new ApiError(499, 'client_closed_request', 'The client went away.', { cause })
  // What failed inside may name files of this machine: the log says it.
  return new ApiError(500, 'server_error', 'The server failed at this request; its log says why.', { cause })
}
