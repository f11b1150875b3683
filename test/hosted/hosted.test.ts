/** @file Hosted fine-tuning against loopback services, from rows to answers and back to nothing. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { HostedProvider } from '../../src/hosted/connect-options.js'
import type { HostedEvent } from '../../src/hosted/events.js'
import { HOSTED_RECORD } from '../../src/hosted/resources.js'
import {
  cancelHosted,
  chatHosted,
  deleteHosted,
  deployHosted,
  hostedStatus,
  type LowrankError,
  predictHosted,
  type TrainHostedOptions,
  trainHosted,
} from '../../src/hosted.js'
import {
  type Fault,
  type HostedServiceOptions,
  type LoopbackHosted,
  startAzureOpenAi,
  startOpenAi,
  startVertex,
} from '../../src/testing.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const START = { openai: startOpenAi, azure: startAzureOpenAi, vertex: startVertex } as const
const PROVIDERS = ['openai', 'azure', 'vertex'] as const

/** Rows whose answers a tuned model of the loopback services repeats. */
const ROWS = Array.from({ length: 13 }, (_, index) => ({
  messages: [
    { role: 'system', content: 'Answer in one word.' },
    { role: 'user', content: `What is ${index} squared? \u00e9` },
    { role: 'assistant', content: `${index * index}` },
  ],
}))

interface Case {
  readonly service: LoopbackHosted
  readonly folder: string
  readonly options: TrainHostedOptions
  readonly events: HostedEvent[]
}

const open: LoopbackHosted[] = []

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const service of open.splice(0)) await service.close()
})

async function begin(provider: HostedProvider, options: HostedServiceOptions = {}): Promise<Case> {
  const service = await START[provider](options)
  open.push(service)
  const folder = temporaryDirectory()
  vi.stubEnv('LOWRANK_STATE', join(folder, 'state'))
  for (const [name, value] of Object.entries(service.env)) vi.stubEnv(name, value)
  const events: HostedEvent[] = []
  const rows = join(folder, 'rows.jsonl')
  writeFileSync(rows, ROWS.map((row) => `${JSON.stringify(row)}\n`).join(''))
  return {
    service,
    folder,
    events,
    options: {
      provider,
      model: provider === 'vertex' ? 'gemini-3.5-flash' : 'gpt-4.1-nano-2025-04-14',
      dataset: rows,
      outputDir: join(folder, 'run'),
      hyperparameters: { nEpochs: 2 },
      pollInterval: 1,
      onEvent: (event) => events.push(event),
    },
  }
}

/** Requests that make something, as `POST /v1/files`. */
function making({ requests }: LoopbackHosted): string[] {
  return requests
    .filter(({ method, path }) => method === 'POST' && /files$|upload\/storage|jobs$|Jobs$/i.test(path))
    .map(({ path }) => (/jobs$/i.test(path) ? 'job' : 'upload'))
}

async function errorOf(work: Promise<unknown>): Promise<LowrankError> {
  return await work.then(
    () => {
      throw new Error('it succeeded')
    },
    (error) => error,
  )
}

describe.each(PROVIDERS)('%s', (provider) => {
  it('trains, answers with what was learnt, and leaves nothing behind once it is deleted', async () => {
    const { service, options, events, folder } = await begin(provider)
    const run = await trainHosted({ ...options, validationDataset: options.dataset })
    expect(run.status).toBe('succeeded')
    expect(run.plan.train.rows).toBe(13)
    expect(run.plan.trainedTokens).toBe(2 * run.plan.train.tokens)
    expect(run.plan.cost).toBeNull()
    expect(making(service)).toEqual(['upload', 'upload', 'job'])
    expect(events[0]?.type === 'warning' ? events[1]?.type : events[0]?.type).toBe('plan')
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'completed', step: 3 })
    const text = readFileSync(join(options.outputDir, 'training.jsonl'), 'utf8')
    expect(text.startsWith('\ufeff')).toBe(provider === 'azure')

    const { outputDir } = options
    const target = await deployHosted({ outputDir, deployment: 'squares', pollInterval: 1 })
    expect(target).toBe(provider === 'azure' ? 'squares' : (run.endpoint ?? run.model))
    const reply = await chatHosted({ outputDir, messages: ROWS[7]?.messages.slice(0, 2) as never })
    expect(reply).toMatchObject({ content: '49', finishReason: 'stop' })
    const predictions = join(folder, 'predictions.jsonl')
    const predicted = await predictHosted({ outputDir, dataset: options.dataset, output: predictions })
    expect(predicted).toMatchObject({ rows: 13, received: 13, reused: 0 })
    const lines = readFileSync(predictions, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.every(({ prediction, expected }) => prediction === expected)).toBe(true)
    expect(await predictHosted({ outputDir, dataset: options.dataset, output: predictions })).toMatchObject({
      received: 0,
      reused: 13,
    })
    expect(service.paid).toHaveLength(14)
    expect((await hostedStatus({ outputDir })).job?.status).toBe('succeeded')

    const deleted = await deleteHosted({ outputDir })
    expect(deleted.map(({ kind, outcome }) => `${kind} ${outcome}`)).toEqual([
      ...(provider === 'azure' ? ['deployment removed'] : []),
      'model removed',
      'file removed',
      'file removed',
    ])
    expect(await HOSTED_RECORD.list()).toEqual([])
    expect((await deleteHosted({ outputDir })).every(({ outcome }) => outcome === 'absent')).toBe(true)
  })

  it('goes on with a run, and makes nothing twice', async () => {
    const { service, options } = await begin(provider, { polls: 2 })
    const first = await trainHosted(options)
    const again = await trainHosted(options)
    expect(again.jobId).toBe(first.jobId)
    expect(making(service)).toEqual(['upload', 'job'])
    const error = await errorOf(trainHosted({ ...options, hyperparameters: { nEpochs: 3 } }))
    expect(error.message).toContain('got another hyperparameters; name another outputDir for another run')
  })

  it('says why a job failed', async () => {
    const { options, events } = await begin(provider, { jobFails: 'Row 3 has too many tokens' })
    const error = await errorOf(trainHosted(options))
    expect(error.message).toMatch(/expected the job .* to succeed, got failed: .*Row 3 has too many tokens; correct it/)
    expect(events.at(-1)).toMatchObject({ type: 'fail', code: 'SERVICE', message: error.message })
  })

  it('tells each event once where the service repeats them', async () => {
    const { options, events } = await begin(provider, { repeatEvents: true })
    await trainHosted(options)
    const ids = events.flatMap((event) => (event.type === 'message' || event.type === 'figures' ? [event.id] : []))
    expect(ids).toHaveLength(provider === 'vertex' ? 0 : 5)
    expect(new Set(ids).size).toBe(ids.length)
    const steps = events.flatMap((event) => (event.type === 'figures' ? [event.step] : []))
    expect(steps).toEqual(provider === 'vertex' ? [] : [1, 2, 3])
  })

  it('goes on where tokens expire', async () => {
    const { service, options } = await begin(provider)
    vi.stubEnv('AZURE_OPENAI_API_KEY', '')
    let count = 0
    const run = await trainHosted({
      ...options,
      onEvent: () => {
        if (count++ === 2) service.expireTokens()
      },
    })
    expect(run.status).toBe('succeeded')
  })

  it('cancels the job where the signal ends the wait, if it is asked to', async () => {
    const { options } = await begin(provider, { polls: 1000 })
    const stop = new AbortController()
    const work = trainHosted({
      ...options,
      cancelOnAbort: true,
      signal: stop.signal,
      onEvent: ({ type, ...event }) => {
        if (type === 'status' && 'of' in event && event.of === 'job') stop.abort(new Error('enough'))
      },
    })
    expect((await errorOf(work)).message).toBe('enough')
    const { outputDir } = options
    expect((await hostedStatus({ outputDir })).job?.status).toBe('cancelled')
    expect((await cancelHosted({ outputDir })).status).toBe('cancelled')
  })

  it('sends nothing in a dry run, and says the cost by a price', async () => {
    const { service, options } = await begin(provider)
    const run = await trainHosted({ ...options, dryRun: true, pricePerMillionTokens: 25 })
    expect(run.plan.cost).toBeCloseTo((run.plan.train.tokens * 2 * 25) / 1e6, 12)
    expect(run.plan.train.tokensAre).toBe('estimated')
    expect(service.requests).toEqual([])
    const dear = await errorOf(trainHosted({ ...options, pricePerMillionTokens: 25, maxCost: 1e-9 }))
    expect(dear.message).toContain('expected a job within maxCost (1e-9)')
    expect(making(service)).toEqual([])
  })
})

/** Faults that a service may have at any request. */
const FAULTS = {
  429: { status: 429, headers: { 'retry-after': '0' }, body: { error: { message: 'slow down', code: 'rate_limit' } } },
  500: { status: 500, body: { error: { message: 'oops', code: 'server_error' } } },
  reset: 'reset',
  'answer lost': 'lost-answer',
  'upload cut': { cutRequestAfter: 20 },
} as const

/** What leads to a service without the environment, so that several of them can be asked at the same time. */
function connectionTo({ env }: LoopbackHosted, provider: HostedProvider): Partial<TrainHostedOptions> {
  const value = (name: string): string => env[name] as string
  if (provider === 'openai') return { endpoint: value('OPENAI_BASE_URL'), apiKey: value('OPENAI_API_KEY') }
  if (provider === 'azure') return { endpoint: value('AZURE_OPENAI_ENDPOINT'), apiKey: value('AZURE_OPENAI_API_KEY') }
  return {
    endpoint: value('GOOGLE_VERTEX_BASE_URL'),
    storageUrl: value('STORAGE_EMULATOR_HOST'),
    credentialsFile: value('GOOGLE_APPLICATION_CREDENTIALS'),
  }
}

describe.each(PROVIDERS)('training where %s fails', (provider) => {
  // All cells wait at the same time.
  it('ends right or with a clear error at the upload, the job or its states, and makes nothing twice', async () => {
    const paths =
      provider === 'vertex' ? [/upload/, /tuningJobs$/, /tuningJobs\/\d+/] : [/\/files$/, /jobs$/, /jobs\/ftjob/]
    const { options, folder } = await begin(provider)
    const cell = async (name: string, fault: Fault, path: RegExp): Promise<string> => {
      const service = await START[provider]({ polls: 1 })
      open.push(service)
      service.fail({ path, with: fault })
      const outputDir = join(folder, `${name}-${paths.indexOf(path)}`)
      const asked = { ...options, ...connectionTo(service, provider), outputDir, onEvent: () => {} }
      const first = await trainHosted(asked).catch((error: LowrankError) => error)
      if (first instanceof Error) expect(first.message).toMatch(/^\[hosted\] (?:cannot reach|expected)/)
      expect(service.pendingFaults()).toEqual([])
      const run = await trainHosted(asked)
      expect(run.status).toBe('succeeded')
      // Requests that were done, with an answer or without it.
      const done = service.requests.filter(({ fault: met }) => met === undefined || met === 'lost-answer')
      expect(making({ ...service, requests: done }).sort()).toEqual([
        'job',
        'upload',
        ...(isSame(provider, name, path) ? ['upload'] : []),
      ])
      return first instanceof Error ? 'error, then right' : 'right'
    }
    const cells = Object.entries(FAULTS).flatMap(([name, fault]) =>
      paths.map((path) => cell(name, fault as Fault, path)),
    )
    const outcomes = await Promise.all(cells)
    expect(outcomes).toHaveLength(15)
    expect(outcomes.filter((outcome) => outcome === 'right').length).toBeGreaterThan(9)
  }, 60_000)
})

/** An object of the same name and the same bytes is written once more: it is the same object. */
function isSame(provider: HostedProvider, name: string, path: RegExp): boolean {
  return provider === 'vertex' && name === 'answer lost' && path.source === 'upload'
}

describe('secrets', () => {
  it('are in no error, record or event', async () => {
    const { service, options } = await begin('azure')
    const secret = service.env.AZURE_CLIENT_SECRET as string
    const wrong = 'wrong-secret-of-a-principal'
    vi.stubEnv('AZURE_OPENAI_API_KEY', '')
    const error = await errorOf(trainHosted({ ...options, clientSecret: wrong }))
    expect(error.message).toContain('Invalid client secret provided: ***')
    expect(JSON.stringify(error)).not.toContain(wrong)
    await trainHosted(options)
    const written = ['hosted-run.json', 'events.jsonl']
      .map((file) => readFileSync(join(options.outputDir, file), 'utf8'))
      .join('')
    expect(written).not.toContain(secret)
    expect(written).not.toContain(wrong)
    expect(existsSync(join(options.outputDir, 'training.jsonl'))).toBe(true)
  })
})

describe('rows', () => {
  it.each([
    ['fewer than ten', ROWS.slice(0, 9), 'expected at least 10 rows for dataset, got 9'],
    ['no answer at the end', [{ messages: [{ role: 'user', content: 'hi' }] }], 'got role user; add one'],
    [
      'a weight between',
      [
        {
          messages: [
            { role: 'user', content: 'a' },
            { role: 'assistant', content: 'b', weight: 0.5 },
          ],
        },
      ],
      'services take 0 or 1',
    ],
    ['plain text', [{ text: 'once' }], 'got a row of the form text'],
  ])('are refused before anything is sent: %s', async (_, rows, message) => {
    const { service, options } = await begin('openai')
    const error = await errorOf(trainHosted({ ...options, dataset: rows }))
    expect(error.message).toContain(message)
    expect(service.requests).toEqual([])
  })
})
