/**
 * @file Fine-tuning by OpenAI's API, by servers that speak it, and by the v1 routes of Azure OpenAI.
 * https://github.com/openai/openai-openapi has the fields.
 */

import type { RestClient } from '../http/rest.js'
import { ServiceError } from '../http/service-error.js'
import { isObject } from '../values.js'
import { formBody } from './multipart.js'
import { patiently, unlessMissing } from './requests.js'
import type {
  HostedCheckpoint,
  HostedJob,
  HostedJobEvent,
  HostedReply,
  HostedService,
  HostedStatus,
  JobRequest,
} from './service.js'

type Fields = Record<string, unknown>
type Signal = AbortSignal | undefined

const STATUSES: Readonly<Record<string, HostedStatus>> = {
  created: 'queued',
  pending: 'queued',
  validating_files: 'queued',
  queued: 'queued',
  running: 'running',
  pausing: 'running',
  resuming: 'running',
  paused: 'paused',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
  canceled: 'cancelled',
}

const PAGE = 100
/** The version of Azure OpenAI whose jobs take a training type. */
const PREVIEW = '2025-04-01-preview'

/** What Azure OpenAI has besides. */
export interface AzureParts {
  /** A client of the resource, for paths that are none of v1. */
  readonly resource: RestClient
  readonly deployments: HostedService['deployments']
}

/** @param azure Undefined: OpenAI's API, or a server that speaks it. */
export function openaiService(rest: RestClient, azure?: AzureParts): HostedService {
  const get = (
    path: string,
    what: string,
    signal: Signal,
    query: Readonly<Record<string, string | number>> = {},
  ): Promise<Fields> => patiently(signal, () => rest.json<Fields>({ path, what, query, signal }))
  const readJob = async (id: string, signal: Signal): Promise<HostedJob> =>
    jobOf(await get(`/fine_tuning/jobs/${encodeURIComponent(id)}`, `the fine-tuning job ${id}`, signal))

  /** The items of all pages, the newest first. */
  async function* list(
    path: string,
    what: string,
    signal: Signal,
    query: Readonly<Record<string, string>> = {},
  ): AsyncGenerator<Fields> {
    const asked = new Set<string>()
    for (let after: string | undefined; ; ) {
      const page = await get(path, what, signal, { ...query, limit: PAGE, ...(after !== undefined && { after }) })
      const items = (Array.isArray(page.data) ? page.data : []).filter(isObject)
      yield* items
      const last = items.at(-1)?.id
      if (page.has_more !== true || typeof last !== 'string') return
      if (asked.has(last))
        throw new ServiceError(
          `[hosted] expected a further page of ${what}, got the same again; report it to the service`,
        )
      asked.add(last)
      after = last
    }
  }

  return {
    provider: azure ? 'azure' : 'openai',
    server: rest.server,
    async findFile({ name, bytes }, signal) {
      for await (const file of list('/files', 'the list of files', signal, { purpose: 'fine-tune' }))
        if (file.filename === name && (file.bytes === undefined || file.bytes === bytes) && file.status !== 'error')
          return textOf(file, 'id', 'the list of files')
      return undefined
    },
    async upload(file, signal) {
      const { body, type } = formBody({ purpose: 'fine-tune' }, file)
      const made = await rest.json<Fields>({
        method: 'POST',
        path: '/files',
        what: `the upload of ${file.name}`,
        headers: { 'content-type': type },
        body,
        isRepeatable: false,
        signal,
      })
      return textOf(made, 'id', 'the upload')
    },
    async isProcessed(id, signal) {
      const { status, status_details: details } = await get(
        `/files/${encodeURIComponent(id)}`,
        `the file ${id}`,
        signal,
      )
      if (status === 'error' || status === 'deleted' || status === 'deleting')
        throw new ServiceError(
          `[hosted] expected the file ${id} to be processed, got status ${status}${typeof details === 'string' ? `: ${details}` : ''}; ` +
            'correct the rows',
        )
      return status === 'processed'
    },
    async findJob(request, signal) {
      for await (const job of list('/fine_tuning/jobs', 'the list of fine-tuning jobs', signal))
        if (job.training_file === request.trainingFile) return jobOf(job)
      return undefined
    },
    async createJob(request, signal) {
      const preview = request.trainingType === undefined ? undefined : azure?.resource
      const job = await (preview ?? rest).json<Fields>({
        method: 'POST',
        path: preview ? '/openai/fine_tuning/jobs' : '/fine_tuning/jobs',
        ...(preview && { query: { 'api-version': PREVIEW } }),
        what: `the fine-tuning of ${request.model}`,
        json: jobBody(request, azure !== undefined),
        isRepeatable: false,
        signal,
      })
      return jobOf(job)
    },
    job: readJob,
    async events(id, signal) {
      const events: HostedJobEvent[] = []
      const path = `/fine_tuning/jobs/${encodeURIComponent(id)}/events`
      for await (const event of list(path, `the events of ${id}`, signal)) events.push(eventOf(event))
      // Services list the newest first, and now and then out of order.
      return events.reverse().sort((a, b) => a.time.localeCompare(b.time) || (a.step ?? -1) - (b.step ?? -1))
    },
    async checkpoints(id, signal) {
      const checkpoints: HostedCheckpoint[] = []
      const path = `/fine_tuning/jobs/${encodeURIComponent(id)}/checkpoints`
      for await (const checkpoint of list(path, `the checkpoints of ${id}`, signal)) {
        const { fine_tuned_model_checkpoint: model, step_number: step, metrics } = checkpoint
        checkpoints.push({
          id: textOf(checkpoint, 'id', 'a checkpoint'),
          model: String(model ?? ''),
          step: numberOf(step),
          figures: figuresOf(metrics),
        })
      }
      return checkpoints.reverse().sort((a, b) => (a.step ?? 0) - (b.step ?? 0))
    },
    async cancel(id, signal) {
      const path = `/fine_tuning/jobs/${encodeURIComponent(id)}/cancel`
      try {
        const call = { method: 'POST', path, what: `the cancelling of ${id}`, isRepeatable: true, signal } as const
        return jobOf(await patiently(signal, () => rest.json<Fields>(call)))
      } catch (error) {
        // A job that has ended refuses to be cancelled.
        const job = error instanceof ServiceError && error.status === 400 ? await readJob(id, signal) : undefined
        if (job !== undefined && ['succeeded', 'failed', 'cancelled'].includes(job.status)) return job
        throw error
      }
    },
    ...(azure?.deployments && { deployments: azure.deployments }),
    async chat({ model, messages, maxTokens, temperature, seed }, signal) {
      const json = {
        model,
        messages,
        max_completion_tokens: maxTokens,
        ...(temperature !== undefined && { temperature }),
        ...(seed !== undefined && { seed }),
      }
      const call = {
        method: 'POST',
        path: '/chat/completions',
        what: `an answer of ${model}`,
        json,
        isRepeatable: true,
        signal,
      } as const
      return replyOf(await patiently(signal, () => rest.json<Fields>(call)), model)
    },
    deleteFile: (id, signal) => remove(`/files/${encodeURIComponent(id)}`, `the deletion of ${id}`, signal),
    deleteModel: async ({ model }, signal) =>
      model !== undefined && (await remove(`/models/${encodeURIComponent(model)}`, `the deletion of ${model}`, signal)),
  }

  async function remove(path: string, what: string, signal: Signal): Promise<boolean> {
    const call = { method: 'DELETE', path, what, signal } as const
    return (await unlessMissing(patiently(signal, () => rest.json<Fields>(call)))) !== undefined
  }
}

function jobBody(request: JobRequest, isAzure: boolean): Fields {
  const { nEpochs, batchSize, learningRateMultiplier } = request.hyperparameters
  const hyperparameters = {
    ...(nEpochs !== undefined && { n_epochs: nEpochs }),
    ...(batchSize !== undefined && { batch_size: batchSize }),
    ...(learningRateMultiplier !== undefined && { learning_rate_multiplier: learningRateMultiplier }),
  }
  return {
    model: request.model,
    training_file: request.trainingFile,
    ...(request.validationFile !== undefined && { validation_file: request.validationFile }),
    ...(request.suffix !== undefined && { suffix: request.suffix }),
    ...(request.seed !== undefined && { seed: request.seed }),
    method: {
      type: 'supervised',
      supervised: Object.keys(hyperparameters).length > 0 ? { hyperparameters } : {},
    },
    ...(request.trainingType !== undefined && { trainingType: request.trainingType }),
    ...(!isAzure && { metadata: { lowrank_run: request.runId } }),
  }
}

function jobOf(job: Fields): HostedJob {
  const serviceStatus = textOf(job, 'status', 'a fine-tuning job')
  const { fine_tuned_model: model, error, trained_tokens: tokens } = job
  const message =
    isObject(error) && typeof error.message === 'string' && error.message !== '' ? error.message : undefined
  const code = isObject(error) && typeof error.code === 'string' ? `${error.code}: ` : ''
  return {
    id: textOf(job, 'id', 'a fine-tuning job'),
    // A state that is not known yet is none that ends a job.
    status: STATUSES[serviceStatus.toLowerCase()] ?? 'running',
    serviceStatus,
    model: typeof model === 'string' && model !== '' ? model : undefined,
    endpoint: undefined,
    error: message === undefined ? undefined : `${code}${message}`,
    trainedTokens: numberOf(tokens),
  }
}

function eventOf(event: Fields): HostedJobEvent {
  const { created_at: created, level, message, data } = event
  const figures = figuresOf(data)
  const { step, ...others } = figures
  return {
    id: textOf(event, 'id', 'an event'),
    time: new Date((numberOf(created) ?? 0) * 1000).toISOString(),
    level:
      level === 'error' || level === 'warn' || level === 'warning' ? (level === 'error' ? 'error' : 'warning') : 'info',
    message: typeof message === 'string' ? message : '',
    step: Object.keys(others).length > 0 ? step : undefined,
    figures: others,
  }
}

function replyOf(json: Fields, model: string): HostedReply {
  const choice: unknown = Array.isArray(json.choices) ? json.choices[0] : undefined
  const message = isObject(choice) && isObject(choice.message) ? choice.message : undefined
  if (!isObject(choice) || message === undefined)
    throw new ServiceError(
      `[hosted] expected choices with a message from ${model}, got an answer without; check the model and the address`,
    )
  const usage = isObject(json.usage) ? json.usage : {}
  const said = typeof message.content === 'string' ? message.content : message.refusal
  return {
    content: typeof said === 'string' ? said : '',
    finishReason: typeof choice.finish_reason === 'string' ? choice.finish_reason : 'stop',
    promptTokens: numberOf(usage.prompt_tokens),
    completionTokens: numberOf(usage.completion_tokens),
  }
}

function figuresOf(data: unknown): Record<string, number> {
  if (!isObject(data)) return {}
  return Object.fromEntries(
    Object.entries(data).filter((entry): entry is [string, number] => Number.isFinite(entry[1])),
  )
}

function textOf(fields: Fields, name: string, what: string): string {
  const value = fields[name]
  if (typeof value === 'string' && value !== '') return value
  throw new ServiceError(
    `[hosted] expected ${name} in ${what}, got an answer without it; check the address of the service`,
  )
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}
