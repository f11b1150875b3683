/**
 * @file A tracker that is written against the public types alone loses nothing, however slow its server is and however
 * the run ends.
 */

import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type TrainEvent, type TrainLoraOptions, type TrainRun, trainLora } from '../../src/index.js'
import { createTracker } from '../support/http-tracker.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { startTrackingServer } from '../support/tracking-server.js'

const directory = temporaryDirectory()
let model: string
let close = async (): Promise<void> => {}

beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
})

afterEach(() => close())

interface Tracked {
  readonly run: TrainRun
  /** What a listener in the process was told, as JSON has it. */
  readonly told: unknown[]
  readonly received: unknown[]
}

/** Begins a run that a tracker follows, whose server answers ten times as slowly as steps come. */
async function track(
  options: Partial<TrainLoraOptions> = {},
  { seen, answer }: { seen?: (event: TrainEvent) => void; answer?: () => number } = {},
): Promise<Tracked> {
  const server = await startTrackingServer({ delayMs: 20, answer })
  close = server.close
  const told: unknown[] = []
  const run = trainLora({
    model,
    dataset: tinyRows(40),
    evalDataset: tinyRows(5, 9),
    dtype: 'float32',
    outputDir: join(directory, `run-${expect.getState().currentTestName?.length}`),
    lora: { r: 4, loraAlpha: 8 },
    onEvent: (event) => {
      told.push(JSON.parse(JSON.stringify(event)))
      seen?.(event)
    },
    callbacks: [createTracker(server.url)],
    ...options,
    training: { maxSteps: 12, loggingSteps: 5, evalSteps: 6, saveSteps: 4, warmupSteps: 1, ...options.training },
  })
  return { run, told, received: server.received }
}

const types = (events: readonly unknown[]): string[] => events.map((event) => (event as TrainEvent).type)
const count = (events: readonly unknown[], type: string): number =>
  types(events).filter((other) => other === type).length

describe('a tracker with a slow server has every event when', () => {
  it('a run is complete and what it trained is saved', async () => {
    const { run, told, received } = await track()
    const result = await run
    // Not a moment later: the run has waited.
    expect(received).toEqual(told)
    expect(types(received).at(-1)).toBe('end')
    expect([count(received, 'step'), count(received, 'log'), count(received, 'evaluate')]).toEqual([12, 3, 2])
    expect(received.find((event) => (event as TrainEvent).type === 'start')).toMatchObject({
      options: { model, training: { maxSteps: 12, learningRate: 2e-4 }, lora: { r: 4 } },
    })
    await result.save(join(directory, 'adapter'))
    expect(received).toEqual(told)
    expect(received.at(-1)).toMatchObject({ type: 'save', kind: 'adapter', path: join(directory, 'adapter') })
    result.dispose()
  })

  it('a signal stops a run', async () => {
    const controller = new AbortController()
    const seen = (event: TrainEvent): void => {
      if (event.type === 'step' && event.step === 7) controller.abort()
    }
    const { run, told, received } = await track({ signal: controller.signal }, { seen })
    const result = await run
    result.dispose()
    expect(received).toEqual(told)
    expect(received.slice(-2)).toMatchObject([
      { type: 'save', kind: 'checkpoint', step: result.step },
      { type: 'end', reason: 'aborted', step: result.step },
    ])
    expect(result.step).toBeLessThan(12)
  })

  it('run.stop() stops a run', async () => {
    const { run, told, received } = await track()
    for await (const event of run) if (event.type === 'step' && event.step === 3) run.stop()
    const result = await run
    result.dispose()
    expect(received).toEqual(told)
    expect(received.at(-1)).toMatchObject({ type: 'end', reason: 'aborted' })
  })

  it('a run is stopped before its first step', async () => {
    const { run, told, received } = await track()
    run.stop()
    const error = await run.catch((reason: Error) => reason)
    expect(received).toEqual(told)
    expect(received.at(-1)).toEqual({ type: 'fail', code: 'STOPPED', message: (error as Error).message })
  })

  it('a run diverges', async () => {
    const { run, told, received } = await track({
      training: { learningRate: 1e30, lrSchedulerType: 'constant', warmupSteps: undefined },
    })
    const error = await run.catch((reason: Error) => reason)
    expect(received).toEqual(told)
    expect(received.at(-1)).toEqual({ type: 'fail', code: 'DIVERGED', message: (error as Error).message })
    expect(types(received)).not.toContain('end')
  })

  it('a row of the data cannot be read', async () => {
    const { run, told, received } = await track({ dataset: [...tinyRows(3), { prompt: 'no answer' }] })
    const error = await run.catch((reason: Error) => reason)
    expect(received).toEqual(told)
    expect(received.at(-1)).toEqual({ type: 'fail', code: 'INVALID_DATA', message: (error as Error).message })
  })
})

it('a tracking server that fails for a while costs a warning, and neither events nor the run', async () => {
  let requests = 0
  const answer = (): number => {
    requests++
    return requests > 1 && requests <= 3 ? 503 : 204
  }
  const { run, told, received } = await track({}, { answer })
  const { reason, dispose } = await run
  dispose()
  expect(reason).toBe('completed')
  expect(requests).toBeGreaterThan(5)
  expect(received).toEqual(told)
  const warnings = received.filter((event) => (event as TrainEvent).type === 'warning')
  expect(warnings).toEqual([
    {
      type: 'warning',
      message: expect.stringMatching(
        /^\[callbacks\] tracker failed at the event '\w+': the tracking server answered 503; the run goes on$/,
      ),
    },
  ])
})
