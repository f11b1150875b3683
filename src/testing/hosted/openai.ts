/** @file OpenAI's API on the loopback interface: files, fine-tuning jobs, chat. */

import { randomBytes } from 'node:crypto'
import {
  answersOf,
  expectOnly,
  type HostedCall,
  type HostedRoute,
  type LoopbackHosted,
  Refusal,
  startHosted,
} from './server.js'

/** What a loopback service does with jobs. */
export interface HostedServiceOptions {
  /**
   * The reason for which every job fails.
   * @default none: jobs succeed
   */
  readonly jobFails?: string
  /**
   * Whether lists of events have each event twice.
   * @default false
   */
  readonly repeatEvents?: boolean
  /**
   * Times that somebody must ask for a job before it has ended.
   * @default 3
   */
  readonly polls?: number
  /**
   * What a model answers.
   * @default the answer of its training rows to this question; else the question
   */
  readonly answer?: (question: string, model: string) => string
}

interface StoredFile {
  readonly id: string
  readonly bytes: number
  readonly created_at: number
  readonly filename: string
  readonly purpose: string
  readonly text: string
  asked: number
}

interface StoredJob {
  readonly id: string
  readonly fields: Record<string, unknown>
  readonly created: number
  /** The rows that it was made of: files may go once it has begun. */
  readonly text: string
  asked: number
  isCancelled: boolean
  isMade: boolean
}

const SECOND = 1000

function newId(kind: string): string {
  return `${kind}${randomBytes(12).toString('hex')}`
}

/** A server that speaks OpenAI's API. @returns with OPENAI_BASE_URL and OPENAI_API_KEY in `env` */
export async function startOpenAi(options: HostedServiceOptions = {}): Promise<LoopbackHosted> {
  const key = `sk-${randomBytes(16).toString('hex')}`
  const authorize = ({ headers }: HostedCall): void => {
    if (headers.authorization !== `Bearer ${key}`)
      throw new Refusal(401, 'invalid_api_key', 'Incorrect API key provided.')
  }
  const paid: string[] = []
  const server = await startHosted(() => openaiRoutes('/v1', authorize, options, paid, undefined), errorOf)
  const close = server.close
  return {
    ...server,
    paid,
    env: { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: key },
    expireTokens: () => {},
    stop: close,
    close,
  }
}

/** The body of a refusal. */
export function errorOf({ status, code, message }: Refusal): unknown {
  // Entra ID words its errors in another way.
  if (code === 'invalid_client') return { error: code, error_description: message }
  return {
    error: { message, type: status === 401 ? 'authentication_error' : 'invalid_request_error', param: null, code },
  }
}

/** The calls of the API. @param deployed The model of a deployment; undefined: models answer by their own names. */
export function openaiRoutes(
  base: string,
  authorize: (call: HostedCall) => void,
  { jobFails, repeatEvents = false, polls = 3, answer }: HostedServiceOptions,
  paid: string[],
  deployed: ((name: string) => string | undefined) | undefined,
): HostedRoute[] {
  const files = new Map<string, StoredFile>()
  const jobs = new Map<string, StoredJob>()
  const models = new Map<string, ReadonlyMap<string, string>>()
  const route = (method: string, path: string, handle: HostedRoute['handle']): HostedRoute => ({
    method,
    path: new RegExp(`^${base}${path}$`),
    authorize,
    handle,
  })
  const fileOf = (id: string): StoredFile => {
    const file = files.get(id)
    if (file === undefined) throw new Refusal(404, 'not_found', `No such File object: ${id}`)
    return file
  }
  const shownFile = ({ text: _, asked, ...file }: StoredFile): object => ({
    object: 'file',
    ...file,
    status: asked > 0 ? 'processed' : 'uploaded',
    status_details: null,
  })
  const jobOf = (id: string): StoredJob => {
    const job = jobs.get(id)
    if (job === undefined) throw new Refusal(404, 'fine_tune_not_found', `Could not find fine tune: ${id}`)
    return job
  }
  const statusOf = ({ asked, isCancelled }: StoredJob): string => {
    if (isCancelled) return 'cancelled'
    if (asked < polls) return ['validating_files', 'queued', 'running'][Math.min(asked, 2)] as string
    return jobFails === undefined ? 'succeeded' : 'failed'
  }
  const modelOf = ({ id, fields }: StoredJob): string =>
    `ft:${fields.model}:loopback:${fields.suffix ?? ''}:${id.slice(-8)}`
  const shownJob = (job: StoredJob): object => {
    const status = statusOf(job)
    const isDone = status === 'succeeded'
    const { suffix, ...fields } = job.fields
    if (isDone && !job.isMade) models.set(modelOf(job), answersOf(job.text))
    job.isMade ||= isDone
    return {
      object: 'fine_tuning.job',
      id: job.id,
      validation_file: null,
      seed: 0,
      ...fields,
      user_provided_suffix: suffix ?? null,
      created_at: job.created,
      finished_at: isDone ? job.created + polls : null,
      fine_tuned_model: isDone ? modelOf(job) : null,
      organization_id: 'org-loopback',
      result_files: [],
      hyperparameters: { n_epochs: 'auto', batch_size: 'auto', learning_rate_multiplier: 'auto' },
      status,
      trained_tokens: isDone ? Math.ceil(job.text.length / 4) : null,
      error: status === 'failed' ? { code: 'invalid_training_file', message: jobFails, param: 'training_file' } : null,
      estimated_finish: null,
      integrations: [],
    }
  }
  const eventsOf = (job: StoredJob): object[] => {
    const event = (index: number, message: string, data?: object): object => ({
      object: 'fine_tuning.job.event',
      id: `ftevent-${job.id}-${index}`,
      created_at: job.created + index,
      level: 'info',
      message,
      type: data ? 'metrics' : 'message',
      data: data ?? {},
    })
    const events = [event(0, 'Created fine-tuning job'), event(1, 'Validating training file')]
    const steps = Math.min(job.asked, polls)
    for (let step = 1; step <= steps; step++)
      events.push(
        event(step + 1, `Step ${step}/${polls}: training loss=${(2 / step).toFixed(2)}`, {
          step,
          total_steps: polls,
          train_loss: 2 / step,
          train_mean_token_accuracy: 0.5,
        }),
      )
    return events
  }
  const learn = (question: string, model: string): string =>
    answer?.(question, model) ?? models.get(model)?.get(question) ?? question
  return [
    route('POST', '/files', async ({ body, headers }) => {
      const form = await new Response(new Uint8Array(body), {
        headers: { 'content-type': headers['content-type'] ?? '' },
      })
        .formData()
        .catch(() => {
          throw new Refusal(400, 'invalid_request_error', 'Could not parse multipart form')
        })
      const file = form.get('file')
      if (file === null || typeof file === 'string')
        throw new Refusal(400, 'invalid_request_error', "'file' is a required property")
      const text = Buffer.from(await file.arrayBuffer()).toString('utf8')
      const stored = {
        id: newId('file-'),
        bytes: file.size,
        created_at: Math.floor(Date.now() / SECOND),
        filename: file.name,
        purpose: String(form.get('purpose')),
        text,
        asked: 0,
      }
      files.set(stored.id, stored)
      return { json: shownFile(stored) }
    }),
    route('GET', '/files', ({ query }) => ({
      json: page(
        [...files.values()]
          .reverse()
          .filter(({ purpose }) => purpose === (query.get('purpose') ?? purpose))
          .map(shownFile),
        query,
      ),
    })),
    route('GET', '/files/([^/]+)', ({ groups }) => {
      const file = fileOf(groups[0] ?? '')
      const shown = shownFile(file)
      file.asked++
      return { json: shown }
    }),
    route('GET', '/files/([^/]+)/content', ({ groups }) => ({ text: fileOf(groups[0] ?? '').text })),
    route('DELETE', '/files/([^/]+)', ({ groups }) => {
      const { id } = fileOf(groups[0] ?? '')
      files.delete(id)
      return { json: { object: 'file', id, deleted: true } }
    }),
    route('POST', '/fine_tuning/jobs', ({ json }) => {
      expectOnly(
        json,
        'fine-tuning job',
        ['model', 'training_file'],
        ['validation_file', 'suffix', 'seed', 'method', 'metadata', 'hyperparameters', 'integrations', 'trainingType'],
      )
      const file = fileOf(String(json.training_file))
      if (answersOf(file.text).size < 1 || file.text.split('\n').filter((line) => line !== '').length < 10)
        throw new Refusal(400, 'invalid_training_file', 'Training file has fewer than 10 examples')
      const job = {
        id: newId('ftjob-'),
        fields: { ...json },
        created: Math.floor(Date.now() / SECOND),
        text: file.text,
        asked: 0,
        isCancelled: false,
        isMade: false,
      }
      jobs.set(job.id, job)
      return { json: shownJob(job) }
    }),
    route('GET', '/fine_tuning/jobs', ({ query }) => ({
      json: page([...jobs.values()].reverse().map(shownJob), query),
    })),
    route('GET', '/fine_tuning/jobs/([^/]+)', ({ groups }) => {
      const job = jobOf(groups[0] ?? '')
      const shown = shownJob(job)
      job.asked++
      return { json: shown }
    }),
    route('GET', '/fine_tuning/jobs/([^/]+)/events', ({ groups, query }) => {
      const events = eventsOf(jobOf(groups[0] ?? '')).reverse()
      return { json: page(repeatEvents ? events.flatMap((event) => [event, event]) : events, query) }
    }),
    route('GET', '/fine_tuning/jobs/([^/]+)/checkpoints', ({ groups, query }) => {
      const job = jobOf(groups[0] ?? '')
      const isDone = statusOf(job) === 'succeeded'
      const checkpoint = {
        object: 'fine_tuning.job.checkpoint',
        id: `ftckpt_${job.id}`,
        created_at: job.created + polls,
        fine_tuning_job_id: job.id,
        fine_tuned_model_checkpoint: modelOf(job),
        step_number: polls,
        metrics: { step: polls, train_loss: 2 / polls },
      }
      return { json: page(isDone ? [checkpoint] : [], query) }
    }),
    route('POST', '/fine_tuning/jobs/([^/]+)/cancel', ({ groups }) => {
      const job = jobOf(groups[0] ?? '')
      if (job.asked >= polls) throw new Refusal(400, 'invalid_request_error', `Job has already completed: ${job.id}`)
      job.isCancelled = true
      return { json: shownJob(job) }
    }),
    route('DELETE', '/models/([^/]+)', ({ groups }) => {
      const id = groups[0] ?? ''
      if (!models.delete(id)) throw new Refusal(404, 'model_not_found', `The model '${id}' does not exist`)
      return { json: { object: 'model', id, deleted: true } }
    }),
    route('POST', '/chat/completions', ({ json }) => {
      expectOnly(json, 'chat', ['model', 'messages'], ['max_completion_tokens', 'max_tokens', 'temperature', 'seed'])
      const asked = String(json.model)
      const model = deployed ? deployed(asked) : asked
      if (model === undefined)
        throw new Refusal(404, 'DeploymentNotFound', 'The API deployment for this resource does not exist.')
      if (model.startsWith('ft:') && !models.has(model))
        throw new Refusal(404, 'model_not_found', `The model '${model}' does not exist`)
      const question = String((json.messages as { content: string }[]).at(-1)?.content)
      paid.push(question)
      const content = learn(question, model)
      const [prompt, completion] = [question, content].map((text) => Math.ceil(text.length / 4))
      return {
        json: {
          id: newId('chatcmpl-'),
          object: 'chat.completion',
          created: Math.floor(Date.now() / SECOND),
          model,
          choices: [
            { index: 0, message: { role: 'assistant', content, refusal: null }, finish_reason: 'stop', logprobs: null },
          ],
          usage: {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: (prompt ?? 0) + (completion ?? 0),
          },
        },
      }
    }),
  ]
}

function page(items: readonly object[], query: URLSearchParams): object {
  const list = items as readonly { readonly id: string }[]
  const after = query.get('after')
  const start = after === null ? 0 : list.findLastIndex(({ id }) => id === after) + 1
  const limit = Number(query.get('limit') ?? 20)
  const data = list.slice(start, start + limit)
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < list.length,
  }
}
