/**
 * @file `lowrank push adapter`, `push model` and `pull uc://` against a loopback workspace, and uc:// as an adapter.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { LoraAdapter, loadModel, trainLora } from '../../src/index.js'
import { packAdapter } from '../../src/mlflow.js'
import { REGISTRY } from '../../src/testing/model-registry.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory, tinyAdapter, tinyModel, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { type CliResult, lowrank } from './run-cli.js'

const folder = temporaryDirectory()
const base = join(folder, 'base')
let workspace: LoopbackWorkspace
let env: Record<string, string>
beforeAll(async () => {
  workspace = await startWorkspace()
  env = {
    DATABRICKS_HOST: workspace.url,
    DATABRICKS_TOKEN: workspace.token,
    LOWRANK_STATE: join(folder, 'state'),
    LOWRANK_CACHE: join(folder, 'cache'),
  }
  await writeTinyModel(base)
  const model = await tinyModel()
  const made = tinyAdapter(model)
  made.baseModelName = base
  await made.save(join(folder, 'adapter'))
  model.dispose()
  model.device.close()
})
afterAll(() => workspace.close())

const run = (...line: readonly string[]): Promise<CliResult> => lowrank(line, { env, cwd: folder })
const MODEL = 'main.default.cli'

test('an adapter is registered once, warned of before, pulled, and takes part in generate and chat by its address', async () => {
  const line = ['push', 'adapter', 'adapter', MODEL, '--alias', 'champion', '--tag', 'team=risk']
  const pushed = await run(...line)
  expect(pushed, pushed.stderr).toMatchObject({ code: 0 })
  expect(pushed.stdout).toMatch(/^Registered uc:\/\/main\.default\.cli@v1 \([\d.]+ \w+\), with the alias champion\n$/)
  expect(pushed.stderr).toMatch(/Warning: Databricks serving cannot deploy an adapter without the weights/)
  expect(workspace.state.of(REGISTRY).models.get(MODEL)?.versions.get(1)?.tags).toEqual(new Map([['team', 'risk']]))
  const again = await run(...line, '--json')
  expect(JSON.parse(again.stdout)).toMatchObject({ address: `uc://${MODEL}@v1`, isNew: false, uploadedBytes: 0 })

  const pulled = await run('pull', `uc://${MODEL}@champion`)
  const directory = pulled.stdout.trim()
  expect(pulled.stderr).toContain(`uc://${MODEL}@v1 holds an adapter`)
  for (const name of ['adapter_config.json', 'adapter_model.safetensors'])
    expect(readFileSync(join(directory, name))).toEqual(readFileSync(join(folder, 'adapter', name)))
  const options = ['--prompt', 'Hi', '--json', '--max-new-tokens', '3', '--temperature', '0']
  const there = await run('generate', '--adapter', 'adapter', ...options)
  const byAddress = await run('generate', '--adapter', `uc://${MODEL}@champion`, ...options)
  expect(byAddress, byAddress.stderr).toMatchObject({ code: 0 })
  expect(JSON.parse(byAddress.stdout).text).toBe(JSON.parse(there.stdout).text)
})

test('a whole model is registered, and a run trains on it by its address, which the adapter names', async () => {
  const pushed = await run('push', 'model', 'base', 'main.default.whole', '--json')
  expect(pushed, pushed.stderr).toMatchObject({ code: 0 })
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  const outputDir = join(folder, 'run')
  const address = 'uc://main.default.whole'
  const trained = await trainLora({ model: address, dataset: tinyRows(4), outputDir, training: { maxSteps: 1 } })
  await trained.save(join(outputDir, 'adapter'))
  trained.dispose()
  expect(readFileSync(join(outputDir, 'train.yaml'), 'utf8')).toContain(`model: "${address}@v1"`)
  const config = JSON.parse(readFileSync(join(outputDir, 'adapter', 'adapter_config.json'), 'utf8'))
  expect(config.base_model_name_or_path).toBe(`${address}@v1`)
  const packed = await packAdapter(join(outputDir, 'adapter'))
  const { flavors } = packed.mlmodel as { flavors: { transformers: { local_base_model_path: string } } }
  const place = flavors.transformers.local_base_model_path
  expect(packed.mlmodel).toMatchObject({ metadata: { lowrank: { base_model: `${address}@v1` } } })
  expect(readFileSync(join(place, 'config.json'))).toEqual(readFileSync(join(base, 'config.json')))
  const model = await loadModel(address)
  const adapter = await LoraAdapter.load(model, `uc://${MODEL}@v1`)
  expect(adapter.parameters().size).toBeGreaterThan(0)
  model.dispose()
  vi.unstubAllEnvs()
})

test('wrong lines are told before anything is asked', async () => {
  const before = workspace.requests.length
  const lines: readonly [readonly string[], RegExp][] = [
    [['push', 'adapter', 'adapter'], /expected a directory and a model, got 1 words/],
    [['push', 'adapter', 'adapter', 'chat'], /expected a model as uc:\/\/CATALOG.SCHEMA.MODEL.*--registry http/],
    [['push', 'adapter', 'adapter', `${MODEL}@a`], /without alias and version .*, and the alias apart: --alias a/],
    [['push', 'adapter', 'base', MODEL], /got base, the directory of a model; write: push model base main/],
    [['push', 'model', 'adapter', MODEL], /got adapter, the directory of an adapter; write: push adapter adapter main/],
    [['push', 'adapter', 'run', MODEL], /got run, the output of a run; write: push adapter run\/adapter main/],
    [['push', 'adapter', 'adapter', MODEL, '--alias', 'v3'], /that is no version, such as champion/],
    [['push', 'model', 'base', MODEL, '--tag', 'x'], /expected key=value for --tag/],
    [['pull', 'uc://main.default'], /expected a model as uc:\/\/CATALOG.SCHEMA.MODEL/],
    [['pull', `uc://${MODEL}`, '--output', 'x'], /expected no --output for a model of Unity Catalog/],
  ]
  for (const [line, message] of lines) {
    const { code, stderr } = await run(...line)
    expect([code === 0, stderr], line.join(' ')).toEqual([false, expect.stringMatching(message)])
  }
  expect(workspace.requests.length).toBe(before)
})
