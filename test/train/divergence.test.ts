/**
 * @file A loss that is not finite ends the run, naming step and gradient, and leaves the last good checkpoint as it
 * was.
 */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { DivergedError } from '../../src/lowrank-error.js'
import { evaluateLoss } from '../../src/train/evaluate-loss.js'
import type { TrainEvent } from '../../src/train/events.js'
import { trainLora } from '../../src/train/train-lora.js'
import { readSafetensorsHeader } from '../../src/weights/safetensors.js'
import {
  ofType,
  rejection,
  temporaryDirectory,
  tinyRows,
  trainedBytes,
  trainTiny,
  withoutDocuments,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
let model: string

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
})

/** Overwrites one value of a weight of the model on disk; gives the bytes to write back. */
async function poison(name: string, value: number): Promise<Buffer> {
  const path = join(model, 'model.safetensors')
  const before = await readFile(path)
  const entry = (await readSafetensorsHeader(path)).tensors.get(name)
  if (!entry) throw new Error(`no ${name}`)
  const after = Buffer.from(before)
  after.writeFloatLE(value, entry.fileOffset)
  await writeFile(path, after)
  return before
}

it('a learning rate that is far too high is found at the step whose loss is no number', async () => {
  const outputDir = at('huge')
  const events: TrainEvent[] = []
  const message = await rejection(
    trainTiny(
      {
        model,
        outputDir,
        training: { learningRate: 1e30, lrSchedulerType: 'constant', saveSteps: 1 },
        onEvent: (event) => events.push(event),
      },
      at('unused'),
    ),
  )
  expect(message).toMatch(
    /^\[train\] expected a finite loss and gradient at step 2, got loss (NaN|-?Infinity|[\d.e+-]+); the largest gradient is that of base_model\.model\.model\.layers\.\d\.\S+\.lora_[AB]\.weight \(norm (NaN|Infinity)\)\. /,
  )
  expect(message).toContain(`The last good checkpoint is ${join(outputDir, 'checkpoint-1')}. Lower learningRate`)
  expect(await withoutDocuments(outputDir)).toEqual(['checkpoint-1'])
  expect(ofType(events, 'step').map(({ step }) => step)).toEqual([1])
  expect(ofType(events, 'end')).toEqual([])
  const loaded = await loadModel(model, { dtype: 'float32' })
  const adapter = await LoraAdapter.load(loaded, join(outputDir, 'checkpoint-1'))
  for (const [name, parameter] of adapter.parameters()) {
    expect((await parameter.read()).every(Number.isFinite), name).toBe(true)
  }
  loaded.device.close()
})

it.each([
  [Number.NaN, 'lora'],
  [Number.POSITIVE_INFINITY, 'lora'],
  [Number.NaN, 'full'],
] as const)('a weight that is %s ends a run of method %s in its first step, by name', async (value, method) => {
  const before = await poison('model.layers.1.mlp.down_proj.weight', value)
  try {
    expect(
      await rejection(trainTiny({ model, method, outputDir: at(`first-${value}-${method}`) }, at('unused'))),
    ).toContain(
      `expected finite numbers in the weights of the model, got ${value} at 0 in model.layers.1.mlp.down_proj.weight, which makes the loss ` +
        'of step 1 NaN; get the model anew, or load one whose training did not diverge. No checkpoint was written before.',
    )
    expect(await withoutDocuments(at(`first-${value}-${method}`))).toEqual([])
  } finally {
    await writeFile(join(model, 'model.safetensors'), before)
  }
})

it('the last good checkpoint goes on to the bytes of a run that never failed', async () => {
  const whole = await trainTiny({ model }, at('whole'))
  const outputDir = at('half')
  const controller = new AbortController()
  const stop = (event: TrainEvent) => {
    if (event.type === 'save') controller.abort()
  }
  await trainTiny({ model, outputDir, signal: controller.signal, onEvent: stop }, at('unused'))
  const [checkpoint] = await withoutDocuments(outputDir)
  const good = await trainedBytes(join(outputDir, checkpoint as string))
  const before = await poison('model.norm.weight', Number.NaN)
  const message = await rejection(trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at('unused')))
  expect(message).toContain('got NaN at 0 in model.norm.weight, which makes the loss of step 3 NaN')
  expect(message).toContain(`The last good checkpoint is ${join(outputDir, 'checkpoint-2')}.`)
  expect(await withoutDocuments(outputDir)).toEqual(['checkpoint-2'])
  expect(await trainedBytes(join(outputDir, 'checkpoint-2'))).toBe(good)
  await writeFile(join(model, 'model.safetensors'), before)
  const resumed = await trainTiny({ model, outputDir, resumeFromCheckpoint: true }, at('resumed'))
  expect(resumed.bytes).toBe(whole.bytes)
})

describe('a step that leaves weights which are no numbers, though its loss and gradient are', () => {
  const training = { learningRate: 3e38, weightDecay: 10, warmupSteps: 0, maxSteps: 1 }

  it.each(['lora', 'full'] as const)(
    'ends a run of method %s as an error that names the weight, and saves nothing',
    async (method) => {
      for (const saveStrategy of ['steps', 'no'] as const) {
        const outputDir = at(`${method}-${saveStrategy}`)
        const events: TrainEvent[] = []
        const message = await rejection(
          trainLora({
            model,
            dataset: [{ text: 'a b c d' }],
            outputDir,
            method,
            dtype: 'float32',
            training: { ...training, saveStrategy },
            onEvent: (event) => events.push(event),
          }),
        )
        expect(message).toMatch(
          /^\[train\] expected finite weights after step 1, got (NaN|-?Infinity) at \d+ in \S+; nothing is saved of them\. No checkpoint was /,
        )
        expect(await withoutDocuments(outputDir)).toEqual([])
        expect(ofType(events, 'end')).toEqual([])
      }
    },
  )

  it('is found without an outputDir too', async () => {
    expect(await rejection(trainLora({ model, dataset: [{ text: 'a b c d' }], dtype: 'float32', training }))).toContain(
      'expected finite weights after step 1',
    )
  })
})

it('a run that diverges just before an evaluation says so, with the step and the checkpoint', async () => {
  const run = trainLora({
    model,
    dataset: tinyRows(8),
    evalDataset: tinyRows(4),
    dtype: 'float32',
    outputDir: at('before-evaluation'),
    training: { learningRate: 1e18, lrSchedulerType: 'constant', maxSteps: 3, evalSteps: 1, saveSteps: 1 },
  })
  const error = await run.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toBeInstanceOf(DivergedError)
  expect(error).toMatchObject({ code: 'DIVERGED', step: 1 })
  expect((error as Error).message).toContain('after step 1')
})

it('an evaluation whose loss is no number is an error that names the rows', async () => {
  const loaded = await loadModel(model, { dtype: 'float32' })
  const norm = loaded.parameters().get('model.norm.weight')
  norm?.fill(Number.NaN)
  const rows = [1, 2, 3].map((token) => ({ inputIds: [token, 4, 5], labels: [token, 4, 5] }))
  await expect(evaluateLoss(loaded, rows as never, { batchSize: 2 })).rejects.toThrow(
    '[evaluate] expected a finite loss, got NaN in rows 1 to 2; the weights are damaged',
  )
  loaded.device.close()
})
