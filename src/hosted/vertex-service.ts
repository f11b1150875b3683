/**
 * @file Fine-tuning of Gemini and open models by Vertex AI: rows in Cloud Storage, tuning jobs, tuned endpoints.
 * https://cloud.google.com/vertex-ai/docs/reference/rest has the fields.
 */

import { pause } from '../http/patience.js'
import type { RestClient } from '../http/rest.js'
import { ServiceError } from '../http/service-error.js'
import { OptionError } from '../lowrank-error.js'
import { isObject } from '../values.js'
import { fileBody } from './multipart.js'
import { patiently, unlessMissing } from './requests.js'
import type { HostedCheckpoint, HostedJob, HostedService, HostedStatus, JobRequest } from './service.js'

type Fields = Record<string, unknown>
type Signal = AbortSignal | undefined

const STATUSES: Readonly<Record<string, HostedStatus>> = {
  JOB_STATE_QUEUED: 'queued',
  JOB_STATE_PENDING: 'queued',
  JOB_STATE_RUNNING: 'running',
  JOB_STATE_CANCELLING: 'running',
  JOB_STATE_UPDATING: 'running',
  JOB_STATE_PAUSED: 'paused',
  JOB_STATE_SUCCEEDED: 'succeeded',
  JOB_STATE_PARTIALLY_SUCCEEDED: 'succeeded',
  JOB_STATE_FAILED: 'failed',
  JOB_STATE_EXPIRED: 'failed',
  JOB_STATE_CANCELLED: 'cancelled',
}

const ADAPTER_SIZES: Readonly<Record<number, string>> = {
  1: 'ADAPTER_SIZE_ONE',
  2: 'ADAPTER_SIZE_TWO',
  4: 'ADAPTER_SIZE_FOUR',
  8: 'ADAPTER_SIZE_EIGHT',
  16: 'ADAPTER_SIZE_SIXTEEN',
  32: 'ADAPTER_SIZE_THIRTY_TWO',
}

/** The label that names a run of lowrank. */
const LABEL = 'lowrank_run'
const OPERATION_WAIT = 1000
const OPERATION_TRIES = 300

/** Where the things of Vertex AI are. */
export interface VertexPlace {
  readonly project: string
  readonly location: string
  /** `gs://bucket/folder`; undefined: none was named. */
  readonly bucket: string | undefined
  /** Milliseconds between two questions about an operation. @default 1000 */
  readonly pollInterval?: number
}

export function vertexService(rest: RestClient, storage: RestClient, place: VertexPlace): HostedService {
  const parent = `/v1/projects/${encodeURIComponent(place.project)}/locations/${encodeURIComponent(place.location)}`
  const get = (
    path: string,
    what: string,
    signal: Signal,
    query: Readonly<Record<string, string>> = {},
  ): Promise<Fields> => patiently(signal, () => rest.json<Fields>({ path, what, query, signal }))
  const readJob = async (id: string, signal: Signal): Promise<Fields> =>
    await get(`/v1/${id}`, `the tuning job ${id}`, signal)
  const stat = (uri: string, signal: Signal): Promise<Fields | undefined> => {
    const { path } = objectOf(uri)
    return unlessMissing(patiently(signal, () => storage.json<Fields>({ path, what: `the object ${uri}`, signal })))
  }

  return {
    provider: 'vertex',
    server: rest.server,
    async findFile({ name, bytes }, signal) {
      const uri = uriOf(place.bucket, name)
      const found = await stat(uri, signal)
      return found !== undefined && Number(found.size) === bytes ? uri : undefined
    },
    async upload(file, signal) {
      const uri = uriOf(place.bucket, file.name)
      const { bucket, name } = objectOf(uri)
      // The name has the digest of the rows: the same once more is the same object.
      await patiently(signal, () =>
        storage.json({
          method: 'POST',
          path: `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`,
          query: { uploadType: 'media', name },
          what: `the upload of ${uri}`,
          headers: { 'content-type': 'application/jsonl' },
          body: fileBody(file),
          isRepeatable: true,
          signal,
        }),
      )
      return uri
    },
    async isProcessed(id, signal) {
      if ((await stat(id, signal)) !== undefined) return true
      throw new ServiceError(
        `[hosted] expected the object ${id}, got none; upload the rows again with another outputDir`,
      )
    },
    async findJob({ runId }, signal) {
      const filter = `labels.${LABEL}=${runId}`
      for (let pageToken: string | undefined; ; ) {
        const query = { filter, ...(pageToken !== undefined && { pageToken }) }
        const page = await get(`${parent}/tuningJobs`, 'the list of tuning jobs', signal, query)
        const jobs = (Array.isArray(page.tuningJobs) ? page.tuningJobs : []).filter(isObject)
        const job = jobs.find(({ labels }) => isObject(labels) && labels[LABEL] === runId)
        if (job !== undefined) return jobOf(job)
        if (typeof page.nextPageToken !== 'string' || page.nextPageToken === '' || page.nextPageToken === pageToken)
          return undefined
        pageToken = page.nextPageToken
      }
    },
    async createJob(request, signal) {
      const job = await rest.json<Fields>({
        method: 'POST',
        path: `${parent}/tuningJobs`,
        what: `the tuning of ${request.model}`,
        json: jobBody(request),
        isRepeatable: false,
        signal,
      })
      return jobOf(job)
    },
    job: async (id, signal) => jobOf(await readJob(id, signal)),
    events: async () => [],
    async checkpoints(id, signal) {
      const { tunedModel } = await readJob(id, signal)
      const list = isObject(tunedModel) && Array.isArray(tunedModel.checkpoints) ? tunedModel.checkpoints : []
      return list.filter(isObject).map(
        ({ checkpointId, step, epoch, endpoint }): HostedCheckpoint => ({
          id: String(checkpointId ?? ''),
          step: step === undefined ? undefined : Number(step),
          model: typeof endpoint === 'string' ? endpoint : '',
          figures: epoch === undefined ? {} : { epoch: Number(epoch) },
        }),
      )
    },
    async cancel(id, signal) {
      const call = {
        method: 'POST',
        path: `/v1/${id}:cancel`,
        what: `the cancelling of ${id}`,
        json: {},
        isRepeatable: true,
        signal,
      } as const
      try {
        await patiently(signal, () => rest.json(call))
      } catch (error) {
        // A job that has ended refuses to be cancelled.
        const job = error instanceof ServiceError && error.status === 400 ? jobOf(await readJob(id, signal)) : undefined
        if (job === undefined || !['succeeded', 'failed', 'cancelled'].includes(job.status)) throw error
      }
      return jobOf(await readJob(id, signal))
    },
    async chat({ model, messages, maxTokens, temperature, seed }, signal) {
      const target = model.startsWith('projects/')
        ? `/v1/${model}`
        : `${parent}/publishers/google/models/${encodeURIComponent(model)}`
      const system = messages.filter(({ role }) => role === 'system').map(({ content }) => ({ text: content }))
      const json = {
        ...(system.length > 0 && { systemInstruction: { parts: system } }),
        contents: messages
          .filter(({ role }) => role !== 'system')
          .map(({ role, content }) => ({ role: role === 'assistant' ? 'model' : 'user', parts: [{ text: content }] })),
        generationConfig: {
          maxOutputTokens: maxTokens,
          ...(temperature !== undefined && { temperature }),
          ...(seed !== undefined && { seed }),
        },
      }
      const call = {
        method: 'POST',
        path: `${target}:generateContent`,
        what: `an answer of ${model}`,
        json,
        isRepeatable: true,
        signal,
      } as const
      return replyOf(await patiently(signal, () => rest.json<Fields>(call)), model)
    },
    async deleteFile(id, signal) {
      const { path } = objectOf(id)
      const call = { method: 'DELETE', path, what: `the deletion of ${id}`, signal } as const
      return (await unlessMissing(patiently(signal, () => storage.json<Fields>(call)))) !== undefined
    },
    async deleteModel({ model, endpoint }, signal) {
      let isThere = false
      if (endpoint !== undefined) {
        const found = await unlessMissing(get(`/v1/${endpoint}`, `the endpoint ${endpoint}`, signal))
        const deployed = Array.isArray(found?.deployedModels) ? found.deployedModels.filter(isObject) : []
        for (const { id } of deployed)
          await operate(
            { method: 'POST', path: `/v1/${endpoint}:undeployModel`, json: { deployedModelId: id } },
            `what ${endpoint} serves`,
            signal,
          )
        if (found !== undefined)
          isThere =
            (await operate({ method: 'DELETE', path: `/v1/${endpoint}` }, `the deletion of ${endpoint}`, signal)) ||
            isThere
      }
      if (model !== undefined) {
        const path = `/v1/${model.replace(/@[^/]*$/, '')}`
        isThere = (await operate({ method: 'DELETE', path }, `the deletion of ${model}`, signal)) || isThere
      }
      return isThere
    },
  }

  /** Sends what begins an operation, and waits for its end. @returns whether there was something */
  async function operate(
    call: { readonly method: 'POST' | 'DELETE'; readonly path: string; readonly json?: object },
    what: string,
    signal: Signal,
  ): Promise<boolean> {
    let operation = await unlessMissing(
      patiently(signal, () => rest.json<Fields>({ ...call, what, isRepeatable: true, signal })),
    )
    if (operation === undefined) return false
    for (let attempt = 0; operation.done !== true; attempt++) {
      if (attempt >= OPERATION_TRIES || typeof operation.name !== 'string')
        throw new ServiceError(
          `[hosted] expected ${what} to end, got an operation that goes on; look at it in the console`,
        )
      await pause(place.pollInterval ?? OPERATION_WAIT, signal)
      operation = await get(`/v1/${operation.name}`, what, signal)
    }
    const { error } = operation
    if (isObject(error))
      throw new ServiceError(
        `[hosted] expected Vertex AI to do ${what}, got: ${String(error.message ?? '')}; correct it, and try again`,
      )
    return true
  }
}

/** `gs://bucket/folder/name`. @throws OptionError where no bucket is named */
function uriOf(bucket: string | undefined, name: string): string {
  if (bucket !== undefined && /^gs:\/\/[^/]+/.test(bucket)) return `${bucket.replace(/\/+$/, '')}/${name}`
  throw new OptionError(
    `[hosted] expected gs://bucket/folder for bucket, got ${bucket === undefined ? 'nothing' : JSON.stringify(bucket)}; Vertex AI reads rows ` +
      'from Cloud Storage: name a bucket, or set LOWRANK_VERTEX_BUCKET',
  )
}

function objectOf(uri: string): { readonly bucket: string; readonly name: string; readonly path: string } {
  const [, bucket = '', name = ''] = /^gs:\/\/([^/]+)\/(.*)$/.exec(uri) ?? []
  return { bucket, name, path: `/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(name)}` }
}

function jobBody(request: JobRequest): Fields {
  const { nEpochs, learningRateMultiplier, adapterSize } = request.hyperparameters
  const hyperParameters = {
    ...(nEpochs !== undefined && { epochCount: String(nEpochs) }),
    ...(learningRateMultiplier !== undefined && { learningRateMultiplier }),
    ...(adapterSize !== undefined && { adapterSize: ADAPTER_SIZES[adapterSize] }),
  }
  return {
    baseModel: request.model,
    supervisedTuningSpec: {
      trainingDatasetUri: request.trainingFile,
      ...(request.validationFile !== undefined && { validationDatasetUri: request.validationFile }),
      ...(Object.keys(hyperParameters).length > 0 && { hyperParameters }),
    },
    tunedModelDisplayName: request.suffix ?? `lowrank-${request.runId}`,
    labels: { [LABEL]: request.runId },
  }
}

function jobOf(job: Fields): HostedJob {
  const { name, state, tunedModel, error, tuningDataStats } = job
  if (typeof name !== 'string' || name === '')
    throw new ServiceError(
      '[hosted] expected the name of a tuning job from Vertex AI, got an answer without it; check the address',
    )
  const tuned = isObject(tunedModel) ? tunedModel : {}
  const supervised = isObject(tuningDataStats) ? tuningDataStats.supervisedTuningDataStats : undefined
  const tokens = isObject(supervised) ? Number(supervised.totalBillableTokenCount) : Number.NaN
  const serviceStatus = typeof state === 'string' ? state : 'JOB_STATE_UNSPECIFIED'
  return {
    id: name,
    status: STATUSES[serviceStatus] ?? 'running',
    serviceStatus,
    model: typeof tuned.model === 'string' ? tuned.model : undefined,
    endpoint: typeof tuned.endpoint === 'string' ? tuned.endpoint : undefined,
    error: isObject(error) && typeof error.message === 'string' ? error.message : undefined,
    trainedTokens: Number.isFinite(tokens) ? tokens : undefined,
  }
}

function replyOf(json: Fields, model: string): Awaited<ReturnType<HostedService['chat']>> {
  const candidate: unknown = Array.isArray(json.candidates) ? json.candidates[0] : undefined
  if (!isObject(candidate)) {
    const blocked = isObject(json.promptFeedback) ? String(json.promptFeedback.blockReason ?? '') : ''
    throw new ServiceError(
      `[hosted] expected a candidate from ${model}, got none${blocked === '' ? '' : ` (blocked: ${blocked})`}; change the prompt`,
    )
  }
  const parts = isObject(candidate.content) && Array.isArray(candidate.content.parts) ? candidate.content.parts : []
  const usage = isObject(json.usageMetadata) ? json.usageMetadata : {}
  const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)
  return {
    content: parts
      .map((part: unknown) =>
        isObject(part) && typeof part.text === 'string' && part.thought !== true ? part.text : '',
      )
      .join(''),
    finishReason: typeof candidate.finishReason === 'string' ? candidate.finishReason.toLowerCase() : 'stop',
    promptTokens: numberOf(usage.promptTokenCount),
    completionTokens: numberOf(usage.candidatesTokenCount),
  }
}
