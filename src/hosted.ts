/** @file The public API of `lowrank/hosted`; re-exports alone. */
/// <reference types="node" preserve="true" />

export type { OnBadRow } from './data/bad-rows.js'
export type { DeltaTable } from './data/delta/delta-source.js'
export type { RowOrigin } from './data/row-origin.js'
export type { DatasetEntry, DatasetMix, PathOptions, PlainSource, RowSelection } from './data/sources/dataset-entry.js'
export type { StoppingStrategy } from './data/sources/mix-rows.js'
export type { DataSource } from './data/sources/open-source.js'
export type { IsWanted, ReadContext, RowBatch, RowSource, SourceLineage, SourceRow } from './data/sources/row-source.js'
export type { SqlQuery } from './data/sources/sql-source.js'
export type { HostedConnection, HostedProvider } from './hosted/connect-options.js'
export type {
  HostedCheckpointEvent,
  HostedEvent,
  HostedFiguresEvent,
  HostedMessageEvent,
  HostedPlanEvent,
  HostedStatusEvent,
  HostedUploadEvent,
} from './hosted/events.js'
export type { HostedDeployment, HostedWaiting, TrainHostedOptions } from './hosted/options.js'
export { type HostedPredictions, predictHosted } from './hosted/predict.js'
export type { RowsSummary } from './hosted/rows.js'
export type {
  ChatHostedOptions,
  DeleteHostedOptions,
  DeployHostedOptions,
  HostedAnswering,
  HostedRunOptions,
  PredictHostedOptions,
} from './hosted/run-options.js'
export type {
  HostedCheckpoint,
  HostedHyperparameters,
  HostedJob,
  HostedMessage,
  HostedReply,
  HostedStatus,
} from './hosted/service.js'
export { type HostedRun, trainHosted } from './hosted/train-hosted.js'
export {
  cancelHosted,
  chatHosted,
  type DeletedThing,
  deleteHosted,
  deployHosted,
  type HostedRunStatus,
  hostedStatus,
} from './hosted/verbs.js'
export { ServiceError, type ServiceErrorDetails } from './http/service-error.js'
export {
  DataError,
  type DataPlace,
  type ErrorCode,
  type ErrorDetails,
  LowrankError,
  OptionError,
  type OptionProblem,
} from './lowrank-error.js'
export type { BestEvaluation, EndEvent, FailEvent, Progress, WarningEvent } from './train/events.js'
export type { Steps, Turns } from './turns.js'
