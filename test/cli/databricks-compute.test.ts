/** @file `lowrank databricks clusters|warehouses|serving-endpoints|runs` against a loopback workspace. */

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { COMPUTE } from '../../src/testing/routes/compute.js'
import { JOBS } from '../../src/testing/routes/jobs.js'
import { FIRST_WAREHOUSE, WAREHOUSES } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { inProcess } from './in-process.js'
import { type CliResult, lowrank, mainScript } from './run-cli.js'
import { endLeftBehind, start } from './running.js'

endLeftBehind()

const CLUSTER =
  'cluster_name: tokens\nspark_version: 17.3.x-scala2.13\nnode_type_id: i3.xlarge\nautoscale:\n  min_workers: 1\n  max_workers: 2\n'
const RUN = { run_name: 'nightly', tasks: [{ task_key: 'a', spark_python_task: {} }, { task_key: 'b' }] }

let workspace: LoopbackWorkspace
let folder: string
beforeAll(async () => {
  workspace = await startWorkspace()
  folder = temporaryDirectory()
  writeFileSync(join(folder, 'cluster.yaml'), CLUSTER)
  writeFileSync(join(folder, 'run.json'), JSON.stringify(RUN))
  writeFileSync(join(folder, 'rows.jsonl'), '{"text":"a"}\n')
  writeFileSync(join(folder, 'question.json'), '{"inputs":["hi"]}')
})
afterAll(() => workspace.close())

const env = (): Record<string, string> => ({
  DATABRICKS_HOST: workspace.url,
  DATABRICKS_TOKEN: workspace.token,
  LOWRANK_STATE: join(folder, 'state'),
})

/** The command line within this process: starting one for each line would take most of the time. */
async function databricks(...line: string[]): Promise<CliResult> {
  for (const [name, value] of Object.entries({ ...env(), TERM: 'dumb', FORCE_COLOR: '0' })) vi.stubEnv(name, value)
  const result = await inProcess(['databricks', ...line])
  vi.unstubAllEnvs()
  expect(result.stdout + result.stderr).not.toContain(workspace.token)
  return result
}

const file = (name: string): string => join(folder, name)
const FAST = ['--poll-interval', '1']
const json = ({ stdout }: CliResult): Record<string, unknown> => JSON.parse(stdout) as Record<string, unknown>

it('a cluster is made of a YAML file, given libraries, stopped, started, listed and deleted by commands', async () => {
  const made = await databricks('clusters', 'create', file('cluster.yaml'), ...FAST, '--json')
  const id = String(json(made).clusterId)
  expect([made.code, made.stderr, json(made).state]).toEqual([
    0,
    'The cluster tokens: PENDING\nThe cluster tokens: RUNNING\n',
    'RUNNING',
  ])
  const { spec } = workspace.state.of(COMPUTE).clusters.get(id) ?? {}
  expect(spec).toMatchObject({ autoscale: { min_workers: 1, max_workers: 2 }, autotermination_minutes: 60 })

  const installed = await databricks('clusters', 'install', id, 'mlflow==3.17.2', '/Volumes/a/b/c/own.whl', ...FAST)
  expect([installed.code, installed.stdout]).toEqual([0, 'Installed 2 libraries\n'])
  const failed = await databricks('clusters', 'install', id, 'no-such-package', ...FAST)
  expect([failed.code, failed.stderr]).toEqual([1, expect.stringContaining('No matching distribution found')])

  expect((await databricks('clusters', 'stop', id)).stdout).toBe(`Terminating ${id}\n`)
  expect((await databricks('clusters', 'get', id)).stdout).toBe(`id     ${id}\nname   tokens\nstate  TERMINATING\n`)
  const listed = await databricks('clusters', 'list')
  expect(listed.stdout).toBe(`ID${' '.repeat(id.length)}NAME    STATE\n${id}  tokens  TERMINATED\n`)
  expect((await databricks('clusters', 'start', id, ...FAST)).stdout).toContain('state  RUNNING\n')
  expect((await databricks('clusters', 'delete', id, '--json')).stdout).toBe(`{"id":"${id}","done":"deleted"}\n`)
  expect((await databricks('clusters', 'list')).stdout).toBe('No clusters\n')
})

it('a warehouse is started and stopped, and a wait without an end says that the time is over', async () => {
  workspace.state.of(WAREHOUSES).get(FIRST_WAREHOUSE)!.state = 'STOPPED'
  const started = await databricks('warehouses', 'start', FIRST_WAREHOUSE, ...FAST)
  expect([started.code, started.stdout]).toEqual([
    0,
    `id     ${FIRST_WAREHOUSE}\nname   Serverless Starter Warehouse\nstate  RUNNING\n`,
  ])
  expect((await databricks('warehouses', 'stop', FIRST_WAREHOUSE)).code).toBe(0)
  const late = await databricks('warehouses', 'start', FIRST_WAREHOUSE, '--timeout', '0.1', '--json')
  expect([late.code, json(late)]).toEqual([
    1,
    expect.objectContaining({
      code: 'SERVICE',
      message: expect.stringMatching(/to be ready within 0.1 s, got STARTING; it goes on in the workspace/),
    }),
  ])
  expect((await databricks('warehouses', 'list', '--json')).stdout).toContain(
    `{"id":"${FIRST_WAREHOUSE}","name":"Serverless Starter Warehouse"`,
  )
})

it('an endpoint serves a registered version, is asked, serves the next one and is deleted', async () => {
  const made = await databricks('serving-endpoints', 'create', 'chat', 'main.chat.merged/3', ...FAST)
  expect(made.stdout).toBe('name    chat\nready   READY\nupdate  NOT_UPDATING\nserves  main.chat.merged/3\n')
  const asked = await databricks('serving-endpoints', 'query', 'chat', '--input', file('question.json'))
  expect(json(asked)).toEqual({ predictions: [{ inputs: ['hi'] }] })
  await databricks('serving-endpoints', 'update', 'chat', 'main.chat.merged/4', '--workload-type', 'GPU_SMALL', ...FAST)
  expect((await databricks('serving-endpoints', 'list')).stdout.split('\n')[1]).toMatch(
    /^chat .*main\.chat\.merged\/4$/,
  )
  expect((await databricks('serving-endpoints', 'delete', 'chat')).stdout).toBe('Deleted chat\n')
  expect(json(await databricks('serving-endpoints', 'query', 'chat', '--prompt', 'hi', '--json'))).toMatchObject({
    errorCode: 'RESOURCE_DOES_NOT_EXIST',
    exitCode: 1,
  })
})

it('a run is followed with its states, its tasks and their logs, and the exit code is that of its result', async () => {
  const run = await databricks('runs', 'submit', file('run.json'), ...FAST)
  expect(run.code).toBe(0)
  expect(run.stderr).toMatch(/^The run nightly: PENDING\nThe run nightly: RUNNING\nThe run nightly: TERMINATED\n/)
  expect(run.stdout).toMatch(
    /^trained\ntrained\nid +1001\nname +nightly \[[0-9a-f]{8}\]\nstate +SUCCESS\npage .*\ntask a +SUCCESS\n/,
  )
  workspace.state.of(JOBS).result = 'FAILED'
  const begun = json(await databricks('runs', 'submit', file('run.json'), '--no-wait', '--json'))
  expect(begun).toMatchObject({ runId: '1002', lifeCycleState: 'PENDING' })
  const logs = await databricks('runs', 'logs', '1002', ...FAST)
  expect([logs.code, logs.stdout]).toEqual([1, 'trained\ntrained\n'])
  expect(logs.stderr).toContain('The task a\nThe command ended with 1.\n')
  const cancelled = await databricks('runs', 'submit', file('run.json'), '--no-wait', '--json')
  const id = String(json(cancelled).runId)
  expect((await databricks('runs', 'cancel', id)).stdout).toBe(`Cancelled ${id}\n`)
  const ended = await databricks('runs', 'logs', id, '--json', ...FAST)
  expect([ended.code, json(ended)]).toEqual([1, expect.objectContaining({ resultState: 'CANCELED' })])
})

it('a training run on a GPU writes its log while it grows, fetches its result, and ends with its code', async () => {
  const { storage } = workspace.state
  const put = (key: string, text: string): Promise<unknown> => storage.put(key, Readable.from([Buffer.from(text)]))
  let result = 'SUCCESS'
  workspace.state.of(JOBS).execute = async (submission) => {
    const [, name] = /\.lowrank\/([^/]+)\/train\.sh/.exec(JSON.stringify(submission)) ?? []
    const folder = `Volumes/a/b/c/${name}`
    await put(`${folder}/log.txt`, 'step 1\n\u001b[2Jstep 2\n')
    await put(`${folder}/output/adapter/adapter_config.json`, '{}')
    return { result, logs: '' }
  }
  writeFileSync(file('train.yaml'), `model: org/name\ndataset: ${file('rows.jsonl')}\noutput_dir: ${file('out')}\n`)
  const line = ['train', file('train.yaml'), '--volume', '/Volumes/a/b/c', '--gpu', 'GPU_1xH100', ...FAST]
  const trained = await databricks(...line)
  expect([trained.code, trained.stdout]).toEqual([
    0,
    expect.stringMatching(/^step 1\n\u241b\[2Jstep 2\nid +\d+\nname +lowrank/),
  ])
  expect(existsSync(join(file('out'), 'adapter', 'adapter_config.json'))).toBe(true)
  result = 'FAILED'
  const failed = await databricks(...line, '--json', '--output', file('second'))
  expect([failed.code, json(failed)]).toEqual([1, expect.objectContaining({ resultState: 'FAILED' })])
  expect(existsSync(file('second'))).toBe(true)
  workspace.state.of(JOBS).execute = undefined
  const wrong = await databricks('train', file('train.yaml'), '--gpu', 'GPU_8xH100')
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    expect.stringMatching(/'GPU_1xA10', 'GPU_1xH100' for --gpu, got "GPU_8xH100"/),
  ])
  const none = await databricks('train', file('train.yaml'))
  expect([none.code, none.stderr]).toEqual([
    2,
    expect.stringMatching(/expected a folder in a volume.* for volume.*; add --volume PATH/),
  ])
})

it('Ctrl-C ends the wait alone, says how to go on, and the cluster stays for lowrank clean', async () => {
  const line = ['databricks', 'clusters', 'create', join(folder, 'cluster.yaml')]
  // The look after the first one is never answered.
  workspace.fail({ path: /clusters\/get/, skip: 1, with: { stallAfter: 2 } })
  const running = start(process.execPath, [mainScript, ...line], { ...env(), LOWRANK_STATE: join(folder, 'stopped') })
  await running.shows('The cluster tokens: PENDING')
  running.child.kill('SIGINT')
  expect((await running.ended).signal).toBe('SIGINT')
  const [id = ''] = [...workspace.state.of(COMPUTE).clusters.keys()]
  expect(running.output()).toContain(
    `The cluster tokens: it goes on in the workspace; lowrank databricks clusters start ${id} waits for it, clusters stop ${id} stops it\n`,
  )
  const stopped = { ...env(), LOWRANK_STATE: join(folder, 'stopped') }
  const cleaned = await lowrank(['clean'], { env: stopped })
  expect([cleaned.stdout, workspace.state.of(COMPUTE).clusters.size]).toEqual([`removed  cluster tokens (${id})\n`, 0])
})

it('what is wrong with words and files is said before the workspace is asked', async () => {
  writeFileSync(join(folder, 'wrong.yaml'), 'cluster_name: x\nspark_version: y\nnum_wokers: 1\n')
  writeFileSync(join(folder, 'empty.yaml'), 'run_name: x\ntasks: []\n')
  const before = workspace.requests.length
  const wrong: [string[], RegExp][] = [
    [['clusters', 'get'], /\[databricks clusters get\] expected the id of the cluster, got nothing/],
    [['clusters', 'create', file('wrong.yaml')], /unknown option "numWokers"; did you mean "numWorkers"/],
    [['clusters', 'create', file('none.yaml')], /got .*none\.yaml, which does not exist; did you mean .*wrong\.yaml\?/],
    [['clusters', 'install', 'id'], /expected libraries behind the id of the cluster, got none/],
    [
      ['serving-endpoints', 'create', 'chat', 'main.chat.merged'],
      /expected a registered version such as catalog\.schema\.model\/3/,
    ],
    [['serving-endpoints', 'query', 'chat'], /expected --prompt TEXT or --input FILE, got neither/],
    [
      ['runs', 'submit', file('empty.yaml')],
      /expected a list of objects with a task_key, and at least one for tasks, got \[\]/,
    ],
    [
      ['clusters', 'strat'],
      /\[databricks clusters\] unknown command "strat"; did you mean databricks clusters start\?/,
    ],
  ]
  for (const [line, message] of wrong) {
    const { code, stderr } = await databricks(...line)
    expect([stderr, code]).toEqual([expect.stringMatching(message), 2])
  }
  expect(workspace.requests.length).toBe(before)
})
