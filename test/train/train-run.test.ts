/** @file A run while it goes on: awaited, iterated, stopped, disposed of, and left alone. */

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { trainLora } from '../../src/train/train-lora.js'
import type { TrainRun } from '../../src/train/train-run.js'
import { rejection, TINY_TRAINING, temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'

const directory = temporaryDirectory()
let model: string

beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
})

afterEach(() => {
  vi.restoreAllMocks()
})

const start = (options: Partial<TrainRunOptions> = {}): TrainRun =>
  trainLora({
    model,
    dataset: tinyRows(40),
    dtype: 'float32',
    lora: { r: 4, loraAlpha: 8 },
    training: { ...TINY_TRAINING, maxSteps: 4, saveStrategy: 'no' },
    ...options,
  })

/** Events in short, and what an iteration threw at its end. */
async function follow(run: TrainRun): Promise<{ events: TrainEvent[]; failure: unknown }> {
  const events: TrainEvent[] = []
  try {
    for await (const event of run) events.push(event)
  } catch (failure) {
    return { events, failure }
  }
  return { events, failure: undefined }
}

const steps = (events: readonly TrainEvent[]): number => events.filter(({ type }) => type === 'step').length
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const NOWHERE = 'no/such/directory'

describe('a run', () => {
  it('is iterated for its events and awaited for its result', async () => {
    const run = start()
    const types: string[] = []
    for await (const event of run) types.push(event.type)
    const { adapter, reason, dispose } = await run
    expect([types[0], types.at(-1)]).toEqual(['load', 'end'])
    expect(adapter.parameters().size).toBeGreaterThan(0)
    expect(reason).toBe('completed')
    dispose()
  })

  it('begins at once and does not wait for iterations, of which a late one gets what came before', async () => {
    const told: TrainEvent[] = []
    const run = start({ onEvent: (event) => void told.push(event) })
    // It is begun and never goes on: the run comes to its end all the same.
    const stuck = run[Symbol.asyncIterator]()
    const first = await stuck.next()
    const result = await run
    const { events } = await follow(run)
    result.dispose()
    expect(first.value).toEqual(told[0])
    expect(events.filter(({ type }) => type !== 'prepare')).toEqual(told.filter(({ type }) => type !== 'prepare'))
    expect(steps(events)).toBe(4)
    expect((await stuck.next()).value).toMatchObject({ type: 'prepare', rows: 40 })
  })

  it('a run may be iterated by several at a time, each of which gets its failure behind the event that tells of it', async () => {
    const run = start({ model: NOWHERE })
    const both = await Promise.all([follow(run), follow(run)])
    for (const { events, failure } of both) {
      expect(events).toEqual([{ type: 'fail', code: 'INVALID_MODEL', message: (failure as Error).message }])
      expect((failure as Error).message).toContain(NOWHERE)
    }
    expect(await run.catch((error: unknown) => error)).toBe(both[0]?.failure)
  })

  it('rejects for wrong options and throws nothing where it is begun', async () => {
    const onEvent = vi.fn()
    const run = start({ training: { maxSteps: -7 }, onEvent })
    const { events, failure } = await follow(run)
    expect((failure as Error).message).toContain('for maxSteps, got -7')
    expect(events.map(({ type }) => type)).toEqual(['fail'])
    expect(onEvent).not.toHaveBeenCalled()
  })

  it('behaves as a promise does: with then, catch, finally and Promise.all', async () => {
    const failing = start({ model: NOWHERE })
    const ended = vi.fn()
    expect(await rejection(failing.finally(ended))).toContain(NOWHERE)
    expect(ended).toHaveBeenCalledOnce()
    const [result, caught] = await Promise.all([start(), failing.catch(() => 'caught')])
    result.dispose()
    expect([result.step, caught]).toEqual([4, 'caught'])
  })
})

describe('stop()', () => {
  it('ends the run after its step, with a checkpoint', async () => {
    const outputDir = join(directory, 'stopped')
    const run = start({ outputDir, training: { ...TINY_TRAINING, saveStrategy: 'no' } })
    for await (const event of run) if (event.type === 'step' && event.step === 2) run.stop()
    const { reason, step, dispose } = await run
    dispose()
    expect([reason, step < 6]).toEqual(['aborted', true])
    expect(readdirSync(outputDir)).toContain(`checkpoint-${step}`)
  })

  it('stop() before the first step rejects and tells so', async () => {
    const run = start()
    run.stop()
    const { events, failure } = await follow(run)
    const message = '[train] the run was stopped before its first step'
    expect((failure as Error).message).toBe(message)
    expect(events.at(-1)).toEqual({ type: 'fail', code: 'STOPPED', message })
    expect(steps(events)).toBe(0)
  })

  it('stop() after the end does nothing, however often it is called', async () => {
    const run = start()
    const result = await run
    run.stop()
    run.stop()
    expect((await run).reason).toBe('completed')
    result.dispose()
  })
})

describe('await using', () => {
  it('stops a run whose block is left and frees its memory', async () => {
    const run = start({ training: { ...TINY_TRAINING, numTrainEpochs: 1000, saveStrategy: 'no' } })
    for await (const event of run) if (event.type === 'step') break
    await run[Symbol.asyncDispose]()
    const result = await run
    expect(result.reason).toBe('aborted')
    expect(() => result.model.expectLive('test')).toThrow('disposed')
    // Leaving the block after the result was disposed of is no mistake.
    await run[Symbol.asyncDispose]()
  })

  it('throws nothing where it is what stopped the run before its first step', async () => {
    const run = start()
    await run[Symbol.asyncDispose]()
    expect(await rejection(run)).toBe('[train] the run was stopped before its first step')
  })

  it('throws a failure that nobody has asked for, and not one that was awaited', async () => {
    const alone = start({ model: NOWHERE, callbacks: [{ name: 'told', onEvent: () => {} }] })
    expect(await rejection(alone[Symbol.asyncDispose]() as Promise<void>)).toContain(NOWHERE)
    const awaited = start({ model: NOWHERE })
    await rejection(awaited)
    await awaited[Symbol.asyncDispose]()
  })

  it('works where it is transpiled for Node 20', async () => {
    const source = `
      export async function use(start, seen) {
        await using run = start()
        for await (const event of run) {
          seen.push(event.type)
          if (event.type === 'step') break
        }
        return run[Symbol.toStringTag]
      }`
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    })
    expect(outputText).not.toContain('await using')
    const { use } = (await import(`data:text/javascript,${encodeURIComponent(outputText)}`)) as {
      use(start: () => TrainRun, seen: string[]): Promise<string>
    }
    const seen: string[] = []
    let run: TrainRun | undefined
    const tag = await use(() => {
      run = start({ training: { ...TINY_TRAINING, numTrainEpochs: 1000, saveStrategy: 'no' } })
      return run
    }, seen)
    expect([tag, seen.at(-1)]).toEqual(['TrainRun', 'step'])
    const result = await (run as TrainRun)
    expect(() => result.model.expectLive('test')).toThrow('disposed')
  })
})

describe('a failure', () => {
  const message =
    /^\[train\] the run failed, and nobody waits for it: .*; await what trainLora\(\) gives, or iterate over it$/s

  const dataset = [{ prompt: 1 }]

  it('a failure that nobody asks for and nobody was told of is a warning of the process', async () => {
    const warned = new Promise<string>((resolve) => {
      vi.spyOn(process, 'emitWarning').mockImplementation((warning) => resolve(String(warning)))
    })
    void start({ dataset })
    expect(await warned).toMatch(message)
    expect(await warned).toContain('expected a list of messages for prompt in row 1, got 1')
  })

  it('a failure of which a callback or onEvent was told is none', async () => {
    const warnings = vi.spyOn(process, 'emitWarning')
    for (const how of ['onEvent', 'callbacks']) {
      await new Promise<void>((resolve) => {
        const onEvent = ({ type }: TrainEvent): void => void (type === 'fail' && resolve())
        void start({ dataset, ...(how === 'onEvent' ? { onEvent } : { callbacks: [{ name: 'told', onEvent }] }) })
      })
      // Nothing but promises that are resolved lies between the event and the rejection.
      for (let i = 0; i < 10; i++) await turn()
    }
    expect(warnings).not.toHaveBeenCalled()
  })

  it('a failure of a program that does nothing but begin a run is told on stderr and is no unhandled rejection', async () => {
    const index = new URL('../../dist/index.js', import.meta.url).href
    const program = `import { trainLora } from ${JSON.stringify(index)}\ntrainLora({ model: ${JSON.stringify(NOWHERE)}, dataset: [] })`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let stderr = ''
    child.stderr.on('data', (data) => {
      stderr += data
    })
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect(code).toBe(0)
    expect(stderr).toMatch(/LowrankWarning: \[train\] the run failed, and nobody waits for it: .*no\/such\/directory/)
  })
})
