/** @file The name of a run: where it is shown, and that it changes nothing of what is computed. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import {
  TINY_TRAINING,
  type TinyRun,
  temporaryDirectory,
  trainedBytes,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const folder = temporaryDirectory()
const named = join(folder, 'named')
const model = join(folder, 'model')
const training = { ...TINY_TRAINING, maxSteps: 2 }
let run: TinyRun

beforeAll(async () => {
  await writeTinyModel(model)
  run = await trainTiny({ model, outputDir: named, training: { ...training, runName: 'risk *8k*' } }, join(folder, 'a'))
})

it('a run tells its name at its start, and writes it into its card and its files', async () => {
  const [start] = run.events.filter(({ type }) => type === 'start')
  expect(start).toMatchObject({ runName: 'risk *8k*', options: { training: { runName: 'risk *8k*' } } })
  const text = (file: string): Promise<string> => readFile(join(named, file), 'utf8')
  expect(await text('README.md')).toContain('| Run | risk \\*8k\\* |')
  expect(JSON.parse(await text('trainer_state.json'))).toMatchObject({ trial_name: 'risk *8k*' })
  expect(await text('train.yaml')).toMatch(/^ {2}runName: .?risk \*8k\*/m)
})

it('a run without a name has none anywhere, and the same bytes', async () => {
  const plain = await trainTiny({ model, outputDir: join(folder, 'plain'), training }, join(folder, 'b'))
  expect(plain.events.find(({ type }) => type === 'start')).not.toHaveProperty('runName')
  expect(await readFile(join(folder, 'plain', 'README.md'), 'utf8')).not.toContain('| Run |')
  expect(await trainedBytes(join(folder, 'b'))).toBe(await trainedBytes(join(folder, 'a')))
})

it('a run may be resumed under another name', async () => {
  const again = {
    model,
    outputDir: named,
    resumeFromCheckpoint: true,
    training: { ...training, maxSteps: 3, runName: 'more' },
  }
  const { events } = await trainTiny(again, join(folder, 'c'))
  expect(events.find(({ type }) => type === 'start')).toMatchObject({ runName: 'more', step: 2 })
})

it('runName is also taken as run_name, and refused where it is no name', () => {
  const resolve = (runName: unknown) =>
    resolveTrainOptions({ model: 'a/b', dataset: [], training: { run_name: runName } }).training.runName
  expect(resolve('x')).toBe('x')
  for (const wrong of ['', ' ', 7]) expect(() => resolve(wrong)).toThrow('expected the name of a run for runName, got ')
})
