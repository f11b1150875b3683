/** @file What a service that fine-tunes can be asked, the same for all of them. Each has a file of its own. */

import type { HostedProvider } from './connect-options.js'

/** States of a job, the same for all services. */
export type HostedStatus = 'queued' | 'running' | 'paused' | 'succeeded' | 'failed' | 'cancelled'

/** A job of a service. */
export interface HostedJob {
  readonly id: string
  readonly status: HostedStatus
  /** The state as the service names it. */
  readonly serviceStatus: string
  /** The tuned model; undefined: there is none yet. */
  readonly model: string | undefined
  /** Vertex AI: the endpoint that answers with the tuned model. */
  readonly endpoint: string | undefined
  /** Why it failed, in the service's words. */
  readonly error: string | undefined
  /** Tokens that it was or will be paid for; undefined: the service does not say. */
  readonly trainedTokens: number | undefined
}

/** A line of a job's log. */
export interface HostedJobEvent {
  readonly id: string
  /** ISO 8601. */
  readonly time: string
  readonly level: 'info' | 'warning' | 'error'
  readonly message: string
  /** Figures of a step; undefined: it is a message alone. */
  readonly step: number | undefined
  readonly figures: Readonly<Record<string, number>>
}

/** A model that was kept during a job. */
export interface HostedCheckpoint {
  readonly id: string
  readonly step: number | undefined
  /** What `chat` takes as the model, where the service serves it: the model's name, or an endpoint. */
  readonly model: string
  readonly figures: Readonly<Record<string, number>>
}

/** A file of rows on this machine, to be uploaded. */
export interface RowsFile {
  readonly path: string
  readonly bytes: number
  /** SHA-256, in hex. */
  readonly digest: string
  /** Its name at the service: it has the run and the digest, so that it is found again. */
  readonly name: string
}

/** Numbers that steer the training; what is left out is the service's to choose. */
export interface HostedHyperparameters {
  readonly nEpochs?: number
  readonly batchSize?: number
  readonly learningRateMultiplier?: number
  readonly adapterSize?: number
}

/** What a job is to do. */
export interface JobRequest {
  /** Names the run at the service where it takes labels. */
  readonly runId: string
  readonly model: string
  readonly trainingFile: string
  readonly validationFile: string | undefined
  readonly suffix: string | undefined
  readonly seed: number | undefined
  readonly hyperparameters: HostedHyperparameters
  readonly trainingType: string | undefined
}

/** How a model is deployed. */
export interface DeployRequest {
  readonly name: string
  readonly model: string
  readonly format: string
  readonly sku: string
  readonly capacity: number
  readonly version: string
}

/** How a deployment stands. */
export interface DeploymentState {
  readonly name: string
  readonly model: string
  readonly status: 'creating' | 'succeeded' | 'failed'
  readonly serviceStatus: string
  readonly error: string | undefined
}

/** A message of a conversation. */
export interface HostedMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

/** What is asked of a tuned model. */
export interface HostedChatRequest {
  /** A model, a deployment or an endpoint. */
  readonly model: string
  readonly messages: readonly HostedMessage[]
  readonly maxTokens: number
  readonly temperature: number | undefined
  readonly seed: number | undefined
}

/** What it answered. */
export interface HostedReply {
  readonly content: string
  readonly finishReason: string
  /** Undefined: the service does not say. */
  readonly promptTokens: number | undefined
  readonly completionTokens: number | undefined
}

type Signal = AbortSignal | undefined

/** A service. Every call may throw a ServiceError; a thing that is gone already is deleted without one. */
export interface HostedService {
  readonly provider: HostedProvider
  /** Origin of the service. */
  readonly server: string
  /** The file of this name, where it is there. @returns its id */
  findFile(file: RowsFile, signal: Signal): Promise<string | undefined>
  /** @returns its id */
  upload(file: RowsFile, signal: Signal): Promise<string>
  /** Whether the file can be used. @throws ServiceError where the service refuses it */
  isProcessed(id: string, signal: Signal): Promise<boolean>
  findJob(request: JobRequest, signal: Signal): Promise<HostedJob | undefined>
  createJob(request: JobRequest, signal: Signal): Promise<HostedJob>
  job(id: string, signal: Signal): Promise<HostedJob>
  /** Oldest first; empty where the service keeps none. */
  events(id: string, signal: Signal): Promise<readonly HostedJobEvent[]>
  checkpoints(id: string, signal: Signal): Promise<readonly HostedCheckpoint[]>
  cancel(id: string, signal: Signal): Promise<HostedJob>
  /** Undefined: tuned models of the service answer without a deployment. */
  readonly deployments?: {
    put(request: DeployRequest, signal: Signal): Promise<void>
    get(name: string, signal: Signal): Promise<DeploymentState | undefined>
    delete(name: string, signal: Signal): Promise<boolean>
  }
  chat(request: HostedChatRequest, signal: Signal): Promise<HostedReply>
  /** @returns whether it was there */
  deleteFile(id: string, signal: Signal): Promise<boolean>
  /** Deletes the tuned model, with what serves it. @returns whether it was there */
  deleteModel(job: Pick<HostedJob, 'model' | 'endpoint'>, signal: Signal): Promise<boolean>
}
