/** @file What `lowrank train` says about the tracker and the registry that a run went to. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { type CliResult, lowrank } from './run-cli.js'

let workspace: LoopbackWorkspace
let folder: string
beforeAll(async () => {
  workspace = await startWorkspace()
  folder = temporaryDirectory()
  await writeTinyModel(join(folder, 'model'))
  const rows = tinyRows(4).map((row) => JSON.stringify(row))
  writeFileSync(join(folder, 'rows.jsonl'), rows.join('\n'))
})
afterAll(() => workspace.close())

function train(output: string, ...line: readonly string[]): Promise<CliResult> {
  const env = {
    DATABRICKS_HOST: workspace.url,
    DATABRICKS_TOKEN: workspace.token,
    MLFLOW_TRACKING_URI: 'databricks',
    MLFLOW_EXPERIMENT_NAME: '/Users/someone@example.com/chat',
    LOWRANK_STATE: join(folder, 'state'),
    LOWRANK_CACHE: join(folder, 'cache'),
  }
  const run = ['train', '--model', 'model', '--dataset', 'rows.jsonl', '--output', output, '--max-steps', '1']
  return lowrank([...run, '--report-to', 'mlflow', ...line], { env, cwd: folder })
}

test('lowrank train says which run of MLflow and which version of a model it made', async () => {
  const { code, stdout, stderr } = await train('out', '--register-as', 'main.default.links@champion')
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringMatching(
      /^Saved out\/adapter\nRecorded run \w+ in experiment \d+ of databricks\nRegistered main\.default\.links version 1, alias champion\nTry it: /,
    ),
  })
  expect(stderr).toContain('warning: Databricks serving cannot deploy an adapter')

  const again = await train('again', '--register-as', 'main.default.links@champion', '--json')
  const lines = again.stdout.trim().split('\n')
  expect(lines.slice(-2).map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ type: 'tracked', trackingUri: 'databricks', isDatabricks: true }),
    expect.objectContaining({ type: 'registered', name: 'main.default.links', alias: 'champion' }),
  ])
})
