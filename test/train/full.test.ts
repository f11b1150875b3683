/** @file method 'full': every weight of the model through the same trainer. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { prepareDataset } from '../../src/data/dataset.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { evaluateLoss } from '../../src/train/evaluate-loss.js'
import {
  ofType,
  TINY_CONFIG,
  type TinyRun,
  type TinyRunOptions,
  temporaryDirectory,
  tinyRows,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
const evalDataset = tinyRows(9, 55)

describe.each([
  ['an untied head', false, 'float32'],
  ['a tied head', true, 'bfloat16'],
  ['an untied head in float16', false, 'float16'],
] as const)('with %s', (_name, tied, dtype) => {
  const name = (text: string) => at(`${dtype}-${text}`)
  let model: string
  let whole: TinyRun

  const train = (options: Partial<TinyRunOptions>, saveTo: string) =>
    trainTiny(
      {
        model,
        method: 'full',
        dtype,
        evalDataset,
        ...options,
        training: { learningRate: 5e-3, weightDecay: 0.1, evalStrategy: 'epoch' },
      },
      saveTo,
    )

  beforeAll(async () => {
    model = await writeTinyModel(name('model'), { config: { ...TINY_CONFIG, tie_word_embeddings: tied } })
    whole = await train({ outputDir: name('whole') }, name('final'))
  })

  it('lowers the loss, and says that everything is trained', () => {
    const steps = ofType(whole.events, 'step')
    expect(steps.at(-1)?.loss).toBeLessThan(0.9 * (steps[0]?.loss as number))
    const start = ofType(whole.events, 'start')[0]
    expect(start?.trainableParameters).toBe(start?.totalParameters)
    expect(() => whole.run.adapter).toThrow(
      "[train] expected a LoRA run for adapter, but method 'full' trains the model itself; use save(directory)",
    )
  })

  it('saves a model that loads with the loss that it ended with, its tokenizer beside it', async () => {
    expect((await readdir(name('final'))).sort()).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    const { examples: rows } = await prepareDataset(evalDataset, await loadTokenizer(name('final')))
    const loaded = await loadModel(name('final'), { dtype })
    const { loss } = await evaluateLoss(loaded, rows)
    expect(loss).toBe(whole.run.evaluation?.loss)
    expect(loaded.parameters().has('lm_head.weight')).toBe(!tied)
    loaded.device.close()
  })

  it('goes on from a checkpoint to the same bytes', async () => {
    const outputDir = name('stopped')
    const controller = new AbortController()
    const stopped = await train(
      {
        outputDir,
        signal: controller.signal,
        onEvent: (event) => {
          if (event.type === 'step' && event.step === 3) controller.abort()
        },
      },
      name('stopped-final'),
    )
    expect(stopped.run.reason).toBe('aborted')
    expect(stopped.bytes === whole.bytes).toBe(false)
    const resumed = await train({ outputDir, resumeFromCheckpoint: true }, name('resumed'))
    expect(resumed.bytes === whole.bytes).toBe(true)
  })
})
