/** @file What an endpoint did not give, and why, in words that say what to do. */

import { type ErrorDetails, LowrankError } from '../lowrank-error.js'

/** How a request to an endpoint failed. */
export type EndpointFailure =
  /** It was answered with a status that says no. */
  | 'status'
  /** It was not answered in time, or the connection failed. */
  | 'connection'
  /** It was answered with what is no reply of this interface. */
  | 'reply'
  /** It was not sent, since it might have passed the cap on cost. */
  | 'cost'

/** A request that an endpoint with OpenAI's interface did not serve. */
export class EndpointError extends LowrankError {
  /** How it failed. */
  readonly failure: EndpointFailure
  /** The HTTP status; undefined where there was none. */
  readonly status: number | undefined

  constructor(
    message: string,
    details: ErrorDetails & { readonly failure: EndpointFailure; readonly status?: number | undefined },
  ) {
    super('ENDPOINT', message, details)
    this.name = 'EndpointError'
    this.failure = details.failure
    this.status = details.status
  }
}
