/** @file Registered models on this machine: addresses, every way of files, the cache, and what stays out of it. */

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connectDatabricks, type DatabricksClient } from '../../../../src/databricks/client/connect.js'
import { isAlias, parseModelAddress, parseModelName } from '../../../../src/databricks/client/models/address.js'
import { pullAdapter, pullModel } from '../../../../src/databricks/client/models/pull.js'
import type { PullEvent } from '../../../../src/databricks/client/models/pull-options.js'
import { createVersion, modelOf, REGISTRY } from '../../../../src/testing/model-registry.js'
import { type LoopbackWorkspace, startWorkspace } from '../../../../src/testing/workspace.js'
import { type Files, layVersion, MODEL } from '../../../support/registered-model.js'
import { temporaryDirectory } from '../../../support/tiny-model.js'

const ADAPTER: Files = {
  MLmodel: 'flavors: {}\n',
  'peft/adapter_config.json': '{"r": 8}',
  'peft/weights (ä).safetensors': Uint8Array.from({ length: 70_001 }, (_, index) => (index * 7) & 255),
  'components/tokenizer/tokenizer.json': '{}',
}

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
let cacheDir: string
beforeEach(async () => {
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token })
  cacheDir = temporaryDirectory()
  seen = 0
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

let seen = 0
const asked = (): string[] => {
  const since = workspace.requests.slice(seen)
  seen = workspace.requests.length
  return since.map(({ method, path }) => `${method} ${path}`)
}
const expectFiles = (root: string, files: Files): void => {
  for (const [path, content] of Object.entries(files))
    expect(readFileSync(join(root, path)).equals(Buffer.from(content as Uint8Array)), path).toBe(true)
}

test('addresses name a model with an alias, a version or neither, and nothing else is one', () => {
  const plain = { name: 'main.risk.chat', alias: undefined, version: undefined }
  expect(parseModelAddress('uc://main.risk.chat')).toEqual(plain)
  expect(parseModelAddress('main.risk.chat@champion')).toEqual({ ...plain, alias: 'champion' })
  for (const version of ['@v3', '@3', '/3', '?version=3'])
    expect(parseModelAddress(`uc://main.risk.chat${version}`)).toEqual({ ...plain, version: 3 })
  for (const wrong of [
    'uc://main.chat',
    'uc://a.b.c.d',
    'uc://a.b.c@latest',
    'uc://a.b.c/x',
    'a.b.c@v0',
    'a/b',
    'a.b.c@x y',
  ])
    expect(() => parseModelAddress(wrong), wrong).toThrow(/expected a model as uc:\/\/CATALOG.SCHEMA.MODEL/)
  expect(() => parseModelName('a.b.c@x')).toThrow(/without alias and version as CATALOG.SCHEMA.MODEL, got "a.b.c@x"/)
  expect(['champion', 'v3', 'latest', 'a b', '3'].map(isAlias)).toEqual([true, false, false, false, false])
})

test.each([
  ['the Files API', true, 'false'],
  ['presigned addresses', false, 'false'],
  ['the Files API, asked in the dialect of Unity Catalog', true, 'true'],
  ['presigned addresses, asked in the dialect of Unity Catalog', false, 'true'],
])('an adapter comes with all its files through %s, once', async (_way, takesFiles, isNative) => {
  vi.stubEnv('MLFLOW_ENABLE_UC_NATIVE_MODEL_REGISTRY', isNative)
  workspace.state.of(REGISTRY).takesFiles = takesFiles
  await layVersion(workspace, { 'peft/adapter_config.json': '{}' })
  await layVersion(workspace, ADAPTER, { alias: 'champion' })
  const events: PullEvent[] = []
  const onProgress = (event: PullEvent): void => void events.push(event)
  const pulled = await pullAdapter(`uc://${MODEL}@champion`, { databricks, cacheDir, onProgress })
  expectFiles(pulled.root, ADAPTER)
  expect(pulled).toMatchObject({ address: `uc://${MODEL}@v2`, name: MODEL, version: 2, runId: undefined })
  expect(pulled.directory).toBe(join(pulled.root, 'peft'))
  expect(readFileSync(join(pulled.directory, 'tokenizer.json'), 'utf8')).toBe('{}')
  const total = Object.values(ADAPTER).reduce((sum, content) => sum + content.length, 0)
  expect([pulled.fetchedBytes, events[0], events.at(-1)]).toEqual([
    total,
    { type: 'pull', address: pulled.address, bytes: 0, totalBytes: total },
    { type: 'pull', address: pulled.address, bytes: total, totalBytes: total },
  ])
  asked()
  for (const address of ['@champion', '@v2', ''])
    expect(await pullAdapter(`uc://${MODEL}${address}`, { databricks, cacheDir })).toEqual({
      ...pulled,
      fetchedBytes: 0,
    })
  // One question each: what the alias means, whether version 2 is still the same, which is the newest.
  expect(asked()).toHaveLength(3)
  const offline = { databricks, cacheDir, localFilesOnly: true }
  expect((await pullAdapter(`uc://${MODEL}@champion`, offline)).version).toBe(2)
  await expect(pullAdapter(`uc://${MODEL}@v1`, offline)).rejects.toThrow(/@v1 in the cache, got nothing or a part/)
  await expect(pullAdapter(`uc://${MODEL}`, offline)).rejects.toThrow(
    /expected an alias or a version with localFilesOnly/,
  )
  expect(asked()).toEqual([])
})

test('a version of an open-source server comes from the folder that the server names', async () => {
  workspace.state.of(REGISTRY).openSourceRoot = temporaryDirectory()
  vi.stubEnv('MLFLOW_UC_OSS_TOKEN', workspace.token)
  await layVersion(workspace, ADAPTER)
  const options = { registry: `uc:${workspace.url}`, cacheDir }
  const pulled = await pullAdapter(`uc://${MODEL}/1`, options)
  expectFiles(pulled.root, ADAPTER)
  expect((await pullAdapter(`uc://${MODEL}`, options)).fetchedBytes).toBe(0)
  await expect(pullAdapter(`uc://${MODEL}@champion`, options)).rejects.toThrow(
    /expected a registry with aliases .* which has none; name a version: uc:\/\/main.default.chat@v1/,
  )
})

test('what is damaged or half fetched is fetched again, and nothing else', async () => {
  await layVersion(workspace, ADAPTER, { alias: 'champion' })
  const address = `uc://${MODEL}@champion`
  const { root } = await pullAdapter(address, { databricks, cacheDir })
  writeFileSync(join(root, 'MLmodel'), 'cut')
  expect((await pullAdapter(address, { databricks, cacheDir })).fetchedBytes).toBe(ADAPTER.MLmodel?.length)
  expectFiles(root, ADAPTER)
  const other = temporaryDirectory()
  workspace.fail({ path: /weights/, times: 100, with: { status: 400, body: { error_code: 'BAD', message: 'no' } } })
  await expect(pullAdapter(address, { databricks, cacheDir: other })).rejects.toThrow(/weights .*BAD/)
  expect(readdirSync(other, { recursive: true }).filter((path) => String(path).endsWith('.json'))).not.toContain(
    '1.json',
  )
  workspace.heal()
  await pullAdapter(address, { databricks, cacheDir: other })
})

test('a model that was made anew under its name gives its new content', async () => {
  await layVersion(workspace, ADAPTER)
  await pullAdapter(`uc://${MODEL}@v1`, { databricks, cacheDir })
  workspace.state.of(REGISTRY).models.clear()
  workspace.state.clockOffset = 60_000
  const changed = { ...ADAPTER, 'peft/adapter_config.json': '{"r": 9}' }
  await layVersion(workspace, changed)
  const { root } = await pullAdapter(`uc://${MODEL}@v1`, { databricks, cacheDir })
  expectFiles(root, changed)
})

test('a version that is not READY, or not there, or holds something else is refused by name', async () => {
  const model = { MLmodel: 'x', 'model/config.json': '{}', 'components/tokenizer/tokenizer.json': '{}' }
  await layVersion(workspace, model)
  const { state } = workspace
  createVersion(state, modelOf(state, MODEL), { source: 'x' })
  const pull = (address: string) => pullAdapter(`uc://${MODEL}${address}`, { databricks, cacheDir })
  await expect(pull('@v2')).rejects.toThrow(
    /version 2 of the model main.default.chat to be READY, got PENDING_REGISTRATION/,
  )
  await expect(pull('@v7')).rejects.toThrow(
    /expected version 7 of the model main.default.chat at http.*got nothing there; versions that are ready: @v1/,
  )
  await expect(pull('@none')).rejects.toThrow(/expected the alias none of the model main.default.chat/)
  await expect(pull('')).rejects.toThrow(
    /expected an adapter \(adapter_config.json\) in uc:\/\/main.default.chat@v1, got a whole model/,
  )
  const { directory } = await pullModel(`uc://${MODEL}`, { databricks, cacheDir })
  expect(readdirSync(directory).sort()).toEqual(['config.json', 'tokenizer.json'])
})

const ANSWER = { name: MODEL, version: '1', status: 'READY' }
test.each([
  [
    'another version',
    { model_version: { ...ANSWER, version: '2' } },
    /expected version 1 of .*, got 2 of "main.default/,
  ],
  ['another model', { model_version: { ...ANSWER, name: '../..' } }, /expected version 1 of .*, got 1 of "..\/.."/],
  ['no number', { model_version: { ...ANSWER, version: 'x' } }, /expected version 1 of .*, got NaN of/],
  ['nothing', {}, /expected version 1 of .*, got NaN of "undefined"/],
])('an answer with %s in place of what was asked for is refused, and nothing of it kept', async (_what, body, said) => {
  await layVersion(workspace, ADAPTER)
  await layVersion(workspace, { ...ADAPTER, MLmodel: 'other' })
  workspace.fail({ path: /model-versions\/get/, with: { status: 200, body } })
  await expect(pullAdapter(`uc://${MODEL}@v1`, { databricks, cacheDir })).rejects.toThrow(said)
  expect(readdirSync(cacheDir)).toEqual([])
})

test('keys of a cloud, and registries of other kinds, are refused before anything is fetched', async () => {
  await layVersion(workspace, ADAPTER)
  Object.assign(workspace.state.of(REGISTRY), { takesFiles: false, storageMode: 'CUSTOMER_HOSTED' })
  await expect(pullAdapter(`uc://${MODEL}`, { databricks, cacheDir })).rejects.toThrow(
    /got keys of AWS for its storage, which lowrank does not use; ask an administrator to turn on the Files API/,
  )
  const registries = {
    'http://127.0.0.1:1': /got the MLflow server/,
    databricks: /whose models are not in Unity Catalog/,
  }
  for (const [registry, message] of Object.entries(registries))
    await expect(pullAdapter(`uc://${MODEL}`, { registry, cacheDir })).rejects.toThrow(message)
  rmSync(cacheDir, { recursive: true })
})
