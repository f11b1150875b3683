/** @file The public API of `lowrank/databricks`; re-exports alone. */
/// <reference types="node" preserve="true" />

export type { OnBadRow } from './data/bad-rows.js'
export type { DeltaTable } from './data/delta/delta-source.js'
export type { RowOrigin } from './data/row-origin.js'
export type { DatasetEntry, DatasetMix, PathOptions, PlainSource, RowSelection } from './data/sources/dataset-entry.js'
export type { StoppingStrategy } from './data/sources/mix-rows.js'
export type { DataSource } from './data/sources/open-source.js'
export type { IsWanted, ReadContext, RowBatch, RowSource, SourceLineage, SourceRow } from './data/sources/row-source.js'
export type { SqlQuery } from './data/sources/sql-source.js'
export { type CleanedResource, type CleanOptions, clean } from './databricks/clean.js'
export {
  connectDatabricks,
  type DatabricksClient,
  type DatabricksOptions,
} from './databricks/client/connect.js'
export {
  type CurrentUser,
  type CurrentUserOptions,
  currentUser,
} from './databricks/client/current-user.js'
export type { DirectoryEntry, TransferEvent } from './databricks/client/files/entries.js'
export {
  abortUploads,
  createDirectory,
  type DownloadFileResult,
  deleteDirectory,
  deleteFile,
  downloadFile,
  getMetadata,
  listDirectory,
  streamFile,
  type UploadFileResult,
  uploadFile,
} from './databricks/client/files/files.js'
export type {
  DirectoryOptions,
  DownloadFileOptions,
  FileOptions,
  SyncComparison,
  SyncDirectoryOptions,
  UploadFileOptions,
} from './databricks/client/files/options.js'
export { syncDirectory } from './databricks/client/files/sync.js'
export type { SyncEvent, SyncResult } from './databricks/client/files/sync-events.js'
export type { UploadSource } from './databricks/client/files/upload-source.js'
export type { WorkspaceFormat } from './databricks/client/files/workspace-files.js'
export { type PulledModel, pullAdapter, pullModel } from './databricks/client/models/pull.js'
export type { PullEvent, PullOptions } from './databricks/client/models/pull-options.js'
export { type ReadTableOptions, readTable, type TableRows } from './databricks/client/read-table.js'
export {
  identifier,
  literal,
  type QuotedSql,
  type SqlParameter,
  type SqlStatement,
  type SqlValue,
  sql,
  statementOf,
  type TypedValue,
  typed,
} from './databricks/client/sql.js'
export type { StatementEvent, StatementOptions, WarehouseOptions } from './databricks/client/statement-options.js'
export type { RecordBatch, ResultColumn, StatementResult } from './databricks/client/statement-result.js'
export { executeStatement } from './databricks/client/statements.js'
export {
  type CatalogInfo,
  type CatalogOptions,
  type CreateOptions,
  createCatalog,
  createSchema,
  createVolume,
  deleteCatalog,
  deleteSchema,
  deleteTable,
  deleteVolume,
  getCatalog,
  getSchema,
  getTable,
  getVolume,
  listCatalogs,
  listSchemas,
  listTables,
  listVolumes,
  type SchemaInfo,
  type TableColumn,
  type TableInfo,
  type VolumeInfo,
} from './databricks/client/unity-catalog.js'
export type { ClusterSpec } from './databricks/cluster-spec.js'
export {
  type Cluster,
  createCluster,
  deleteCluster,
  getCluster,
  installLibraries,
  type Library,
  listClusters,
  startCluster,
  terminateCluster,
  waitForCluster,
} from './databricks/clusters.js'
export {
  cancelRun,
  getRun,
  getRunOutput,
  type JobRun,
  type RunSubmission,
  type RunTask,
  submitRun,
  waitForRun,
} from './databricks/jobs.js'
export type { ResourceOptions, StartOptions, WaitOptions } from './databricks/options.js'
export type { PushDatasetOptions, PushEvent, PushedTable } from './databricks/push/options.js'
export { pushDataset } from './databricks/push/push-dataset.js'
export { pushAdapter, pushModel } from './databricks/registry/push.js'
export type {
  MergeEvent,
  PushAdapterOptions,
  PushModelEvent,
  PushModelOptions,
  UploadEvent,
} from './databricks/registry/push-options.js'
export type { RegisteredVersion } from './databricks/registry/register-version.js'
export { listResources, type Resource, type ResourceKind } from './databricks/resources.js'
export type { ServedEntity } from './databricks/served-entity.js'
export {
  createEndpoint,
  deleteEndpoint,
  getEndpoint,
  listEndpoints,
  queryEndpoint,
  type ServingEndpoint,
  updateEndpoint,
  waitForEndpoint,
} from './databricks/serving.js'
export type { AcceleratorType, TrainingOptions, TrainingWaitOptions } from './databricks/training/options.js'
export {
  type EndedTraining,
  submitTraining,
  type TrainingParts,
  type TrainingRun,
  trainingSubmission,
  waitForTraining,
} from './databricks/training/training.js'
export {
  getWarehouse,
  listWarehouses,
  startWarehouse,
  stopWarehouse,
  type Warehouse,
  waitForWarehouse,
} from './databricks/warehouses.js'
export type { RestBody } from './http/exchange.js'
export type { RestAnswer, RestCall, RestClient } from './http/rest.js'
export { ServiceError, type ServiceErrorDetails } from './http/service-error.js'
export { DataError, type DataPlace, type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
export type { PackOptions } from './mlflow/model/pack-options.js'
export type { PackTask } from './mlflow/model/signature.js'
export type { Steps, Turns } from './turns.js'
