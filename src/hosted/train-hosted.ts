/**
 * @file Fine-tuning by a service, from rows to a model: check, upload, job, wait, deployment. Each step is written down
 * before and after it, and looked for before it is done again.
 */

import { join } from 'node:path'
import { pause } from '../http/patience.js'
import { wasUnclear } from '../http/resource-record.js'
import { ServiceError } from '../http/service-error.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { expectOptions, readOptions } from '../options/table.js'
import { errorCode } from '../regular-file.js'
import { toError } from '../values.js'
import { openService } from './connect.js'
import { HOSTED_CONNECTION, type ResolvedConnection } from './connect-options.js'
import { deployModel } from './deploy.js'
import { EventLog } from './event-log.js'
import type { HostedPlanEvent } from './events.js'
import { noticesOf } from './notices.js'
import { HOSTED_HYPERPARAMETERS, TRAIN_HOSTED_OPTIONS, type TrainHostedOptions } from './options.js'
import { HOSTED_RECORD } from './resources.js'
import { type RowsSummary, writeRowsFile } from './rows.js'
import { newRunId, type RunRecord, readRecord, withoutSecretOptions, writeRecord } from './run-record.js'
import type { HostedCheckpoint, HostedJob, HostedService, JobRequest, RowsFile } from './service.js'
import { waitForJob } from './wait.js'

/** What {@link trainHosted} gives. */
export interface HostedRun {
  readonly provider: string
  readonly plan: Omit<HostedPlanEvent, 'type'>
  /** Null with `dryRun`. */
  readonly jobId: string | null
  readonly status: string | null
  /** The tuned model, as the service names it. */
  readonly model: string | null
  /** Vertex AI: the endpoint of the tuned model. */
  readonly endpoint: string | null
  /** Azure OpenAI: the deployment, where one was asked for. */
  readonly deployment: string | null
  readonly trainedTokens: number | null
  readonly checkpoints: readonly HostedCheckpoint[]
}

type Options = ReturnType<typeof readTrainOptions>

const LONGEST_SUFFIX = { openai: 64, azure: 40, vertex: 128 } as const
const MILLION = 1e6

function readTrainOptions(given: TrainHostedOptions) {
  const options = readOptions('trainHosted', given, TRAIN_HOSTED_OPTIONS)
  const { hyperparameters = {}, provider, suffix } = options
  expectOptions('trainHosted', hyperparameters, HOSTED_HYPERPARAMETERS)
  const refuse = (name: string, why: string): never => {
    throw new OptionError(`[trainHosted] expected no ${name} for ${provider}, got one; ${why}`)
  }
  if (provider === 'vertex' && options.seed !== undefined) refuse('seed', 'Vertex AI takes none: leave it out')
  if (provider === 'vertex' && hyperparameters.batchSize !== undefined)
    refuse('batchSize', 'Vertex AI chooses it: leave it out')
  if (provider !== 'vertex' && hyperparameters.adapterSize !== undefined)
    refuse('adapterSize', 'only Vertex AI takes it: leave it out')
  if (provider !== 'azure' && options.trainingType !== undefined)
    refuse('trainingType', 'only Azure OpenAI takes it: leave it out')
  if (provider !== 'azure' && options.deployment !== undefined)
    refuse('deployment', 'its tuned models answer without one: leave it out')
  if (suffix !== undefined && suffix.length > LONGEST_SUFFIX[provider])
    throw new OptionError(
      `[trainHosted] expected at most ${LONGEST_SUFFIX[provider]} characters for suffix, got ${suffix.length}; shorten it`,
    )
  if (options.maxCost !== undefined && options.pricePerMillionTokens === undefined)
    throw new OptionError(
      '[trainHosted] expected pricePerMillionTokens beside maxCost, got none; give the price of the vendor',
    )
  if (options.maxCost !== undefined && hyperparameters.nEpochs === undefined)
    throw new OptionError(
      '[trainHosted] expected hyperparameters.nEpochs beside maxCost, got none; the service would choose it, and the cost',
    )
  return { ...options, hyperparameters }
}

/**
 * Fine-tunes a model at a service, and waits for it. A run that was stopped at any moment goes on where it is called
 * again with the same options: no rows are uploaded twice, and no job is made twice.
 *
 * ```ts
 * const run = await trainHosted({ provider: 'openai', model: 'gpt-4.1-nano', dataset: 'rows.jsonl', outputDir: 'out' })
 * ```
 * @throws OptionError, DataError before anything is sent; ServiceError where the service refuses, or the job fails; the
 * reason of the signal
 */
export async function trainHosted(given: TrainHostedOptions): Promise<HostedRun> {
  const options = readTrainOptions(given)
  const { outputDir, provider, dryRun } = options
  const begin = performance.now()
  const connection = connectionOf(options)
  const service = dryRun ? undefined : await openService(connection)
  const server = service?.server ?? options.endpoint ?? 'https://api.openai.com/v1'
  const log = await EventLog.open(dryRun ? undefined : outputDir, options.onEvent)
  try {
    for (const message of noticesOf({ provider, server }, options.model, new Date().toISOString().slice(0, 10)))
      await log.tell({ type: 'warning', message })
    const { plan, files } = await prepare(options, log)
    if (service === undefined) return nothingSent(provider, plan)
    let record = await openRecord(options, connection, service.server, files)
    const keep = async (change: Partial<RunRecord>): Promise<void> => {
      record = { ...record, ...change }
      await writeRecord(outputDir, record)
    }
    const trainingFile = await ensureFile('train', files.train, service, options, log, () => record, keep)
    const validationFile =
      files.eval && (await ensureFile('eval', files.eval, service, options, log, () => record, keep))
    const request: JobRequest = {
      runId: record.runId,
      model: options.model,
      trainingFile,
      validationFile,
      suffix: options.suffix,
      seed: options.seed,
      hyperparameters: options.hyperparameters,
      trainingType: options.trainingType,
    }
    const jobId = await ensureJob(request, service, options, record, keep)
    const job = await waitForJob(service, jobId, options, log)
    await keep({
      ...(job.model !== undefined && { model: job.model }),
      ...(job.endpoint !== undefined && { endpoint: job.endpoint }),
    })
    if (job.model !== undefined) await recordModel(service, job)
    const checkpoints = await service.checkpoints(jobId, options.signal)
    for (const { id, step, model, figures } of checkpoints)
      await log.tell({ type: 'checkpoint', id, step: step ?? null, model, figures })
    const deployment = options.deployment
    if (deployment !== undefined && job.model !== undefined) {
      await deployModel(service, { ...options, name: deployment, model: job.model }, log)
      await keep({ deployment })
    }
    const step = checkpoints.at(-1)?.step ?? 0
    const seconds = (performance.now() - begin) / 1000
    await log.tell({
      type: 'end',
      reason: 'completed',
      step,
      totalSteps: step,
      epoch: options.hyperparameters.nEpochs ?? 0,
      seconds,
    })
    return {
      provider,
      plan,
      jobId,
      status: job.status,
      model: job.model ?? null,
      endpoint: job.endpoint ?? null,
      deployment: deployment ?? null,
      trainedTokens: job.trainedTokens ?? null,
      checkpoints,
    }
  } catch (error) {
    const { message } = toError(error)
    const code = error instanceof LowrankError ? error.code : (errorCode(error) ?? null)
    await log.tell({ type: 'fail', code, message })
    throw error
  }
}

function connectionOf(options: Options): ResolvedConnection {
  const names = Object.keys(HOSTED_CONNECTION) as (keyof ResolvedConnection)[]
  return Object.fromEntries(names.map((name) => [name, options[name]])) as unknown as ResolvedConnection
}

interface PreparedFiles {
  readonly train: RowsFile
  readonly eval: RowsFile | undefined
}

async function prepare(
  options: Options,
  log: EventLog,
): Promise<{ readonly plan: Omit<HostedPlanEvent, 'type'>; readonly files: PreparedFiles }> {
  const { outputDir, provider, tokenizer, signal, hyperparameters, pricePerMillionTokens: price, maxCost } = options
  const write = (name: 'dataset' | 'validationDataset', file: string): Promise<RowsSummary> =>
    writeRowsFile(options[name] as TrainHostedOptions['dataset'], join(outputDir, file), {
      provider,
      name,
      tokenizer,
      signal,
    })
  const train = await write('dataset', 'training.jsonl')
  const validation =
    options.validationDataset === undefined ? undefined : await write('validationDataset', 'validation.jsonl')
  const nEpochs = hyperparameters.nEpochs ?? null
  const trainedTokens = nEpochs === null ? null : train.tokens * nEpochs
  const cost = trainedTokens === null || price === undefined ? null : (trainedTokens * price) / MILLION
  const plan = { train, validation: validation ?? null, nEpochs, trainedTokens, cost }
  await log.tell({ type: 'plan', ...plan })
  if (cost !== null && maxCost !== undefined && cost > maxCost)
    throw new OptionError(
      `[trainHosted] expected a job within maxCost (${maxCost}), got ${Number(cost.toPrecision(4))} for ${trainedTokens} tokens ` +
        `(${train.tokensAre}); nothing was sent: take fewer rows or epochs, or raise maxCost`,
    )
  const fileOf = (split: string, file: string, { bytes, digest }: RowsSummary): RowsFile => ({
    path: join(outputDir, file),
    bytes,
    digest,
    name: `lowrank-${split}-${digest.slice(0, 16)}.jsonl`,
  })
  return {
    plan,
    files: {
      train: fileOf('train', 'training.jsonl', train),
      eval: validation && fileOf('eval', 'validation.jsonl', validation),
    },
  }
}

function nothingSent(provider: string, plan: HostedRun['plan']): HostedRun {
  const none = { jobId: null, status: null, model: null, endpoint: null, deployment: null, trainedTokens: null }
  return { provider, plan, ...none, checkpoints: [] }
}

/** The record of the run: a new one, or that of the run that goes on. @throws OptionError where it is another run's */
async function openRecord(
  options: Options,
  connection: ResolvedConnection,
  server: string,
  files: PreparedFiles,
): Promise<RunRecord> {
  const { outputDir, model, suffix, seed, hyperparameters, trainingType } = options
  const job = JSON.parse(
    JSON.stringify({
      model,
      suffix,
      seed,
      hyperparameters,
      trainingType,
      train: files.train.digest,
      eval: files.eval?.digest,
    }),
  ) as Record<string, unknown>
  const known = await readRecord(outputDir)
  if (known === undefined) {
    const record: RunRecord = {
      version: 1,
      runId: newRunId(),
      connection: withoutSecretOptions(connection),
      server,
      job,
      files: {},
    }
    await writeRecord(outputDir, record)
    return record
  }
  const changed = Object.keys({ ...known.job, ...job }).find(
    (name) => JSON.stringify(known.job[name]) !== JSON.stringify(job[name]),
  )
  const other = known.server === server && known.connection.provider === options.provider ? changed : 'service'
  if (other === undefined) return known
  const what = other === 'train' ? 'rows' : other === 'eval' ? 'rows of validation' : other
  throw new OptionError(
    `[trainHosted] expected the run of ${outputDir} to go on as it began, got another ${what}; name another outputDir for another run`,
  )
}

/** The id of a file at the service: of this run, of what a lost call made, or of a new upload. */
async function ensureFile(
  split: 'train' | 'eval',
  local: RowsFile,
  service: HostedService,
  options: Options,
  log: EventLog,
  recordOf: () => RunRecord,
  keep: (change: Partial<RunRecord>) => Promise<void>,
): Promise<string> {
  const { signal } = options
  const known = recordOf().files[split]
  // The run is part of the name: what other runs do with their files is theirs.
  const file = { ...local, name: local.name.replace(/\.jsonl$/, `-${recordOf().runId}.jsonl`) }
  let id = known?.id
  let isReused = id !== undefined
  if (id === undefined) {
    if (known !== undefined) id = await service.findFile(file, signal)
    isReused = id !== undefined
    const entry = { digest: file.digest, name: file.name, bytes: file.bytes }
    if (known === undefined) await keep({ files: { ...recordOf().files, [split]: entry } })
    id ??= await uploadOnce(service, file, signal)
    await keep({ files: { ...recordOf().files, [split]: { ...entry, id } } })
  }
  await log.tell({ type: 'upload', split, id, bytes: file.bytes, isReused })
  const deadline = performance.now() + options.timeout * 1000
  for (let isTold = false; !(await service.isProcessed(id, signal)); ) {
    if (!isTold) await log.tell({ type: 'status', of: 'file', id, status: 'processing', serviceStatus: 'uploaded' })
    isTold = true
    if (performance.now() > deadline)
      throw new ServiceError(
        `[hosted] expected the file ${id} to be processed within ${options.timeout} s, got none; run again to wait on`,
      )
    await pause(options.pollInterval, signal)
  }
  return id
}

const UPLOADS = 3

async function uploadOnce(service: HostedService, file: RowsFile, signal: AbortSignal | undefined): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await HOSTED_RECORD.make(service.server, {
        kind: 'file',
        name: file.name,
        create: () => service.upload(file, signal),
        find: () => service.findFile(file, signal),
        idOf: (id) => id,
      })
    } catch (error) {
      signal?.throwIfAborted()
      // It was looked for, and is not there.
      if (!wasUnclear(error) || attempt >= UPLOADS) throw error
      await HOSTED_RECORD.gone(service.server, 'file', file.name)
      await pause(attempt * 250, signal)
    }
  }
}

async function ensureJob(
  request: JobRequest,
  service: HostedService,
  { signal }: Options,
  record: RunRecord,
  keep: (change: Partial<RunRecord>) => Promise<void>,
): Promise<string> {
  if (record.jobId !== undefined) return record.jobId
  const known = record.isJobBegun ? await service.findJob(request, signal) : undefined
  if (!record.isJobBegun) await keep({ isJobBegun: true })
  const job =
    known ??
    (await HOSTED_RECORD.make(service.server, {
      kind: 'job',
      name: request.runId,
      create: () => service.createJob(request, signal),
      find: () => service.findJob(request, signal),
      idOf: ({ id }) => id,
    }))
  await keep({ jobId: job.id })
  return job.id
}

async function recordModel(service: HostedService, { id, model, endpoint }: HostedJob): Promise<void> {
  const known = (await HOSTED_RECORD.list()).some(
    ({ kind, host, name }) => kind === 'model' && host === service.server && name === id,
  )
  if (known || model === undefined) return
  const key = await HOSTED_RECORD.intent(service.server, 'model', id)
  await HOSTED_RECORD.created(key, endpoint === undefined ? model : `${model} ${endpoint}`)
}
