/** @file The public API of `lowrank/databricks`; re-exports alone. */
/// <reference types="node" preserve="true" />

export {
  connectDatabricks,
  type DatabricksClient,
  type DatabricksOptions,
} from './databricks/client/connect.js'
export type { RestBody } from './http/exchange.js'
export type { RestAnswer, RestCall, RestClient } from './http/rest.js'
export { ServiceError, type ServiceErrorDetails } from './http/service-error.js'
export { type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
