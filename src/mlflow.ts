/** @file The public API of `lowrank/mlflow`; re-exports alone. */
/// <reference types="node" preserve="true" />

export { ServiceError, type ServiceErrorDetails } from './http/service-error.js'
export { type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
