/** @file A run in event files: read back by TensorBoard's own reader and by its servers, every value once. */

import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import {
  type EvaluateEvent,
  type LogEvent,
  type TrainEvent,
  type TrainLoraOptions,
  trainLora,
} from '../../src/index.js'
import { ofType } from '../../src/train/events.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

type Points = readonly (readonly [step: number, value: number | string])[]
type ByRun<Value> = Readonly<Record<string, Readonly<Record<string, Value>>>>
interface Served {
  readonly scalars: ByRun<Points>
  readonly texts: ByRun<Points>
  readonly hparams: readonly {
    readonly hparams: Readonly<Record<string, unknown>>
    readonly sessions: readonly { readonly status: string; readonly metricValues: readonly object[] }[]
  }[]
}
interface Read {
  readonly read: Readonly<
    Record<string, { readonly scalars: Record<string, Points>; readonly texts: Record<string, Points> }>
  >
  readonly served: Served
  readonly fast: Served
}

async function readBack(logdir: string): Promise<Read> {
  const script = fileURLToPath(new URL('tensorboard_read.py', import.meta.url))
  const { code, stdout, stderr } = await runPython([script, logdir])
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}

/** What a run that was never stopped tells, by tag. */
function expected(events: readonly TrainEvent[]): Record<string, Points> {
  const points = <Event extends LogEvent | EvaluateEvent>(
    all: readonly Event[],
    value: (event: Event) => number | undefined,
  ): Points => all.map((event) => [event.step, Math.fround(value(event) ?? Number.NaN)])
  const log = ofType(events, 'log')
  const evaluate = ofType(events, 'evaluate')
  return {
    'train/loss': points(log, ({ loss }) => loss),
    'train/learning_rate': points(log, ({ learningRate }) => learningRate),
    'train/grad_norm': points(log, ({ gradNorm }) => gradNorm),
    'train/epoch': points(log, ({ epoch }) => epoch),
    'train/num_input_tokens_seen': points(log, ({ numInputTokensSeen }) => numInputTokensSeen),
    'eval/loss': points(evaluate, ({ loss }) => loss),
    'eval/perplexity': points(evaluate, ({ perplexity }) => perplexity),
    'eval/tokens': points(evaluate, ({ tokens }) => tokens),
  }
}

describeWithPython('TensorBoard', () => {
  const directory = temporaryDirectory()

  const optionsOf = async (outputDir: string): Promise<TrainLoraOptions> => ({
    model: await writeTinyModel(join(directory, 'model')),
    dataset: tinyRows(40),
    evalDataset: tinyRows(5, 9),
    dtype: 'float32',
    outputDir,
    lora: { r: 4, loraAlpha: 8 },
    training: { maxSteps: 12, loggingSteps: 1, evalSteps: 3, saveSteps: 4 },
    reportTo: 'tensorboard',
    tensorboard: { loggingDir: join(outputDir, 'logs/first') },
  })

  it('shows every value, the options and the end of a run in its scalars, texts and hparams, each once', async () => {
    const outputDir = join(directory, 'whole')
    const events: TrainEvent[] = []
    const run = await trainLora({ ...(await optionsOf(outputDir)), onEvent: (event) => void events.push(event) })
    run.dispose()
    const wanted = expected(events)
    const { read, served, fast } = await readBack(join(outputDir, 'logs'))
    for (const scalars of [read.first?.scalars, served.scalars.first, fast.scalars.first])
      expect(scalars).toMatchObject(wanted)
    const { runId } = ofType(events, 'start')[0] as { readonly runId: string }
    for (const texts of [read.first?.texts]) {
      expect(texts?.['run_id/text_summary']).toEqual([[0, runId]])
      expect(texts?.['args/text_summary']).toEqual([[0, expect.stringContaining('"maxSteps": 12')]])
    }
    for (const { hparams, texts } of [served, fast]) {
      expect(texts.first?.['args/text_summary']?.[0]?.[1]).toContain('maxSteps')
      expect(hparams).toMatchObject([
        {
          hparams: {
            'lora.r': 4,
            'training.maxSteps': 12,
            'training.lrSchedulerType': expect.any(String),
            method: 'lora',
          },
          sessions: [{ status: 'STATUS_SUCCESS' }],
        },
      ])
    }
  })

  it('has every value of a run that was killed, each once, and pandas and csv have the same', async () => {
    const outputDir = join(directory, 'killed')
    mkdirSync(outputDir)
    const steps = 300
    const killed = [await logSteps(outputDir, steps, 120), await logSteps(outputDir, steps, 230)]
    expect(killed).toEqual(['SIGKILL', 'SIGKILL'])
    expect(await logSteps(outputDir, steps)).toBe(null)
    const every = (distance: number): number[] =>
      Array.from({ length: steps / distance }, (_, index) => distance * (index + 1))
    const { read, served, fast } = await readBack(join(outputDir, 'runs'))
    const [run] = Object.keys(read)
    for (const scalars of [read, served.scalars, fast.scalars].map((runs) => runs[run as string]))
      expect((scalars?.scalars ?? scalars) as object).toMatchObject({
        'train/loss': every(1).map((step) => [step, Math.fround(Math.sin(step))]),
        'eval/loss': every(50).map((step) => [step, Math.fround(Math.cos(step))]),
      })
    const script = fileURLToPath(new URL('rows_read.py', import.meta.url))
    const { code, stdout, stderr } = await runPython([script, outputDir])
    expect(code, stderr).toBe(0)
    const rows = every(1).flatMap((step) => [
      ['log', step, Math.sin(step), null],
      ...(step % 50 === 0 ? [['evaluate', step, null, Math.cos(step)]] : []),
    ])
    expect(JSON.parse(stdout)).toEqual({ pandas: rows, csv: rows, jsonl: rows })
  })
})

/** Logs steps in a process, which is killed behind a step if one is given. @returns the signal that ended it */
async function logSteps(directory: string, steps: number, killedAt?: number): Promise<string | null> {
  const script = fileURLToPath(new URL('../trackers/log-steps.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, directory, `${steps}`, '1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (killedAt !== undefined && text.split('\n').some((line) => Number(line) >= killedAt)) child.kill('SIGKILL')
  })
  return await new Promise((resolve) => child.on('close', (_, signal) => resolve(signal)))
}
