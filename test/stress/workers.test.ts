/** @file Trainings in worker threads, beside one of the main thread, finished or terminated half way. */

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { beforeAll, expect, it } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import {
  TINY_TRAINING,
  temporaryDirectory,
  tinyRows,
  trainedBytes,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const WORKER = fileURLToPath(new URL('train-worker.mjs', import.meta.url))
const directory = temporaryDirectory()
let model: string
let alone: string

beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
  alone = (await trainTiny({ model, training: { seed: 9 } }, join(directory, 'alone'))).bytes
})

/** A worker that trains what `alone` was trained with. */
function startWorker(save: string, training: object = {}): Worker {
  const workerData = {
    model,
    dataset: tinyRows(40),
    dtype: 'float32',
    lora: { r: 4, loraAlpha: 8, loraDropout: 0.05 },
    training: { ...TINY_TRAINING, seed: 9, ...training },
    save,
  }
  return new Worker(WORKER, { workerData })
}

const ended = (worker: Worker) =>
  new Promise<number>((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', resolve)
  })

const steps = (worker: Worker, count: number) =>
  new Promise<void>((resolve) => {
    worker.on('message', (event: TrainEvent) => {
      if (event.type === 'step' && event.step >= count) resolve()
    })
  })

it('two worker threads and the main thread train what each trains alone', async () => {
  const saves = [join(directory, 'worker-0'), join(directory, 'worker-1')]
  const [codes, main] = await Promise.all([
    Promise.all(saves.map((save) => ended(startWorker(save)))),
    trainTiny({ model, training: { seed: 9 } }, join(directory, 'main')),
  ])
  expect(codes).toEqual([0, 0])
  expect(main.bytes === alone).toBe(true)
  for (const save of saves) expect((await trainedBytes(save)) === alone, save).toBe(true)
})

it('terminating workers in the middle of a step disturbs nobody', async () => {
  const endless = { maxSteps: 100_000 }
  for (let round = 0; round < 5; round++) {
    const worker = startWorker(join(directory, 'never'), endless)
    const end = ended(worker)
    await steps(worker, 1 + round)
    const main = trainTiny({ model, training: { seed: 9 } }, join(directory, `beside-${round}`))
    await steps(worker, 4 + round)
    await worker.terminate()
    expect(await end).toBe(1)
    expect((await main).bytes === alone, `round ${round}`).toBe(true)
  }
  const after = join(directory, 'after')
  expect(await ended(startWorker(after))).toBe(0)
  expect((await trainedBytes(after)) === alone).toBe(true)
})
