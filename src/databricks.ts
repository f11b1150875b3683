/** @file The public API of `lowrank/databricks`; re-exports alone. */
/// <reference types="node" preserve="true" />

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
export type { RestBody } from './http/exchange.js'
export type { RestAnswer, RestCall, RestClient } from './http/rest.js'
export { ServiceError, type ServiceErrorDetails } from './http/service-error.js'
export { type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
