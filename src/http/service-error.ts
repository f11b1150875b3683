/** @file What a service with a REST interface did not do. Its words are those of the client of that service. */

import { type ErrorDetails, LowrankError } from '../lowrank-error.js'

/** What a service said of a request that it did not serve. */
export interface ServiceErrorDetails extends ErrorDetails {
  /**
   * The HTTP status.
   * @default undefined: there was no answer
   */
  readonly status?: number | undefined
  /**
   * The service's own name for what went wrong, such as `RESOURCE_DOES_NOT_EXIST`.
   * @default undefined: it gave none
   */
  readonly errorCode?: string | undefined
  /**
   * The number under which the service's own logs have the request.
   * @default undefined: it gave none
   */
  readonly requestId?: string | undefined
}

/** A request that Databricks, an MLflow server or the storage behind them did not serve. */
export class ServiceError extends LowrankError {
  /** The HTTP status; undefined where there was no answer. */
  readonly status: number | undefined
  /** The service's own name for what went wrong, such as `RESOURCE_DOES_NOT_EXIST`; undefined where it gave none. */
  readonly errorCode: string | undefined
  /** The number under which the service's own logs have the request; undefined where it gave none. */
  readonly requestId: string | undefined

  constructor(message: string, details: ServiceErrorDetails = {}) {
    super('SERVICE', message, details)
    this.name = 'ServiceError'
    this.status = details.status
    this.errorCode = details.errorCode
    this.requestId = details.requestId
  }
}
