/** @file What is done with a run once it was begun: look, cancel, deploy, ask, delete. */

import { OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import { openService } from './connect.js'
import type { ResolvedConnection } from './connect-options.js'
import { deployModel } from './deploy.js'
import { EventLog } from './event-log.js'
import { unlessMissing } from './requests.js'
import { HOSTED_RECORD } from './resources.js'
import {
  CHAT_HOSTED_OPTIONS,
  type ChatHostedOptions,
  DELETE_HOSTED_OPTIONS,
  DEPLOY_HOSTED_OPTIONS,
  type DeleteHostedOptions,
  type DeployHostedOptions,
  HOSTED_RUN_OPTIONS,
  type HostedRunOptions,
} from './run-options.js'
import { expectRecord, type RunRecord, writeRecord } from './run-record.js'
import type { HostedCheckpoint, HostedJob, HostedReply, HostedService } from './service.js'

/** How a run stands. */
export interface HostedRunStatus {
  readonly provider: string
  readonly server: string
  /** Null: the job was not made yet. */
  readonly job: HostedJob | null
  readonly checkpoints: readonly HostedCheckpoint[]
  /** Azure OpenAI: the deployment of the run. */
  readonly deployment: { readonly name: string; readonly status: string } | null
}

/** The run of a folder, and its service. */
export async function openRun(
  outputDir: string,
  secrets: { readonly apiKey?: string | undefined; readonly clientSecret?: string | undefined },
): Promise<{ readonly record: RunRecord; readonly service: HostedService }> {
  const record = await expectRecord(outputDir)
  const { apiKey, clientSecret } = secrets
  const service = await openService({ ...record.connection, apiKey, clientSecret } as unknown as ResolvedConnection)
  if (service.server !== record.server)
    throw new OptionError(
      `[hosted] expected the service of the run, ${record.server}, got ${service.server} from the environment; set the endpoint of the run`,
    )
  return { record, service }
}

/** How a run stands. @throws OptionError, ServiceError */
export async function hostedStatus(options: HostedRunOptions): Promise<HostedRunStatus> {
  const { outputDir, signal, ...secrets } = readOptions('hostedStatus', options, HOSTED_RUN_OPTIONS)
  const { record, service } = await openRun(outputDir, secrets)
  const { jobId, deployment } = record
  const job = jobId === undefined ? null : await service.job(jobId, signal)
  const checkpoints = jobId !== undefined && job?.status === 'succeeded' ? await service.checkpoints(jobId, signal) : []
  const state = deployment === undefined ? undefined : await service.deployments?.get(deployment, signal)
  return {
    provider: service.provider,
    server: service.server,
    job,
    checkpoints,
    deployment: deployment === undefined ? null : { name: deployment, status: state?.serviceStatus ?? 'absent' },
  }
}

/** Cancels the job of a run; one that has ended stays as it is. @throws OptionError, ServiceError */
export async function cancelHosted(options: HostedRunOptions): Promise<HostedJob> {
  const { outputDir, signal, ...secrets } = readOptions('cancelHosted', options, HOSTED_RUN_OPTIONS)
  const { record, service } = await openRun(outputDir, secrets)
  if (record.jobId === undefined) throw noModel(outputDir, 'a job')
  return await service.cancel(record.jobId, signal)
}

/**
 * Deploys the model of a run, where the service wants that.
 * @returns what `chatHosted` asks: the deployment, the endpoint or the model
 */
export async function deployHosted(options: DeployHostedOptions): Promise<string> {
  const read = readOptions('deployHosted', options, DEPLOY_HOSTED_OPTIONS)
  const { outputDir, signal } = read
  const { record, service } = await openRun(outputDir, read)
  const { model } = await modelOf(outputDir, record, service, signal)
  if (service.deployments === undefined) return record.endpoint ?? model
  const name = read.deployment ?? record.deployment ?? `lowrank-${record.runId}`
  const log = await EventLog.open(outputDir, read.onEvent)
  await deployModel(service, { ...read, name, model }, log)
  await writeRecord(outputDir, { ...(await expectRecord(outputDir)), deployment: name })
  return name
}

/** Asks the model of a run. @throws OptionError, ServiceError */
export async function chatHosted(options: ChatHostedOptions): Promise<HostedReply> {
  const read = readOptions('chatHosted', options, CHAT_HOSTED_OPTIONS)
  const { record, service } = await openRun(read.outputDir, read)
  const model = await targetOf(read.outputDir, read.model, record, service, read.signal)
  const { messages, maxTokens, temperature, seed } = read
  return await service.chat({ model, messages, maxTokens, temperature, seed }, read.signal)
}

/** What was deleted, and what was gone already. */
export interface DeletedThing {
  readonly kind: 'deployment' | 'model' | 'file'
  readonly id: string
  readonly outcome: 'removed' | 'absent'
}

/** Deletes what a run made at the service: deployment, tuned model, files. As often as one likes. */
export async function deleteHosted(options: DeleteHostedOptions): Promise<readonly DeletedThing[]> {
  const read = readOptions('deleteHosted', options, DELETE_HOSTED_OPTIONS)
  const { outputDir, signal, keepModel } = read
  const { record, service } = await openRun(outputDir, read)
  const { deployments, server } = service
  const deleted: DeletedThing[] = []
  const note = (kind: DeletedThing['kind'], id: string, wasThere: boolean): void => {
    deleted.push({ kind, id, outcome: wasThere ? 'removed' : 'absent' })
  }
  const job = record.jobId === undefined ? undefined : await unlessMissing(service.job(record.jobId, signal))
  // A job that goes on would need its files, and costs.
  if (job !== undefined && ['queued', 'running', 'paused'].includes(job.status)) await service.cancel(job.id, signal)
  if (record.deployment !== undefined && deployments !== undefined) {
    note('deployment', record.deployment, await deployments.delete(record.deployment, signal))
    await HOSTED_RECORD.gone(server, 'deployment', record.deployment)
  }
  const model = job?.model ?? record.model
  const endpoint = job?.endpoint ?? record.endpoint
  if (!keepModel && model !== undefined) {
    note('model', model, await service.deleteModel({ model, endpoint }, signal))
    await HOSTED_RECORD.gone(server, 'model', endpoint === undefined ? model : `${model} ${endpoint}`)
  }
  for (const file of [record.files.train, record.files.eval]) {
    if (file?.id === undefined) continue
    note('file', file.id, await service.deleteFile(file.id, signal))
    await HOSTED_RECORD.gone(server, 'file', file.id)
  }
  if (job !== undefined) await HOSTED_RECORD.gone(server, 'job', job.id)
  return deleted
}

/** What answers for a run. @throws OptionError where nothing does yet */
export async function targetOf(
  outputDir: string,
  given: string | undefined,
  record: RunRecord,
  service: HostedService,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (given !== undefined) return given
  if (service.deployments !== undefined) {
    if (record.deployment !== undefined) return record.deployment
    throw noModel(outputDir, 'a deployment (lowrank hosted deploy makes it)')
  }
  const { model, endpoint } = await modelOf(outputDir, record, service, signal)
  return endpoint ?? model
}

async function modelOf(
  outputDir: string,
  record: RunRecord,
  service: HostedService,
  signal: AbortSignal | undefined,
): Promise<{ readonly model: string; readonly endpoint: string | undefined }> {
  if (record.model !== undefined) return { model: record.model, endpoint: record.endpoint }
  const job = record.jobId === undefined ? undefined : await service.job(record.jobId, signal)
  if (job?.model === undefined)
    throw noModel(outputDir, `a tuned model${job ? ` (the job is ${job.serviceStatus})` : ''}`)
  return { model: job.model, endpoint: job.endpoint }
}

function noModel(outputDir: string, what: string): OptionError {
  return new OptionError(
    `[hosted] expected ${what} of the run in ${outputDir}, got none; run lowrank hosted train to its end`,
  )
}
