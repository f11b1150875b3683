/** @file The public API of `lowrank/testing`; re-exports alone. */
/// <reference types="node" preserve="true" />

export { type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
export { duckdbExecutor } from './testing/duckdb-executor.js'
export {
  type ExecutedTable,
  FailedStatement,
  type ResultColumn,
  type StatementExecutor,
  type StatementResult,
  type StatementToExecute,
} from './testing/executor.js'
export { FAULTS, type Fault, type FaultRule } from './testing/faults.js'
export { startAzureOpenAi } from './testing/hosted/azure-openai.js'
export { type HostedServiceOptions, startOpenAi } from './testing/hosted/openai.js'
export type { LoopbackHosted } from './testing/hosted/server.js'
export { startVertex } from './testing/hosted/vertex.js'
export type {
  ObjectStorage,
  PresignedAccess,
  PresignedAddress,
  StoredObject,
  UploadedPart,
} from './testing/object-storage.js'
export type { RecordedRequest } from './testing/record.js'
export {
  expectFields,
  expectQuery,
  type FieldKind,
  type FieldKinds,
  invalid,
  missing,
  pageOf,
  RefusedRequest,
  type Route,
  type RouteAnswer,
  type RouteMethod,
  type RouteRequest,
} from './testing/route.js'
export type { OauthClient, StateKey, TokenHolder, WorkspaceState } from './testing/state.js'
export { type LoopbackWorkspace, startWorkspace, type WorkspaceOptions } from './testing/workspace.js'
