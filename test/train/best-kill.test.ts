/**
 * @file Early stopping, best model and resuming together: a run that is killed at any moment, within an evaluation or
 * the write of a checkpoint too, decides as one that was not, and ends with the same bytes and logs.
 */

import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import { cases } from '../support/long.js'
import { temporaryDirectory, tinyRows, trainedBytes, writeTinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const CHILD = fileURLToPath(new URL('../stress/train-child.mjs', import.meta.url))
const directory = temporaryDirectory()
/** Kills of one run at most, runs at least, and kills of all of them at least: a run may end before its last kill. */
const [KILLS, RUNS, ALL_KILLS] = [cases(3, 8), cases(1, 3), cases(1, 20)]
/** More runs than this do not make up for kills that came too late. */
const MOST_RUNS = 3 * RUNS

interface Life {
  readonly wasKilled: boolean
  readonly evaluations: number
  readonly output: string
}

/** @param moment Events before the kill, and milliseconds after them. Default: it lives to its end */
function live(options: object, moment?: { events: number; pause: number }): Promise<Life> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(options)])
  let seen = 0
  let evaluations = 0
  let output = ''
  createInterface(child.stdout).on('line', (line) => {
    const { type } = JSON.parse(line) as TrainEvent
    if (type === 'evaluate') evaluations++
    if (type !== 'step' && type !== 'evaluate' && type !== 'save') return
    seen++
    if (seen === moment?.events) setTimeout(() => child.kill('SIGKILL'), moment.pause)
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (_code, signal) => resolve({ wasKilled: signal === 'SIGKILL', evaluations, output }))
  })
}

const TIMES = /seconds|PerSecond|runtime|per_second/i
const timeless = (text: string) =>
  JSON.parse(text, (key, value) => {
    if (TIMES.test(key)) return undefined
    return key === 'best_model_checkpoint' || key === 'checkpoint' ? String(value).replace(/^.*checkpoint-/, '') : value
  })

/** What a run leaves, without times and directories. */
async function outcome(outputDir: string, save: string) {
  const lines = async (name: string) => (await readFile(join(outputDir, name), 'utf8')).trim().split('\n').map(timeless)
  const { log_history: history, ...state } = timeless(await readFile(join(outputDir, 'trainer_state.json'), 'utf8'))
  return {
    state,
    // The last entry is of the steps of the last process alone.
    history: history.slice(0, -1),
    log: await lines('log.jsonl'),
    samples: await lines('samples.jsonl'),
    bytes: await trainedBytes(save),
  }
}

test(`at least ${ALL_KILLS} kills of runs that end early, up to ${KILLS} of each, change no decision, no byte and no line of a log`, async () => {
  const model = await writeTinyModel(join(directory, 'model'))
  const random = seededRandom(77)
  const below = (limit: number) => Math.floor(((random() + 1) / 2) * limit)
  let allKills = 0
  for (let round = 0; round < RUNS || (allKills < ALL_KILLS && round < MOST_RUNS); round++) {
    const options = {
      model,
      dtype: 'float32',
      threads: 1,
      dataset: tinyRows(24, 3 + round),
      evalDataset: {
        part: tinyRows(8, 77).map(({ prompt }) => ({ prompt, completion: ' nine the hello' })),
        all: tinyRows(4, 3),
      },
      evalTasks: [{ name: 'said', type: 'generation', dataset: tinyRows(3, 5), generation: { maxNewTokens: 4 } }],
      samplePrompts: ['one two three'],
      sampleGeneration: { maxNewTokens: 4, temperature: 0.9 },
      lora: { r: 4, loraAlpha: 8, loraDropout: 0.05 },
      training: {
        maxSteps: 60,
        perDeviceTrainBatchSize: 4,
        gradientAccumulationSteps: 1,
        learningRate: 0.02,
        lrSchedulerType: 'constant',
        warmupRatio: 0,
        loggingSteps: 3,
        logGradNorms: true,
        evalSteps: 2,
        evalOnStart: true,
        metricForBestModel: 'part_loss',
        earlyStoppingPatience: 3,
        loadBestModelAtEnd: true,
        saveTotalLimit: 2,
        // Odd rounds keep the best ones alone, and so go back further.
        ...(round % 2 === 1 && { saveStrategy: 'best' }),
      },
    }
    const at = (name: string) => join(directory, `${name}-${round}`)
    const whole = await live({ ...options, outputDir: at('whole'), save: at('whole-final') })
    expect(whole.output).toBe('')
    const expected = await outcome(at('whole'), at('whole-final'))
    // Else these rows show nothing.
    expect(expected.state.global_step).toBeLessThan(60)
    expect(expected.state.stateful_callbacks.EarlyStoppingCallback.attributes).toEqual({
      early_stopping_patience_counter: 3,
    })
    const run = { ...options, outputDir: at('killed'), save: at('killed-final') }
    let kills = 0
    for (let life = 0; life < KILLS; life++) {
      const { wasKilled, output } = await live(run, { events: 1 + below(12), pause: below(12) })
      expect(output, `life ${life}`).toBe('')
      if (!wasKilled) break
      kills++
    }
    expect(kills).toBeGreaterThan(0)
    allKills += kills
    expect((await live(run)).output).toBe('')
    const { bytes, ...found } = await outcome(at('killed'), at('killed-final'))
    const { bytes: expectedBytes, ...rest } = expected
    expect(found).toEqual(rest)
    expect(bytes === expectedBytes, `round ${round}`).toBe(true)
  }
  expect(allKills).toBeGreaterThanOrEqual(ALL_KILLS)
}, 1_200_000)
