/**
 * @file Callbacks of a run: in which order they are told of events, when the run waits for them, and what becomes of
 * what they throw.
 */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Reporter, type TrainCallback } from '../../src/train/callbacks.js'
import type { TrainEvent } from '../../src/train/events.js'
import { trainLora } from '../../src/train/train-lora.js'
import {
  rejection,
  TINY_TRAINING,
  temporaryDirectory,
  tinyRows,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
let model: string

beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
})

const warning = (message: string): TrainEvent => ({ type: 'warning', message })
const save = (path: string): TrainEvent => ({
  type: 'save',
  kind: 'checkpoint',
  step: 1,
  totalSteps: 2,
  epoch: 0.5,
  path,
})

/** A callback whose promises the test settles. */
function held(name: string, order: string[] = []): TrainCallback & { finish(error?: Error): Promise<void> } {
  const running: ((error?: Error) => void)[] = []
  return {
    name,
    onEvent: (event) =>
      new Promise<void>((resolve, reject) => {
        order.push(`${name} begins ${event.type}`)
        running.push((error) => {
          order.push(`${name} ends ${event.type}`)
          error ? reject(error) : resolve()
        })
      }),
    async finish(error) {
      running.shift()?.(error)
      await turn()
    },
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a reporter', () => {
  it('gives a callback its next event when it is done with the last one, and others at once', async () => {
    const order: string[] = []
    const slow = held('slow', order)
    const quick: TrainCallback = { name: 'quick', onEvent: ({ type }) => void order.push(`quick ${type}`) }
    const { report } = new Reporter({ callbacks: [slow, quick], record: () => {} })
    void report(warning('a'))
    void report(save('b'))
    expect(order).toEqual(['slow begins warning', 'quick warning', 'quick save'])
    await slow.finish()
    expect(order.slice(3)).toEqual(['slow ends warning', 'slow begins save'])
  })

  it('waits at a boundary for all callbacks and at other events for none', async () => {
    const slow = held('slow')
    const { report } = new Reporter({ callbacks: [slow], record: () => {} })
    await report(warning('a'))
    let isOver = false
    const boundary = report(save('b')).then(() => {
      isOver = true
    })
    await slow.finish()
    expect(isOver).toBe(false)
    await slow.finish()
    await boundary
    expect(isOver).toBe(true)
  })

  it('waits at any event where more than a thousand wait for one callback', async () => {
    const slow = held('slow')
    const { report } = new Reporter({ callbacks: [slow], record: () => {} })
    for (let i = 0; i <= 1000; i++) await report(warning(`${i}`))
    let isOver = false
    const last = report(warning('last')).then(() => {
      isOver = true
    })
    await turn()
    expect(isOver).toBe(false)
    for (let i = 0; i <= 1001; i++) await slow.finish()
    await last
    expect(isOver).toBe(true)
  })

  it('tells of what a callback throws behind the event at which it was thrown, each message once', async () => {
    const seen: string[] = []
    const broken: TrainCallback = {
      name: 'broken',
      onEvent: ({ type }) => {
        if (type === 'save') throw new Error('no disk')
      },
    }
    const other: TrainCallback = {
      name: 'other',
      onEvent: (event) => void seen.push(event.type === 'warning' ? event.message : event.type),
    }
    const reporter = new Reporter({ callbacks: [broken, other], record: () => {} })
    for (const path of ['a', 'b']) await reporter.report(save(path))
    expect(seen).toEqual(['save', "[callbacks] broken failed at the event 'save': no disk; the run goes on", 'save'])
    expect(reporter.signal.aborted).toBe(false)
  })

  it('tells ten times of callbacks that fail at every event, at warnings of each other too', async () => {
    let count = 0
    const seen: string[] = []
    const broken = (name: string): TrainCallback => ({
      name,
      onEvent: () => {
        throw new Error(`failure ${count++}`)
      },
    })
    const record = (event: TrainEvent): void => void seen.push(event.type)
    const { report } = new Reporter({ callbacks: [broken('a'), broken('b')], record })
    for (let i = 0; i < 30; i++) await report(save('x'))
    expect(seen.filter((type) => type === 'warning')).toHaveLength(20)
    expect(seen.filter((type) => type === 'save')).toHaveLength(30)
  })

  it('keeps secrets out of what it tells of a failure', async () => {
    const seen: TrainEvent[] = []
    const onEvent = async ({ type }: TrainEvent): Promise<void> => {
      if (type === 'save') throw new Error('POST https://user:password@tracker.example failed')
    }
    const { report } = new Reporter({
      callbacks: [{ name: 'tracker', onEvent }],
      record: (event) => void seen.push(event),
    })
    await report(save('a'))
    expect(seen.at(-1)).toEqual(
      warning(
        "[callbacks] tracker failed at the event 'save': POST https://***@tracker.example failed; the run goes on",
      ),
    )
  })
})

describe('the callbacks of a run', () => {
  const training = { ...TINY_TRAINING, maxSteps: 6, saveStrategy: 'no' as const }
  const run = (callbacks: TrainCallback[], outputDir?: string, onEvent?: (event: TrainEvent) => void) =>
    trainLora({
      model,
      dataset: tinyRows(40),
      dtype: 'float32',
      lora: { r: 4, loraAlpha: 8 },
      training,
      outputDir,
      callbacks,
      onEvent,
    })

  it('are waited for: no step is made while one is busy with the log of the step before', async () => {
    const order: string[] = []
    const slow: TrainCallback = {
      name: 'slow',
      async onEvent(event) {
        if (event.type !== 'log') return
        order.push(`log ${event.step} begins`)
        for (let i = 0; i < 50; i++) await turn()
        order.push(`log ${event.step} ends`)
      },
    }
    const result = await run([slow], undefined, (event) => {
      if (event.type === 'step') order.push(`step ${event.step}`)
    })
    result.dispose()
    expect(order).toEqual([
      'step 1',
      'step 2',
      'log 2 begins',
      'log 2 ends',
      'step 3',
      'step 4',
      'log 4 begins',
      'log 4 ends',
      'step 5',
      'step 6',
      'log 6 begins',
      'log 6 ends',
    ])
  })

  it('the callbacks of a run may stop the run, which then goes on to the same bytes as one that was not', async () => {
    const outputDir = join(directory, 'stopped')
    const seen: TrainEvent[] = []
    const early: TrainCallback = {
      name: 'early stopping',
      onEvent(event, control) {
        seen.push(event)
        if (event.type === 'log' && event.step === 2) control.stop()
      },
    }
    const options = { model, lora: { r: 4, loraAlpha: 8 }, training }
    const stopped = await run([early], outputDir)
    stopped.dispose()
    expect(stopped.reason).toBe('aborted')
    expect(stopped.step).toBeLessThan(6)
    expect(seen.at(-1)).toMatchObject({ type: 'end', reason: 'aborted', stoppedBy: 'early stopping' })
    const whole = await trainTiny(options, join(directory, 'whole'))
    const resumed = await trainTiny({ ...options, outputDir, resumeFromCheckpoint: true }, join(directory, 'resumed'))
    expect(resumed.bytes === whole.bytes).toBe(true)
  })

  it('the callbacks of a run that fail do not end the run, which ends as without them', async () => {
    const broken: TrainCallback = {
      name: 'broken',
      onEvent: async () => {
        throw new Error('cannot reach the tracker')
      },
    }
    const seen: TrainEvent[] = []
    const result = await run([broken], undefined, (event) => seen.push(event))
    result.dispose()
    expect(result.reason).toBe('completed')
    const warnings = seen.filter(({ type }) => type === 'warning')
    expect(warnings).toEqual([
      warning("[callbacks] broken failed at the event 'load': cannot reach the tracker; the run goes on"),
    ])
  })

  it('the callbacks of a run that fail and say that this ends the run end it after its step, with a checkpoint, with their own error', async () => {
    const outputDir = join(directory, 'ended')
    const failure = new Error('the budget of the project is spent')
    const strict: TrainCallback = {
      name: 'budget',
      endsRunOnError: true,
      onEvent: ({ type }) => {
        if (type === 'log') throw failure
      },
    }
    const seen: TrainEvent[] = []
    const other: TrainCallback = { name: 'other', onEvent: (event) => void seen.push(event) }
    expect(await run([strict, other], outputDir).catch((error: unknown) => error)).toBe(failure)
    expect(readdirSync(outputDir).filter((name) => name.startsWith('checkpoint-'))).toHaveLength(1)
    expect(seen.map(({ type }) => type).slice(-2)).toEqual(['save', 'fail'])
    expect(seen.at(-1)).toEqual({ type: 'fail', code: null, message: failure.message, callback: 'budget' })
  })

  it('are told of a failure before the run rejects with it', async () => {
    const order: string[] = []
    const slow: TrainCallback = {
      name: 'slow',
      async onEvent(event) {
        for (let i = 0; i < 5; i++) await turn()
        if (event.type === 'fail') order.push(`${event.code}: ${event.message}`)
      },
    }
    const failing = trainLora({ model: join(directory, 'nowhere'), dataset: tinyRows(2), callbacks: [slow] })
    const message = await rejection(failing)
    order.push('rejected')
    expect(order).toEqual([`INVALID_MODEL: ${message}`, 'rejected'])
  })

  it('the callbacks of a run must have a name and a function', async () => {
    for (const callbacks of [{}, [null], [{ name: 'a' }], [{ name: '', onEvent: () => {} }]])
      expect(await rejection(trainLora({ model, dataset: [], callbacks: callbacks as never }))).toContain(
        '[train] expected a list of objects with a name and a function onEvent for callbacks, got ',
      )
  })
})
