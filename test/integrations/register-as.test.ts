/**
 * @file `registerAs` from end to end on the loopback workspace: a table, a run that is tracked, a version with its
 * alias that is linked to both, and the same bytes back.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connectDatabricks } from '../../src/databricks/client/connect.js'
import { pullAdapter } from '../../src/databricks/client/models/pull.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { type TrainLoraOptions, trainLora } from '../../src/index.js'
import { type ModelRegistry, REGISTRY, type StoredModelVersion } from '../../src/testing/model-registry.js'
import { TRACKING } from '../../src/testing/routes/mlflow.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { MODEL } from '../support/registered-model.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'

const TABLE = 'main.default.rows'
let workspace: LoopbackWorkspace
let options: TrainLoraOptions & { readonly outputDir: string }
beforeEach(async () => {
  workspace = await startWorkspace()
  for (const name of ['HOME', 'LOWRANK_STATE', 'LOWRANK_CACHE']) vi.stubEnv(name, temporaryDirectory())
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
  vi.stubEnv('DATABRICKS_WAREHOUSE_ID', FIRST_WAREHOUSE)
  options = {
    model: await writeTinyModel(join(temporaryDirectory(), 'base')),
    dataset: tinyRows(6),
    outputDir: join(temporaryDirectory(), 'run'),
    registerAs: `${MODEL}@champion`,
    training: { maxSteps: 2 },
  }
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

const registry = (): ModelRegistry => workspace.state.of(REGISTRY)
const version = (): StoredModelVersion => registry().models.get(MODEL)?.versions.get(1) as StoredModelVersion

test('a table becomes a tracked run and a registered adapter with an alias, with one record of lineage', async () => {
  const databricks = await connectDatabricks()
  await executeStatement(`create table ${TABLE} (prompt string, completion string)`, { databricks })
  const values = tinyRows(6).map(({ prompt, completion }) => `('${prompt}', '${completion}')`)
  await executeStatement(`insert into ${TABLE} values ${values.join(', ')}`, { databricks })
  const run = await trainLora({
    ...options,
    dataset: `uc://${TABLE}`,
    reportTo: 'mlflow',
    mlflow: { trackingUri: 'databricks', experimentName: '/Users/someone@example.com/chat' },
    register: { tags: { team: 'risk' }, description: 'nightly' },
    training: { maxSteps: 2, evalSplit: 0.4, evalSteps: 2 },
  })
  run.dispose()
  const [tracked] = workspace.state.of(TRACKING).runs.values()
  const [logged] = workspace.state.of(TRACKING).models.values()
  expect(version()).toMatchObject({
    status: 'READY',
    runId: tracked?.id,
    modelId: logged?.id,
    runWorkspaceId: workspace.state.workspaceId,
    description: 'nightly',
  })
  const { metric_train_loss, metric_eval_loss, ...tags } = Object.fromEntries(version().tags)
  expect(tags).toEqual({ team: 'risk', lowrank_tables: `uc://${TABLE}@v1` })
  expect([Number(metric_train_loss) > 0, Number(metric_eval_loss) > 0]).toEqual([true, true])
  expect([...(registry().models.get(MODEL)?.aliases ?? [])]).toEqual([['champion', 1]])
  const source = JSON.stringify({ delta_table_name: TABLE, delta_table_version: 1, is_databricks_uc_table: true })
  expect(tracked?.datasets[0]).toMatchObject({ dataset: { source_type: 'delta_table', source } })
  expect(registry().lineage).toMatchObject([
    { name: MODEL, version: '1', securable: { table: { name: TABLE, table_id: expect.any(String) } } },
  ])
  const { directory, runId } = await pullAdapter(`uc://${MODEL}@champion`)
  expect(runId).toBe(tracked?.id)
  for (const name of ['adapter_config.json', 'adapter_model.safetensors'])
    expect(readFileSync(join(directory, name))).toEqual(readFileSync(join(options.outputDir, 'adapter', name)))
})

test('the version of a run without a tracker names no run, and a run that is stopped registers nothing', async () => {
  const stopped = trainLora({
    ...options,
    callbacks: [{ name: 'stopper', onEvent: ({ type }, { stop }) => void (type === 'log' && stop()) }],
    training: { maxSteps: 5, loggingSteps: 1 },
  })
  ;(await stopped).dispose()
  expect(registry().models.size).toBe(0)
  ;(await trainLora({ ...options, outputDir: `${options.outputDir}-2` })).dispose()
  expect([version().status, version().runId, registry().lineage]).toEqual(['READY', undefined, []])
})

test('a failure to register rejects the run, and says where the adapter is and how it is registered', async () => {
  workspace.fail({
    path: /model-versions\/create/,
    times: 9,
    with: { status: 400, body: { error_code: 'QUOTA', message: 'full' } },
  })
  await expect(trainLora(options)).rejects.toThrow(
    /QUOTA.*What was trained is in .*run\/adapter: register it with lowrank push adapter .*run\/adapter main.default.chat --alias champion/,
  )
})

test('what cannot be registered is told before the run begins', async () => {
  const told: string[] = []
  const onEvent = ({ type }: { type: string }): void => void told.push(type)
  const train = (more: object) => trainLora({ ...options, onEvent, ...more } as TrainLoraOptions)
  await expect(train({ registerAs: 'chat' })).rejects.toThrow(
    /CATALOG.SCHEMA.MODEL for registerAs, got "chat".* MLFLOW_REGISTRY_URI/,
  )
  await expect(train({ registerAs: 'main.absent.chat' })).rejects.toThrow(
    /expected the schema main.absent for the model/,
  )
  await expect(train({ registerAs: `${MODEL}@v3` })).rejects.toThrow(/no version for registerAs/)
  await expect(train({ register: { merge: true } })).rejects.toThrow(/merged/)
  await expect(train({ register: { task: 'llm/v1/chats' } })).rejects.toThrow(/'text-generation', 'llm\/v1\/chat'/)
  await expect(train({ model: 'base.gguf' })).rejects.toThrow(
    /expected register.merged for registerAs with the GGUF file/,
  )
  await expect(train({ outputDir: undefined })).rejects.toThrow(/registerAs needs outputDir/)
  await expect(train({ method: 'full', register: { merged: true } })).rejects.toThrow(/no register.merged with method/)
  vi.stubEnv('DATABRICKS_TOKEN', 'dapi-of-nobody-at-all')
  await expect(train({})).rejects.toThrow(/PERMISSION_DENIED/)
  expect(told).toEqual([])
})
