/** @file The public API of `lowrank/mlflow`; re-exports alone. */
/// <reference types="node" preserve="true" />

export { ServiceError, type ServiceErrorDetails } from './http/service-error.js'
export { type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
export type { ArtifactContent } from './mlflow/artifacts.js'
export { type MlflowCallback, mlflowCallback } from './mlflow/callback.js'
export type { RunState } from './mlflow/calls.js'
export type { LoggedModel, Metric, MlflowRun, RunStatus, Texts, TrackingCalls } from './mlflow/client.js'
export type { FailedCall } from './mlflow/journal.js'
export type { DatasetInput } from './mlflow/lineage.js'
export type { PackTask } from './mlflow/model/signature.js'
export { writeModelDirectory } from './mlflow/model/write-directory.js'
export {
  type ModelDirectory,
  type ModelFile,
  type PackOptions,
  packAdapter,
  packModel,
} from './mlflow/model-directory.js'
export { type ConnectMlflowOptions, connectMlflow, type MlflowServer } from './mlflow/open.js'
export type { MlflowOptions } from './mlflow/options.js'
export { type SyncedJournal, type SyncMlflowOptions, type SyncProgress, syncMlflow } from './mlflow/sync.js'
