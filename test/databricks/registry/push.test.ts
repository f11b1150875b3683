/** @file Adapters and models in registries: made once, READY only when whole, found again after what goes wrong. */

import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { clean } from '../../../src/databricks/clean.js'
import { connectDatabricks, type DatabricksClient } from '../../../src/databricks/client/connect.js'
import { pullAdapter, pullModel } from '../../../src/databricks/client/models/pull.js'
import { pushAdapter, pushModel } from '../../../src/databricks/registry/push.js'
import type { PushModelEvent } from '../../../src/databricks/registry/push-options.js'
import type { RegisteredVersion } from '../../../src/databricks/registry/register-version.js'
import { listResources } from '../../../src/databricks/resources.js'
import { packAdapter } from '../../../src/mlflow/model-directory.js'
import { FAULTS, type Fault } from '../../../src/testing/faults.js'
import { REGISTRY, type StoredModel } from '../../../src/testing/model-registry.js'
import { TRACKING } from '../../../src/testing/routes/mlflow.js'
import { type LoopbackWorkspace, startWorkspace } from '../../../src/testing/workspace.js'
import { MODEL } from '../../support/registered-model.js'
import { temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const base = join(folder, 'base')
const adapter = join(folder, 'adapter')
beforeAll(async () => {
  await writeTinyModel(base)
  const model = await tinyModel()
  const made = tinyAdapter(model)
  made.baseModelName = base
  await made.save(adapter)
  model.dispose()
  model.device.close()
})

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
let fast: { readonly databricks: DatabricksClient; readonly pollInterval: number }
let cacheDir: string
beforeEach(async () => {
  vi.stubEnv('LOWRANK_STATE', temporaryDirectory())
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token })
  fast = { databricks, pollInterval: 1 }
  cacheDir = temporaryDirectory()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

const stored = (name = MODEL): StoredModel => workspace.state.of(REGISTRY).models.get(name) as StoredModel
const versions = (): string[] => [...stored().versions.values()].map(({ version, status }) => `${version} ${status}`)
const expectPulled = async (options: object = { databricks }): Promise<void> => {
  const { directory } = await pullAdapter(`uc://${MODEL}`, { ...options, cacheDir })
  for (const name of ['adapter_config.json', 'adapter_model.safetensors'])
    expect(readFileSync(join(directory, name)).equals(readFileSync(join(adapter, name)))).toBe(true)
}
const trackedRun = async (): Promise<string> => {
  const post = async (path: string, json: object): Promise<Record<string, unknown>> =>
    await databricks.json({ method: 'POST', path: `/api/2.0/mlflow/${path}`, json, what: 'a run' })
  const { experiment_id } = await post('experiments/create', { name: '/Users/someone@example.com/chat' })
  const { run } = await post('runs/create', { experiment_id, start_time: 1 })
  return (run as { info: { run_id: string } }).info.run_id
}

test.each([
  ['the Files API', true, 'false'],
  ['presigned addresses', false, 'false'],
  ['the Files API, in the dialect of Unity Catalog', true, 'true'],
  ['presigned addresses, in the dialect of Unity Catalog', false, 'true'],
])(
  'an adapter becomes a version that is READY through %s, and comes back with the same bytes',
  async (_way, takesFiles, isNative) => {
    vi.stubEnv('MLFLOW_ENABLE_UC_NATIVE_MODEL_REGISTRY', isNative)
    workspace.state.of(REGISTRY).takesFiles = takesFiles
    const run = await trackedRun()
    const events: PushModelEvent[] = []
    const warnings: string[] = []
    const pushed = await pushAdapter(adapter, MODEL, {
      ...fast,
      alias: 'champion',
      tags: { team: 'risk' },
      metrics: { 'eval/loss': 0.25 },
      description: 'the first',
      run,
      onProgress: (event) => events.push(event),
      onWarning: (message) => warnings.push(message),
    })
    const { hash, totalBytes } = await packAdapter(adapter)
    expect(pushed).toMatchObject({ address: `uc://${MODEL}@v1`, version: 1, isNew: true, hash })
    expect(pushed.warnings.at(-1)).toMatch(/serving cannot deploy an adapter without the weights of its base model/)
    expect(warnings).toEqual(pushed.warnings)
    expect(events.at(-1)).toMatchObject({ bytes: pushed.uploadedBytes, totalBytes: pushed.uploadedBytes })
    expect(pushed.uploadedBytes).toBeGreaterThanOrEqual(totalBytes)
    const [version] = stored().versions.values()
    expect(version).toMatchObject({
      status: 'READY',
      source: `lowrank:/sha256/${hash}`,
      runId: run,
      runWorkspaceId: workspace.state.workspaceId,
      description: 'the first',
      tags: new Map([
        ['team', 'risk'],
        ['metric_eval_loss', '0.25'],
      ]),
    })
    expect([...stored().aliases]).toEqual([['champion', 1]])
    await expectPulled()
    expect((await listResources()).map(({ kind, id }) => [kind, id])).toEqual([
      ['registered-model', MODEL],
      ['model-version', `${MODEL}/1`],
    ])
  },
)

test('the same adapter again uploads nothing, and takes the new alias and tags', async () => {
  await pushAdapter(adapter, MODEL, fast)
  const before = workspace.requests.length
  const again = await pushAdapter(adapter, MODEL, { ...fast, alias: 'champion', tags: { team: 'risk' } })
  expect([again.isNew, again.uploadedBytes, again.version]).toEqual([false, 0, 1])
  expect(
    workspace.requests
      .slice(before)
      .map(({ path }) => path)
      .filter((path) => path.includes('/fs/')),
  ).toEqual([])
  expect([[...stored().aliases], [...(stored().versions.get(1)?.tags ?? [])]]).toEqual([
    [['champion', 1]],
    [['team', 'risk']],
  ])
  expect(versions()).toEqual(['1 READY'])
})

test('an adapter with other weights or another configuration is another version', async () => {
  await pushAdapter(adapter, MODEL, { ...fast, alias: 'champion' })
  const other = join(temporaryDirectory(), 'adapter')
  cpSync(adapter, other, { recursive: true })
  const config = join(other, 'adapter_config.json')
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, 'utf8')), lora_alpha: 99 }))
  const pushed = await pushAdapter(other, MODEL, { ...fast, alias: 'champion' })
  expect([pushed.version, [...stored().aliases], versions()]).toEqual([2, [['champion', 2]], ['1 READY', '2 READY']])
})

test.each<[string, RegExp, Fault]>([
  ['the model is made', /registered-models\/create/, 'lost-answer'],
  ['the version is made', /model-versions\/create/, 'lost-answer'],
  ['the version is finalized', /model-versions\/finalize/, 'lost-answer'],
  ['a file is put', /fs\/files\/Models.*weights|fs\/files\/Models.*safetensors/, 'lost-answer'],
  ['the alias is set', /registered-models\/alias/, 'lost-answer'],
  ['the version is made, with an answer of 500', /model-versions\/create/, FAULTS.html()],
])('a lost answer when %s makes nothing twice', async (_when, path, fault) => {
  workspace.fail({ path, with: fault })
  const done = await pushAdapter(adapter, MODEL, { ...fast, alias: 'champion' }).catch((error: Error) => error.message)
  expect(workspace.pendingFaults()).toEqual([])
  if (typeof done === 'string') {
    // Nothing was done, and nobody knew: a second push is right.
    expect(done).toMatch(/HTTP 502/)
    await pushAdapter(adapter, MODEL, { ...fast, alias: 'champion' })
  }
  expect([versions(), [...stored().aliases]]).toEqual([['1 READY'], [['champion', 1]]])
  await expectPulled()
})

test('a push that fails in the middle leaves a version that is not READY, says so, and goes on the next time', async () => {
  const refused = { status: 403, body: { error_code: 'PERMISSION_DENIED', message: 'no' } } as const
  workspace.fail({ method: 'PUT', path: /adapter_model/, times: 50, with: refused })
  await expect(pushAdapter(adapter, MODEL, fast)).rejects.toThrow(
    /PERMISSION_DENIED.* version 1 of the model main.default.chat at http.* stays PENDING_REGISTRATION and cannot be loaded: push the same directory again, which goes on with it, or delete it/,
  )
  expect(versions()).toEqual(['1 PENDING_REGISTRATION'])
  await expect(pullAdapter(`uc://${MODEL}@v1`, { databricks, cacheDir })).rejects.toThrow(/to be READY/)
  workspace.heal()
  expect(await pushAdapter(adapter, MODEL, fast)).toMatchObject({ version: 1, isNew: true })
  expect(versions()).toEqual(['1 READY'])
  await expectPulled()
})

test.each([
  ['the Files API', true, undefined],
  ['presigned addresses', false, undefined],
  ['the folder of an open-source server', false, 'uc:'],
])('weights that are written anew while they go through %s are no version', async (_way, takesFiles, prefix) => {
  const copy = temporaryDirectory()
  cpSync(adapter, copy, { recursive: true })
  const file = join(copy, 'adapter_model.safetensors')
  const weights = readFileSync(file)
  const change = (): void =>
    writeFileSync(
      file,
      weights.map((byte, at) => (at === weights.length - 1 ? byte ^ 1 : byte)),
    )
  workspace.state.of(REGISTRY).takesFiles = takesFiles
  vi.stubEnv('MLFLOW_UC_OSS_TOKEN', workspace.token)
  if (prefix === 'uc:') workspace.state.of(REGISTRY).openSourceRoot = temporaryDirectory()
  const options = prefix === undefined ? fast : { registry: `${prefix}${workspace.url}`, pollInterval: 1 }
  let isChanged = false
  const onProgress = (): void => {
    if (!isChanged) change()
    isChanged = true
  }
  await expect(pushAdapter(copy, MODEL, { ...options, onProgress })).rejects.toThrow(
    /adapter_model.safetensors to stay as it is while the model is packed and sent/,
  )
  expect([...stored().versions.values()].map(({ status }) => status)).not.toContain('READY')
})

test('a push whose version another one completes meanwhile has that version', async () => {
  const failed = { method: 'PUT', path: /LICENSE/, with: { status: 500, body: { error_code: 'BROKEN' } } } as const
  workspace.fail({ ...failed, times: 1000 })
  await expect(pushAdapter(adapter, MODEL, fast)).rejects.toThrow(/BROKEN/)
  workspace.heal()
  let other: RegisteredVersion | undefined
  const held: DatabricksClient = {
    ...databricks,
    async send(call) {
      if (/LICENSE/.test(call.path)) other ??= await pushAdapter(adapter, MODEL, fast)
      return await databricks.send(call)
    },
  }
  const first = await pushAdapter(adapter, MODEL, { ...fast, databricks: held })
  expect([first, other]).toMatchObject([
    { version: 1, isNew: false },
    { version: 1, isNew: true },
  ])
  expect(versions()).toEqual(['1 READY'])
})

test('a version whose registration failed says why, and the next push makes another', async () => {
  workspace.state.of(REGISTRY).failure = 'The signature is missing.'
  await expect(pushAdapter(adapter, MODEL, fast)).rejects.toThrow(/to become READY, got FAILED_REGISTRATION/)
  workspace.state.of(REGISTRY).failure = undefined
  expect((await pushAdapter(adapter, MODEL, fast)).version).toBe(2)
})

test('a signal ends a push with its reason, and the next one goes on with its version', async () => {
  const controller = new AbortController()
  const stop = () => controller.abort(new Error('stop'))
  const pushed = pushAdapter(adapter, MODEL, { ...fast, signal: controller.signal, onProgress: stop })
  await expect(pushed).rejects.toThrow(/^stop$/)
  expect(versions()).toEqual(['1 PENDING_REGISTRATION'])
  await pushAdapter(adapter, MODEL, fast)
  expect(versions()).toEqual(['1 READY'])
})

test('an open-source server gets the files in its folder; aliases, tags and metrics are refused by name', async () => {
  workspace.state.of(REGISTRY).openSourceRoot = temporaryDirectory()
  vi.stubEnv('MLFLOW_UC_OSS_TOKEN', workspace.token)
  const registry = `uc:${workspace.url}`
  await expect(pushAdapter(adapter, MODEL, { registry, alias: 'champion', metrics: { loss: 1 } })).rejects.toThrow(
    /expected no alias, metrics for the Unity Catalog server .*, which has neither aliases nor tags; leave them out/,
  )
  expect(workspace.requests).toEqual([])
  const options = { registry, pollInterval: 1, description: 'the first', run: '0123' }
  const pushed = await pushAdapter(adapter, MODEL, options)
  expect([pushed.isNew, (await pushAdapter(adapter, MODEL, options)).isNew, versions()]).toEqual([
    true,
    false,
    ['1 READY'],
  ])
  expect(stored().versions.get(1)).toMatchObject({ runId: '0123', description: 'the first' })
  expect([pushed.warnings.join(' ').includes('serving'), await listResources()]).toEqual([false, []])
  await expectPulled({ registry })
})

test('a merged adapter is a whole model, for which nobody warns of serving', async () => {
  const events: PushModelEvent[] = []
  const onProgress = (event: PushModelEvent): void => void events.push(event)
  const pushed = await pushAdapter(adapter, MODEL, { ...fast, merged: true, onProgress })
  expect(pushed.warnings.join(' ')).not.toContain('serving')
  const merging = events.filter((event) => event.type === 'merge')
  const { totalTensors } = merging[0] ?? {}
  expect(merging.at(-1)).toEqual({ type: 'merge', tensors: totalTensors, totalTensors })
  const { directory } = await pullModel(`uc://${MODEL}`, { databricks, cacheDir })
  const again = await pushModel(directory, 'main.default.whole', { ...fast, baseModel: base })
  expect(again).toMatchObject({ name: 'main.default.whole', version: 1, isNew: true })
})

test('a merged adapter has the dtype that is asked for, and answers conversations where its template is there', async () => {
  const templated = join(folder, 'templated')
  cpSync(base, templated, { recursive: true })
  writeFileSync(join(templated, 'chat_template.jinja'), '{{ messages }}')
  const merge = { merged: true, dtype: 'float32', task: 'llm/v1/chat', baseModel: templated } as const
  await pushAdapter(adapter, MODEL, { ...fast, ...merge })
  const { directory } = await pullModel(`uc://${MODEL}`, { databricks, cacheDir })
  expect(JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'))).toMatchObject({ dtype: 'float32' })
  const push = pushAdapter(adapter, MODEL, { ...fast, quantization: 'nf4' })
  await expect(push).rejects.toThrow(/expected merged: true with quantization, which is of merging/)
})

test('what cannot be is told before anything is asked: names, aliases, registries, runs', async () => {
  const push = (name: string, options: object = {}) => pushAdapter(adapter, name, { ...fast, ...options })
  await expect(push('chat')).rejects.toThrow(/expected a model as uc:\/\/CATALOG.SCHEMA.MODEL/)
  await expect(push(`${MODEL}@champion`)).rejects.toThrow(/without alias and version .* write main.default.chat/)
  await expect(push(MODEL, { alias: 'v3' })).rejects.toThrow(/that is no version, such as champion/)
  await expect(push(MODEL, { tags: { a: 1 } })).rejects.toThrow(/an object of text by name/)
  await expect(push(MODEL, { registry: 'databricks' })).rejects.toThrow(/whose models are not in Unity Catalog/)
  expect(workspace.requests).toEqual([])
  await expect(push(MODEL, { run: 'unknown' })).rejects.toThrow(/to serve the run unknown, got HTTP 404/)
  await expect(push('main.none.chat')).rejects.toThrow(/SCHEMA_DOES_NOT_EXIST/)
  expect([await listResources(), workspace.state.of(TRACKING).models.size]).toEqual([[], 0])
})

test('clean removes versions that were pushed, and a model that nobody else has versions of', async () => {
  await pushAdapter(adapter, MODEL, fast)
  expect((await clean({ databricks })).map(({ outcome }) => outcome)).toEqual(['kept', 'kept'])
  const removed = await clean({ databricks, all: true })
  expect(removed.map(({ kind, outcome }) => `${kind} ${outcome}`)).toEqual([
    'model-version removed',
    'registered-model removed',
  ])
  expect([workspace.state.of(REGISTRY).models.size, await listResources()]).toEqual([0, []])
})

test('a token stands in no error, event, warning or record of a push', async () => {
  const told: unknown[] = []
  const tell = (event: unknown): void => void told.push(event)
  for (const path of [/create/, /fs\/files/, /finalize/]) {
    const body = { error_code: 'BAD', message: `not with ${workspace.token}` }
    workspace.fail({ path, times: 9, with: { status: 400, body } })
    const failed = pushAdapter(adapter, MODEL, { ...fast, onProgress: tell, onWarning: tell })
    told.push(await failed.catch((error: Error) => [error.stack, String(error.cause), JSON.stringify(error)]))
    workspace.heal()
  }
  told.push(await listResources())
  expect(JSON.stringify(told)).toMatch(/BAD.*BAD.*BAD/s)
  expect(JSON.stringify(told)).not.toContain(workspace.token)
})
