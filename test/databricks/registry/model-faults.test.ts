/**
 * @file Every fault of the loopback workspace at every request of pushes and pulls of adapters: a version is READY once
 * with all of its files, or it is not READY and a second push makes it so; what is pulled has the same bytes.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { pullAdapter } from '../../../src/databricks/client/models/pull.js'
import { pushAdapter } from '../../../src/databricks/registry/push.js'
import { REGISTRY } from '../../../src/testing/model-registry.js'
import { FAULT_RULES, type FaultCase, type FaultRules, type FaultVerb, tryFaults } from '../../support/fault-cells.js'
import { MODEL } from '../../support/registered-model.js'
import { temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../../support/tiny-model.js'

const adapter = join(temporaryDirectory(), 'adapter')
beforeAll(async () => {
  vi.stubEnv('LOWRANK_STATE', temporaryDirectory())
  const model = await tinyModel()
  const made = tinyAdapter(model)
  made.baseModelName = await writeTinyModel(join(temporaryDirectory(), 'base'))
  await made.save(adapter)
  model.dispose()
  model.device.close()
})
afterAll(() => vi.unstubAllEnvs())

const push = ({ client }: FaultCase) =>
  pushAdapter(adapter, MODEL, { databricks: client, pollInterval: 1, alias: 'champion' })
const pull = ({ client, folder }: FaultCase, name: string) =>
  pullAdapter(`uc://${MODEL}@champion`, { databricks: client, cacheDir: join(folder, name) })

/** What is wrong with what the registry has, and with what comes back. */
async function differs(one: FaultCase, name: string): Promise<string | undefined> {
  const model = one.workspace.state.of(REGISTRY).models.get(MODEL)
  const versions = [...(model?.versions.values() ?? [])].map(({ status }) => status)
  if (versions.join() !== 'READY') return `its versions are ${versions.join()}`
  const { directory } = await pull(one, name)
  for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
    if (!readFileSync(join(directory, file)).equals(readFileSync(join(adapter, file)))) return `${file} has other bytes`
  return undefined
}

const through = (takesFiles: boolean, { workspace }: FaultCase): void => {
  workspace.state.of(REGISTRY).takesFiles = takesFiles
}

const VERBS: readonly FaultVerb[] = [true, false].flatMap((takesFiles): FaultVerb[] => {
  const way = takesFiles ? 'through the Files API' : 'through presigned addresses'
  return [
    {
      name: `push ${way}`,
      prepare: async (one) => through(takesFiles, one),
      run: push,
      mistake: (one) => differs(one, 'after'),
      // After whatever failed, a second push leaves one version that is READY.
      half: async (one) => {
        await push(one)
        return await differs(one, 'after')
      },
    },
    {
      name: `pull ${way}`,
      prepare: async (one) => {
        through(takesFiles, one)
        await push(one)
      },
      run: (one) => pull(one, 'cache'),
      mistake: (one) => differs(one, 'cache'),
      half: (one) => differs(one, 'cache'),
    },
  ]
})

const MODEL_FAULTS: FaultRules = {
  ...FAULT_RULES,
  'list empty': { method: 'GET', path: /model-versions\/search/, with: { emptyPages: 2 } },
}

test('every fault at every request of pushes and pulls leaves one whole version, or a clear error and nothing READY', async () => {
  const { counts, cells, wrong } = await tryFaults(VERBS, MODEL_FAULTS, 7)
  console.table(counts)
  expect(wrong).toEqual([])
  expect(Object.values(counts).reduce((sum, { right }) => sum + right, 0)).toBeGreaterThan(cells / 2)
})
