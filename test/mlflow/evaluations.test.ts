/** @file Evaluations in MLflow: scores, answers and reports, each once whatever the server does. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { EvaluateEvent } from '../../src/index.js'
import { mlflowCallback, syncMlflow } from '../../src/mlflow.js'
import { TRACKING } from '../../src/testing/routes/mlflow.js'
import { FAULTS, type LoopbackWorkspace, startWorkspace } from '../../src/testing.js'
import { END, logEvent, startEvent, tell } from '../support/run-events.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const BATCH = /runs\/log-batch/
const root = temporaryDirectory()
let directory: string
let workspace: LoopbackWorkspace
let count = 0

beforeEach(async () => {
  directory = join(root, `${count++}`)
  mkdirSync(directory)
  workspace = await startWorkspace()
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

const evaluateEvent = (step: number): EvaluateEvent & { samples: object[] } => ({
  type: 'evaluate',
  step,
  totalSteps: 1000,
  epoch: step / 1000,
  loss: 2 / step,
  perplexity: 3,
  tokens: 7,
  seconds: 0.5,
  metrics: { eval_loss: 2 / step, eval_held_loss: 3 / step, eval_other_loss: null, eval_short_answers_rougeL: 0.25 },
  samples: [{ prompt: 'Two\nlines', text: `"answer" ${step}`, finishReason: 'stop' }],
})

/** Files of the run by name, with their text. */
async function filesOfRun(): Promise<Record<string, string>> {
  const files = await workspace.state.storage.list('')
  return Object.fromEntries(
    await Promise.all(
      files.map(async ({ key }) => [
        key.match(/(?:samples\/)?[^/]+$/)?.[0],
        await text(await workspace.state.storage.get(key)),
      ]),
    ),
  )
}

const options = {
  trackingUri: 'databricks',
  experimentName: '/Users/me@example.com/risk',
  logModel: false,
  logSystemMetrics: false,
}

/** What the only run must have of its evaluations at steps 2 and 4. */
async function expectEvaluations(): Promise<void> {
  const runs = [...workspace.state.of(TRACKING).runs.values()]
  expect(runs).toHaveLength(1)
  const points = (key: string): unknown[] =>
    runs[0]?.metrics.filter((metric) => metric.key === key).map(({ step, value }) => [step, value]) ?? []
  expect(points('eval_loss')).toEqual([
    [2, 1],
    [4, 0.5],
  ])
  expect(points('eval_held_loss')).toEqual([
    [2, 1.5],
    [4, 0.75],
  ])
  expect(points('eval_other_loss').map((point) => (point as number[])[0])).toEqual([2, 4])
  expect(points('eval_short_answers_rougeL')).toEqual([
    [2, 0.25],
    [4, 0.25],
  ])
  const files = await filesOfRun()
  for (const step of [2, 4])
    expect(JSON.parse(files[`samples/step-0000000${step}.json`] ?? 'null')).toEqual({
      columns: ['step', 'prompt', 'answer', 'finish_reason'],
      data: [[step, 'Two\nlines', `"answer" ${step}`, 'stop']],
    })
  expect(JSON.parse(runs[0]?.tags.get('mlflow.loggedArtifacts') ?? 'null')).toEqual(
    [2, 4].map((step) => ({ path: `samples/step-0000000${step}.json`, type: 'table' })),
  )
  expect(files).toMatchObject({ 'report.html': '<p>report</p>', 'evaluation.json': '{}' })
  expect(Object.keys(files)).not.toContain('other.html')
}

it('scores of data sets and tasks, answers and reports are there once, though requests are refused and lost', async () => {
  for (const [name, content] of Object.entries({
    'report.html': '<p>report</p>',
    'evaluation.json': '{}',
    'other.html': 'no report',
  }))
    writeFileSync(join(directory, name), content)
  workspace.fail({ path: BATCH, skip: 1, with: 'lost-answer' })
  workspace.fail({ path: BATCH, skip: 2, with: FAULTS.unavailable() })
  const events = [startEvent(directory), logEvent(1), evaluateEvent(2), logEvent(3), evaluateEvent(4), END]
  await tell(mlflowCallback(options), events)
  await expectEvaluations()
})

it('a server that is down gets all of it from the journal, and a run that goes on keeps its tables', async () => {
  for (const [name, content] of Object.entries({ 'report.html': '<p>report</p>', 'evaluation.json': '{}' }))
    writeFileSync(join(directory, name), content)
  // Nothing is sent: a process that was killed is the same.
  const offline = { ...options, offline: true }
  await tell(mlflowCallback(offline), [startEvent(directory), logEvent(1), evaluateEvent(2)])
  await tell(mlflowCallback(offline), [startEvent(directory, { step: 2 }), logEvent(3), evaluateEvent(4), END])
  await syncMlflow(directory, { trackingUri: 'databricks' })
  await expectEvaluations()
})
