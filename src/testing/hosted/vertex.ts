/** @file Vertex AI, Cloud Storage and a token endpoint on the loopback interface: tuning jobs, tuned endpoints. */

import { createPublicKey, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HostedServiceOptions } from './openai.js'
import {
  answersOf,
  expectOnly,
  type HostedCall,
  type HostedRoute,
  type LoopbackHosted,
  Refusal,
  startHosted,
} from './server.js'

interface TuningJob {
  readonly name: string
  readonly fields: Record<string, unknown>
  readonly created: string
  /** The rows that it was made of: objects may go once it has begun. */
  readonly text: string
  asked: number
  isCancelled: boolean
  isMade: boolean
}

const PROJECT = 'loopback-project'
const LOCATION = 'us-central1'
const PARENT = `projects/${PROJECT}/locations/${LOCATION}`
/** What Google's client says whatever the address of its tokens is. */
const GOOGLE_AUDIENCE = 'https://oauth2.googleapis.com/token'
const SIZES = [
  'ADAPTER_SIZE_ONE',
  'ADAPTER_SIZE_TWO',
  'ADAPTER_SIZE_FOUR',
  'ADAPTER_SIZE_EIGHT',
  'ADAPTER_SIZE_SIXTEEN',
  'ADAPTER_SIZE_THIRTY_TWO',
]

/**
 * Vertex AI with Cloud Storage and a token endpoint on one address.
 * @returns with the project, a file of a service account and the addresses in `env`
 */
export async function startVertex({ jobFails, polls = 3, answer }: HostedServiceOptions = {}): Promise<LoopbackHosted> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const email = `tuner@${PROJECT}.iam.gserviceaccount.com`
  const tokens = new Set<string>()
  const objects = new Map<string, Buffer>()
  const jobs = new Map<string, TuningJob>()
  /** Models that are there, and endpoints with what they serve. */
  const models = new Map<string, ReadonlyMap<string, string>>()
  const endpoints = new Map<string, string | undefined>()
  const paid: string[] = []
  let count = 0
  const authorize = ({ headers }: HostedCall): void => {
    const [, token = ''] = /^Bearer (.+)$/.exec(headers.authorization ?? '') ?? []
    if (!tokens.has(token)) throw new Refusal(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.')
  }
  const route = (method: string, path: string, handle: HostedRoute['handle']): HostedRoute => ({
    method,
    path: new RegExp(`^${path}$`),
    authorize,
    handle,
  })
  const objectOf = (bucket: string, name: string): object => {
    const bytes = objects.get(`${bucket}/${name}`)
    if (bytes === undefined) throw new Refusal(404, 'NOT_FOUND', `No such object: ${bucket}/${name}`)
    return {
      kind: 'storage#object',
      id: `${bucket}/${name}/1`,
      bucket,
      name,
      size: String(bytes.length),
      generation: '1',
    }
  }
  const textOf = (uri: string): string => {
    const bytes = objects.get(uri.replace(/^gs:\/\//, ''))
    if (bytes === undefined) throw new Refusal(400, 'INVALID_ARGUMENT', `The dataset ${uri} does not exist.`)
    return bytes.toString()
  }
  const jobOf = (id: string): TuningJob => {
    const job = jobs.get(`${PARENT}/tuningJobs/${id}`)
    if (job === undefined) throw new Refusal(404, 'NOT_FOUND', `The TuningJob ${id} does not exist.`)
    return job
  }
  const stateOf = ({ asked, isCancelled }: TuningJob): string => {
    if (isCancelled) return 'JOB_STATE_CANCELLED'
    if (asked < polls) return asked === 0 ? 'JOB_STATE_PENDING' : 'JOB_STATE_RUNNING'
    return jobFails === undefined ? 'JOB_STATE_SUCCEEDED' : 'JOB_STATE_FAILED'
  }
  const shown = (job: TuningJob): object => {
    const state = stateOf(job)
    const isDone = state === 'JOB_STATE_SUCCEEDED'
    const number = job.name.split('/').at(-1)
    const [model, endpoint] = [`${PARENT}/models/${number}`, `${PARENT}/endpoints/${number}`]
    if (isDone && !job.isMade) {
      models.set(model, answersOf(job.text))
      endpoints.set(endpoint, model)
      job.isMade = true
    }
    return {
      name: job.name,
      ...job.fields,
      state,
      createTime: job.created,
      updateTime: job.created,
      ...(isDone && {
        tunedModel: {
          model: `${model}@1`,
          endpoint,
          checkpoints: [{ checkpointId: '1', epoch: '1', step: String(polls), endpoint }],
        },
        tuningDataStats: {
          supervisedTuningDataStats: { totalBillableTokenCount: String(Math.ceil(job.text.length / 4)) },
        },
      }),
      ...(state === 'JOB_STATE_FAILED' && { error: { code: 3, message: jobFails } }),
    }
  }
  const operation = (): object => ({ name: `${PARENT}/operations/${++count}`, done: true, response: {} })
  const tokenRoute = (handle: HostedRoute['handle'], method: string, path: RegExp): HostedRoute => ({
    method,
    path,
    handle,
  })
  const give = (): { readonly json: object } => {
    const token = `ya29.${randomBytes(24).toString('hex')}`
    tokens.add(token)
    return { json: { access_token: token, expires_in: 3599, token_type: 'Bearer' } }
  }
  const server = await startHosted(
    (url) => [
      tokenRoute(
        ({ body }) => {
          const form = new URLSearchParams(body.toString())
          expectAssertion(form, email, publicKey, `${url}/token`)
          return give()
        },
        'POST',
        /^\/token$/,
      ),
      tokenRoute(
        ({ headers }) => {
          if (headers['metadata-flavor'] !== 'Google')
            throw new Refusal(403, 'PERMISSION_DENIED', 'Missing Metadata-Flavor:Google header')
          return give()
        },
        'GET',
        /^\/computeMetadata\/v1\/instance\/service-accounts\/default\/token$/,
      ),
      route('POST', '/upload/storage/v1/b/([^/]+)/o', ({ groups, query, body, headers }) => {
        const isMultipart = query.get('uploadType') === 'multipart'
        const part = isMultipart
          ? relatedOf(body, headers['content-type'] ?? '')
          : { name: query.get('name') ?? '', bytes: body }
        objects.set(`${groups[0]}/${part.name}`, part.bytes)
        return { json: objectOf(groups[0] ?? '', part.name) }
      }),
      route('GET', '/(?:download/)?storage/v1/b/([^/]+)/o/([^/]+)', ({ groups: [bucket = '', name = ''], query }) => {
        const object = objectOf(bucket, name)
        return query.get('alt') === 'media' ? { text: String(objects.get(`${bucket}/${name}`)) } : { json: object }
      }),
      route('DELETE', '/storage/v1/b/([^/]+)/o/([^/]+)', ({ groups: [bucket = '', name = ''] }) => {
        objectOf(bucket, name)
        objects.delete(`${bucket}/${name}`)
        return { status: 204 }
      }),
      route('POST', `/v1(?:beta1)?/${PARENT}/tuningJobs`, ({ json }) => {
        expectOnly(
          json,
          'TuningJob',
          ['baseModel', 'supervisedTuningSpec'],
          ['tunedModelDisplayName', 'labels', 'description', 'experiment'],
        )
        const spec = json.supervisedTuningSpec as Record<string, unknown>
        expectOnly(
          spec,
          'SupervisedTuningSpec',
          ['trainingDatasetUri'],
          ['validationDatasetUri', 'hyperParameters', 'exportLastCheckpointOnly'],
        )
        const hyper = (spec.hyperParameters ?? {}) as Record<string, unknown>
        expectOnly(hyper, 'SupervisedHyperParameters', [], ['epochCount', 'learningRateMultiplier', 'adapterSize'])
        if (hyper.adapterSize !== undefined && !SIZES.includes(String(hyper.adapterSize)))
          throw new Refusal(400, 'INVALID_ARGUMENT', `Invalid value at adapterSize: ${hyper.adapterSize}`)
        const text = textOf(String(spec.trainingDatasetUri))
        answersOf(text)
        const job = {
          name: `${PARENT}/tuningJobs/${1000 + ++count}`,
          fields: { ...json },
          created: new Date().toISOString(),
          text,
          asked: 0,
          isCancelled: false,
          isMade: false,
        }
        jobs.set(job.name, job)
        return { json: shown(job) }
      }),
      route('GET', `/v1(?:beta1)?/${PARENT}/tuningJobs`, ({ query }) => {
        const [, name, value] = /^labels\.([\w-]+)=(.+)$/.exec(query.get('filter') ?? '') ?? []
        const all = [...jobs.values()].filter(
          ({ fields }) => name === undefined || (fields.labels as Record<string, string> | undefined)?.[name] === value,
        )
        return { json: { tuningJobs: all.reverse().map(shown) } }
      }),
      route('GET', `/v1(?:beta1)?/${PARENT}/tuningJobs/([^/:]+)`, ({ groups }) => {
        const job = jobOf(groups[0] ?? '')
        const json = shown(job)
        job.asked++
        return { json }
      }),
      route('POST', `/v1(?:beta1)?/${PARENT}/tuningJobs/([^/:]+):cancel`, ({ groups }) => {
        const job = jobOf(groups[0] ?? '')
        if (job.asked >= polls) throw new Refusal(400, 'FAILED_PRECONDITION', 'The TuningJob has already ended.')
        job.isCancelled = true
        return { json: {} }
      }),
      route('GET', `/v1/${PARENT}/endpoints/([^/:]+)`, ({ groups }) => {
        const name = `${PARENT}/endpoints/${groups[0]}`
        if (!endpoints.has(name)) throw new Refusal(404, 'NOT_FOUND', `The Endpoint ${name} does not exist.`)
        const model = endpoints.get(name)
        return { json: { name, ...(model !== undefined && { deployedModels: [{ id: '7', model }] }) } }
      }),
      route('POST', `/v1/${PARENT}/endpoints/([^/:]+):undeployModel`, ({ groups }) => {
        endpoints.set(`${PARENT}/endpoints/${groups[0]}`, undefined)
        return { json: operation() }
      }),
      route('DELETE', `/v1/${PARENT}/endpoints/([^/:]+)`, ({ groups }) => {
        const name = `${PARENT}/endpoints/${groups[0]}`
        if (endpoints.get(name) !== undefined)
          throw new Refusal(400, 'FAILED_PRECONDITION', 'The Endpoint still has deployed models.')
        if (!endpoints.delete(name)) throw new Refusal(404, 'NOT_FOUND', `The Endpoint ${name} does not exist.`)
        return { json: operation() }
      }),
      route('DELETE', `/v1/${PARENT}/models/([^/:]+)`, ({ groups }) => {
        const name = `${PARENT}/models/${groups[0]}`
        if (!models.delete(name)) throw new Refusal(404, 'NOT_FOUND', `The Model ${name} does not exist.`)
        return { json: operation() }
      }),
      route(
        'POST',
        `/v1(?:beta1)?/${PARENT}/(endpoints/[^/:]+|publishers/google/models/[^/:]+):generateContent`,
        ({ groups, json }) => {
          expectOnly(json, 'GenerateContentRequest', ['contents'], ['systemInstruction', 'generationConfig'])
          const target = groups[0] ?? ''
          const model = endpoints.get(`${PARENT}/${target}`)
          if (target.startsWith('endpoints/') && model === undefined)
            throw new Refusal(404, 'NOT_FOUND', `The Endpoint ${target} does not exist.`)
          const contents = json.contents as { readonly parts: { readonly text: string }[] }[]
          const question =
            contents
              .at(-1)
              ?.parts.map(({ text }) => text)
              .join('') ?? ''
          paid.push(question)
          const text = answer?.(question, target) ?? models.get(model ?? '')?.get(question) ?? question
          const [promptTokenCount = 0, candidatesTokenCount = 0] = [question, text].map((part) =>
            Math.ceil(part.length / 4),
          )
          return {
            json: {
              candidates: [{ content: { role: 'model', parts: [{ text }] }, finishReason: 'STOP', index: 0 }],
              usageMetadata: {
                promptTokenCount,
                candidatesTokenCount,
                totalTokenCount: promptTokenCount + candidatesTokenCount,
              },
              modelVersion: target,
            },
          }
        },
      ),
    ],
    ({ status, code, message }) => ({ error: { code: status, message, status: code } }),
  )
  const { url } = server
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-vertex-'))
  const credentials = join(folder, 'service-account.json')
  const account = {
    type: 'service_account',
    project_id: PROJECT,
    private_key_id: 'loopback',
    private_key: privateKey,
    client_email: email,
    client_id: '1',
    token_uri: `${url}/token`,
  }
  await writeFile(credentials, JSON.stringify(account), { mode: 0o600 })
  const env = {
    GOOGLE_APPLICATION_CREDENTIALS: credentials,
    GOOGLE_CLOUD_PROJECT: PROJECT,
    GOOGLE_CLOUD_LOCATION: LOCATION,
    GOOGLE_VERTEX_BASE_URL: url,
    STORAGE_EMULATOR_HOST: url,
    LOWRANK_VERTEX_BUCKET: 'gs://loopback-bucket/rows',
  }
  const close = async (): Promise<void> => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { ...server, paid, env, expireTokens: () => tokens.clear(), stop: close, close }
}

/** @throws Refusal for an assertion that was not signed by the service account */
function expectAssertion(form: URLSearchParams, email: string, publicKey: string, audience: string): void {
  const refuse = (why: string): never => {
    throw new Refusal(400, 'invalid_grant', why)
  }
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') refuse('Invalid grant_type')
  const [head = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.')
  const isSigned = verify(
    'RSA-SHA256',
    Buffer.from(`${head}.${claims}`),
    createPublicKey(publicKey),
    Buffer.from(signature, 'base64url'),
  )
  if (!isSigned) refuse('Invalid JWT Signature.')
  const said = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>
  const now = Date.now() / 1000
  if (
    said.iss !== email ||
    (said.aud !== audience && said.aud !== GOOGLE_AUDIENCE) ||
    Number(said.exp) < now ||
    Number(said.exp) - Number(said.iat) > 3600
  )
    refuse('Invalid JWT claims.')
}

/** An upload of multipart/related: metadata in JSON, then the bytes. */
function relatedOf(body: Buffer, type: string): { readonly name: string; readonly bytes: Buffer } {
  const [, quoted, plain] = /boundary=(?:"([^"]+)"|([^;]+))/.exec(type) ?? []
  const parts = body.toString('latin1').split(`--${quoted ?? plain}`)
  const contentOf = (part = ''): string => part.slice(part.indexOf('\r\n\r\n') + 4, -2)
  const { name } = JSON.parse(Buffer.from(contentOf(parts[1]), 'latin1').toString()) as { readonly name: string }
  return { name, bytes: Buffer.from(contentOf(parts[2]), 'latin1') }
}
