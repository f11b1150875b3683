/** @file The tasks of a run from the command line: a file of tasks, or a list in the configuration. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readRunOptions } from '../../src/cli/run-options.js'
import type { TrainEvent } from '../../src/train/events.js'
import { ofType, temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { inProcess } from './in-process.js'

const folder = temporaryDirectory()
const at = (name: string) => join(folder, name)
const tasks = at('tasks.yaml')
const TASKS = `tasks:
  - name: said
    type: generation
    dataset: ${at('held-out.jsonl')}
    metrics: [exact_match]
    generation: { max_new_tokens: 3 }
    columns: { prompt: the_prompt }
`
const READ = {
  name: 'said',
  type: 'generation',
  dataset: at('held-out.jsonl'),
  metrics: ['exact_match'],
  generation: { maxNewTokens: 3 },
  columns: { prompt: 'the_prompt' },
}
const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
/** Writes a file of the folder. @returns its path */
async function written(name: string, text: string): Promise<string> {
  await writeFile(at(name), text)
  return at(name)
}

const read = async (file: string, settings: { flag: string; path: string[]; value: unknown }[] = []) =>
  (await readRunOptions({ words: [file], flags: { set: [] }, settings }, {})).options.evalTasks
const refusal = (...args: Parameters<typeof read>): Promise<string> =>
  read(...args).then(
    () => 'nothing was thrown',
    ({ message }: Error) => message,
  )

beforeAll(async () => {
  await writeTinyModel(at('model'))
  await writeFile(at('rows.jsonl'), lines(tinyRows(12)))
  const heldOut = tinyRows(3, 5).map(({ prompt, completion }) => ({ the_prompt: prompt, completion }))
  await writeFile(at('held-out.jsonl'), lines(heldOut))
  await writeFile(tasks, TASKS)
})

describe('evalTasks on the command line', () => {
  it('are read from the file that the flag or the configuration names, or as they stand there', async () => {
    const bare = await written('bare.yaml', 'model: m\ndataset: d.jsonl\n')
    expect(await read(bare, [{ flag: '--eval-tasks', path: ['evalTasks'], value: tasks }])).toEqual([READ])
    expect(await read(await written('path.yaml', `model: m\ndataset: d.jsonl\neval_tasks: ${tasks}\n`))).toEqual([READ])
    const inline = TASKS.replace('tasks:', 'eval_tasks:')
    expect(await read(await written('inline.yaml', `model: m\ndataset: d.jsonl\n${inline}`))).toEqual([READ])
  })

  it('are told of with everything else that is wrong, and where it stands', async () => {
    const wrong = await written('wrong-tasks.yaml', 'tasks: [{ type: perplexity, dataset: d, stride: 0 }]\n')
    const run = await written(
      'wrong.yaml',
      `model: m\ndataset: d.jsonl\nevalTasks: ${wrong}\ntraining: { evalSteps: 0 }\n`,
    )
    expect(await refusal(run)).toBe(
      `[train] 2 options are wrong:
  - [tasks[0]] expected a whole number of at least 1 for stride, got 0 (line 3 of ${run})
  - [training] expected a whole number of at least 1 for evalSteps, got 0 (line 4 of ${run})`,
    )
    const flag = (value: string) => [{ flag: '--eval-tasks', path: ['evalTasks'], value }]
    const bare = await written('bare.yaml', 'model: m\ndataset: d.jsonl\n')
    expect(await refusal(bare, flag(at('task.yaml')))).toMatch(
      /^\[config\] expected a readable YAML file, got .*task\.yaml, which does not exist; did you mean .*tasks\.yaml\? \(--eval-tasks\)$/,
    )
    const others = await written('others.yaml', `model: m\nbatch_size: 4\n${TASKS}`)
    expect(await refusal(bare, flag(others))).toBe(
      `[train] expected tasks alone in ${others} for evalTasks, got model, batchSize too; a run evaluates its own model: give them to lowrank eval as flags (--eval-tasks)`,
    )
    expect(await refusal(bare, flag(await written('no-list.yaml', 'tasks: 3\n')))).toContain(
      `[train] expected a list for tasks in ${at('no-list.yaml')}, got 3 (--eval-tasks)`,
    )
    const numbers = await written('numbers.yaml', 'model: m\ndataset: d.jsonl\nevalTasks: [3]\n')
    expect(await refusal(numbers)).toBe(`[train] expected an object for each task, got 3 (line 3 of ${numbers})`)
    const empty = await written('empty.yaml', "model: m\ndataset: d.jsonl\nevalTasks: ''\n")
    expect(await refusal(empty)).toContain('expected a list of tasks, objects with type and dataset for evalTasks')
  })

  it('score the run, and its train.yaml does them again', async () => {
    const words = ['--model', at('model'), '--dataset', at('rows.jsonl'), '--max-steps', '1', '--max-length', '128']
    const common = ['--set', 'training.perDeviceTrainBatchSize=2', '--set', 'training.packing=false', '--json']
    const scored = async (line: readonly string[]): Promise<unknown> => {
      const { code, stdout, stderr } = await inProcess(['train', ...line])
      expect([code, stderr]).toEqual([0, ''])
      const events = stdout
        .trimEnd()
        .split('\n')
        .map((text) => JSON.parse(text) as TrainEvent)
      return ofType(events, 'evaluate').map(({ metrics }) => metrics)
    }
    const first = await scored([...words, ...common, '--output', at('out'), '--eval-tasks', tasks])
    expect(first).toEqual([{ eval_said_exact_match: 0 }])
    expect(parse(await readFile(at('out/train.yaml'), 'utf8')).evalTasks).toEqual([READ])
    expect(await scored([at('out/train.yaml'), '--json', '--output', at('again')])).toEqual(first)
  })
})
