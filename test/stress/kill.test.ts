/**
 * @file kill -9 at any moment, inside checkpoint writes too: the run that goes on ends with the bytes of one that was
 * never killed.
 */

import { spawn } from 'node:child_process'
import { existsSync, readdirSync, watch } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import { cases } from '../support/long.js'
import {
  ofType,
  temporaryDirectory,
  tinyRows,
  trainedBytes,
  withoutDocuments,
  writeTinyModel,
} from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const CHILD = fileURLToPath(new URL('train-child.mjs', import.meta.url))

const directory = temporaryDirectory()

/** More than the kills leave behind them: each comes within four steps. */
const STEPS = cases(16, 90)

/** When to kill a child: after some checkpoints and a pause, or as soon as it has begun to write the next one. */
interface Moment {
  saves: number
  pause: number
  insideWrite: boolean
}

/** A child's life: its events, and whether it was killed. */
interface Life {
  events: TrainEvent[]
  killed: boolean
  output: string
}

function live(options: object, outputDir: string, moment?: Moment): Promise<Life> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify({ ...options, outputDir })])
  const events: TrainEvent[] = []
  let saves = 0
  const kill = () => child.kill('SIGKILL')
  const watcher = watch(outputDir, (_, name) => {
    if (moment?.insideWrite && saves >= moment.saves && name?.startsWith('.checkpoint-')) kill()
  })
  createInterface(child.stdout).on('line', (line) => {
    const event = JSON.parse(line) as TrainEvent
    events.push(event)
    if (event.type === 'save') saves++
    if (moment && !moment.insideWrite && saves === moment.saves) setTimeout(kill, moment.pause)
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (_code, signal) => {
      watcher.close()
      resolve({ events, killed: signal === 'SIGKILL', output })
    })
  })
}

/** Directories that a write had begun and not finished. */
const unfinished = (outputDir: string) => readdirSync(outputDir).filter((name) => name.startsWith('.checkpoint-'))

it.each([
  { name: 'LoRA', kills: cases(2, 40), given: { dtype: 'float32' } },
  { name: 'QLoRA', kills: cases(1, 20), given: { quantization: 'nf4' } },
])(
  '$kills kills of $name, at least a quarter of them inside the write of a checkpoint, change no byte',
  async ({ name, kills, given }) => {
    const options = {
      model: await writeTinyModel(join(directory, `${name}-model`)),
      dataset: tinyRows(40),
      ...given,
      lora: { r: 8, loraAlpha: 8, loraDropout: 0.05 },
      training: {
        maxSteps: STEPS,
        perDeviceTrainBatchSize: 1,
        gradientAccumulationSteps: 3,
        packing: true,
        maxLength: 48,
        learningRate: 5e-3,
        saveSteps: 1,
        saveTotalLimit: 2,
      },
    }
    const whole = join(directory, `${name}-whole`)
    await mkdir(whole)
    const uninterrupted = await live({ ...options, save: join(whole, 'final') }, whole)
    expect(uninterrupted.output).toBe('')
    expect(ofType(uninterrupted.events, 'end')[0]).toMatchObject({ type: 'end', reason: 'completed', step: STEPS })

    const outputDir = join(directory, `${name}-killed`)
    await mkdir(outputDir)
    const save = join(directory, `${name}-killed-final`)
    const random = seededRandom(2024)
    let insideWrites = 0
    let reached = 0
    for (let kill = 0; kill < kills; kill++) {
      const insideWrite = kill % 2 === 0
      const moment = { saves: Math.floor((random() + 1) * 2), pause: (random() + 1) * 12, insideWrite }
      const { events, killed, output } = await live({ ...options, save }, outputDir, moment)
      expect(output, `life ${kill}`).toBe('')
      expect(killed, `life ${kill}`).toBe(true)
      insideWrites += unfinished(outputDir).length
      // A checkpoint that was reported is never lost.
      const start = events.find((event) => event.type === 'start')
      if (start) expect(start.step).toBeGreaterThanOrEqual(reached)
      for (const event of events) if (event.type === 'save') reached = event.step
    }
    expect(insideWrites).toBeGreaterThanOrEqual(kills / 4)
    expect(existsSync(save)).toBe(false)

    const last = await live({ ...options, save }, outputDir)
    expect(last.output).toBe('')
    expect(ofType(last.events, 'end')[0]).toMatchObject({ type: 'end', reason: 'completed', step: STEPS })
    expect((await trainedBytes(save)) === (await trainedBytes(join(whole, 'final')))).toBe(true)
    expect(await withoutDocuments(outputDir)).toEqual([`checkpoint-${STEPS - 1}`, `checkpoint-${STEPS}`])
  },
  1_200_000,
)
