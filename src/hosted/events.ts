/** @file What hosted fine-tuning reports. Plain objects; warnings, the end and failures are those of training. */

import type { EndEvent, FailEvent, WarningEvent } from '../train/events.js'
import type { RowsSummary } from './rows.js'
import type { HostedStatus } from './service.js'

/** What the job will be paid by, before it starts. */
export interface HostedPlanEvent {
  readonly type: 'plan'
  readonly train: RowsSummary
  readonly validation: RowsSummary | null
  /** Passes through the rows; null: the service chooses. */
  readonly nEpochs: number | null
  /** Tokens of all passes; null where the service chooses their number. */
  readonly trainedTokens: number | null
  /** By `pricePerMillionTokens`; null where it or the number of passes is not known. */
  readonly cost: number | null
}

/** A file is at the service. */
export interface HostedUploadEvent {
  readonly type: 'upload'
  readonly split: 'train' | 'eval'
  readonly id: string
  readonly bytes: number
  /** An earlier run has uploaded it. */
  readonly isReused: boolean
}

/** The state of the job, of a file or of a deployment has changed. */
export interface HostedStatusEvent {
  readonly type: 'status'
  readonly of: 'file' | 'job' | 'deployment'
  readonly id: string
  readonly status: HostedStatus | 'processing' | 'creating'
  /** As the service names it. */
  readonly serviceStatus: string
}

/** A line of the job's log. */
export interface HostedMessageEvent {
  readonly type: 'message'
  readonly id: string
  readonly time: string
  readonly level: 'info' | 'warning' | 'error'
  readonly message: string
}

/** Figures of a step, by the names of the service: `train_loss`, `valid_loss`. */
export interface HostedFiguresEvent {
  readonly type: 'figures'
  readonly id: string
  readonly time: string
  readonly step: number
  readonly figures: Readonly<Record<string, number>>
}

/** A model that was kept during the job. */
export interface HostedCheckpointEvent {
  readonly type: 'checkpoint'
  readonly id: string
  readonly step: number | null
  readonly model: string
  readonly figures: Readonly<Record<string, number>>
}

export type HostedEvent =
  | WarningEvent
  | HostedPlanEvent
  | HostedUploadEvent
  | HostedStatusEvent
  | HostedMessageEvent
  | HostedFiguresEvent
  | HostedCheckpointEvent
  | EndEvent
  | FailEvent
