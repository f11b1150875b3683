/**
 * @file A real model before and after 100 steps on WordNet: what examples/wordnet says of it. Takes some
 * minutes, so it is part of the long series alone.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { evaluate } from '../../src/evaluate/evaluate.js'
import type { EvaluationTask } from '../../src/evaluate/task-options.js'
import { trainLora } from '../../src/train/train-lora.js'
import { isLong } from '../support/long.js'
import { SMOLLM2 } from '../support/real-model.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const folder = temporaryDirectory()
const fileOf = (name: string): string => join(ROOT, 'examples/wordnet', name)
const spec = (name: string) => parse(readFileSync(fileOf(name), 'utf8'))

describe.skipIf(SMOLLM2 === undefined || !isLong)('a real model on WordNet', { timeout: 3_600_000 }, () => {
  test('gets better at definitions and parts of speech, with intervals that leave out 0', async () => {
    const dataset = fileOf('train.jsonl')
    const adapter = join(folder, 'adapter')
    const run = await trainLora({ ...spec('train.yaml'), dataset, model: SMOLLM2 as string, outputDir: folder })
    await run.adapter.save(adapter)
    run.dispose()
    const tasks = (spec('tasks.yaml').tasks as EvaluationTask[]).map((task) => ({
      ...task,
      dataset: join(ROOT, task.dataset as string),
    }))
    const report = await evaluate({ model: SMOLLM2 as string, adapters: { trained: adapter }, tasks })
    const find = (task: string, metric: string) => {
      const found = report.tasks.find(({ name }) => name === task)?.metrics.find(({ name }) => name === metric)
      if (found === undefined) throw new Error(`no ${task}/${metric}`)
      return found
    }
    for (const [task, metric] of [
      ['definitions', 'rouge1'],
      ['definitions', 'rougeL'],
      ['likelihood', 'perplexity'],
      ['part_of_speech', 'accuracy'],
      ['part_of_speech_exact', 'exact_match'],
    ] as const) {
      const { differences, higherIsBetter } = find(task, metric)
      const { low, high } = differences.trained!
      expect(higherIsBetter ? low : -high!, `${task}/${metric}`).toBeGreaterThan(0)
    }
    // Each part of speech is that of a quarter of the rows.
    const byLikelihood = find('part_of_speech', 'accuracy').scores.trained!
    expect(byLikelihood.low).toBeGreaterThan(0.5)
    const byAnswer = find('part_of_speech_answered', 'accuracy').scores.trained!
    expect(Math.abs(byAnswer.value! - byLikelihood.value!)).toBeLessThan(0.05)
  })
})
