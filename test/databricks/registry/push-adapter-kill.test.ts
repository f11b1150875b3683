/** @file Pushes of adapters whose process is killed at one request or another: run again they make one version. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { connectDatabricks } from '../../../src/databricks/client/connect.js'
import { pullAdapter } from '../../../src/databricks/client/models/pull.js'
import { pushAdapter } from '../../../src/databricks/registry/push.js'
import { listResources } from '../../../src/databricks/resources.js'
import { REGISTRY } from '../../../src/testing/model-registry.js'
import { startWorkspace } from '../../../src/testing/workspace.js'
import { isLong } from '../../support/long.js'
import { MODEL } from '../../support/registered-model.js'
import { temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../../support/tiny-model.js'

const LIBRARY = new URL('../../../dist/databricks.js', import.meta.url).href
/** Requests that the workspace has seen when the process is killed: a push has about twenty. */
const KILLED_AT = isLong ? Array.from({ length: 22 }, (_, index) => index + 1) : [4, 9]

afterEach(() => vi.unstubAllEnvs())

test('a push that is killed leaves no half version READY, and completes the same version when it is run again', async () => {
  const folder = temporaryDirectory()
  const adapter = join(folder, 'adapter')
  const model = await tinyModel()
  const made = tinyAdapter(model)
  made.baseModelName = await writeTinyModel(join(folder, 'base'))
  await made.save(adapter)
  model.dispose()
  model.device.close()
  for (const requests of KILLED_AT) {
    vi.stubEnv('LOWRANK_STATE', temporaryDirectory())
    const workspace = await startWorkspace()
    const env = { ...process.env, DATABRICKS_HOST: workspace.url, DATABRICKS_TOKEN: workspace.token }
    const call = `pushAdapter(${JSON.stringify(adapter)}, '${MODEL}', { pollInterval: 1 })`
    const program = `import { pushAdapter } from ${JSON.stringify(LIBRARY)}\nawait ${call}`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env, stdio: 'ignore' })
    const ended = once(child, 'exit')
    while (child.exitCode === null && workspace.requests.length < requests)
      await new Promise((resolve) => setImmediate(resolve))
    child.kill('SIGKILL')
    await ended
    const databricks = await connectDatabricks({ host: workspace.url, token: workspace.token })
    await pushAdapter(adapter, MODEL, { databricks, pollInterval: 1 })
    const versions = [...(workspace.state.of(REGISTRY).models.get(MODEL)?.versions.values() ?? [])]
    expect([requests, versions.map(({ status }) => status)]).toEqual([requests, ['READY']])
    const records = (await listResources()).filter(({ kind }) => kind === 'model-version')
    expect([requests, records.map(({ id }) => id)]).toEqual([requests, [`${MODEL}/1`]])
    const { directory } = await pullAdapter(`uc://${MODEL}`, { databricks, cacheDir: temporaryDirectory() })
    const name = 'adapter_model.safetensors'
    expect(readFileSync(join(directory, name)).equals(readFileSync(join(adapter, name)))).toBe(true)
    await workspace.close()
  }
})
