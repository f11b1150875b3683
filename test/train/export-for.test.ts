/** @file `exportFor` of trainLora: what other programs would refuse is a warning before the first step. */

import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ofType } from '../../src/train/events.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { temporaryDirectory, trainTiny, writeTinyModel } from '../support/tiny-model.js'

it('says before the first step what vLLM and llama.cpp would refuse of the adapter', async () => {
  const folder = temporaryDirectory()
  const model = await writeTinyModel(join(folder, 'base'))
  const { events } = await trainTiny(
    {
      ...{ model, exportFor: ['vllm', 'llama.cpp', 'peft'] },
      lora: { r: 20, targetModules: ['q_proj'], modulesToSave: ['.norm'] },
      training: { maxSteps: 2 },
    },
    join(folder, 'adapter'),
  )
  const before = events.slice(
    0,
    events.findIndex(({ type }) => type === 'start'),
  )
  expect(ofType(before, 'warning').map(({ message }) => message)).toEqual([
    "[exportFor] vllm (0.33.0): modulesToSave is refused: it takes none but classifier and score, got .norm; export the merged model (format 'merged'), " +
      'or train without modulesToSave',
    '[exportFor] vllm (0.33.0): r is something to set up: it serves rank 20 only when started with --max-lora-rank 32; its default is 16',
    '[exportFor] llama.cpp (commits 0650ea8 and 0b03ada): modulesToSave is refused: a GGUF adapter holds pairs of LoRA alone, no whole .norm; ' +
      "export the merged model (format 'merged'), or train without modulesToSave",
  ])
})

it('takes the names of loaders alone', () => {
  expect(() => resolveTrainOptions({ model: 'm', dataset: 'd', exportFor: ['vllm', 'tgi' as 'vllm'] })).toThrow(
    '[train] expected a list of vllm, llama.cpp, ollama, mlx, peft, transformers for exportFor, got ["vllm", "tgi"]',
  )
})
