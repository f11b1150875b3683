/** @file The registry of the loopback workspace, driven by MLflow's own client for Python in each dialect. */

import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { REGISTRY } from '../../src/testing/model-registry.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('databricks_models.py', import.meta.url))
const NAME = 'main.default.peer'

let workspace: LoopbackWorkspace
beforeEach(async () => {
  workspace = await startWorkspace()
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

const drive = async (registry: string, ...more: string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await runPython([SCRIPT, registry, NAME, temporaryDirectory(), ...more])
  expect(code, stderr.slice(-4000)).toBe(0)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>
}
const CREATED = { version: 1, status: 'READY', run: null, description: 'first', tags: { kind: 'peer' }, aliases: [] }

describeWithPython("MLflow's client", () => {
  it.each([
    ['the Files API', 'legacy', true],
    ['presigned addresses', 'legacy', false],
    ['the Files API', 'native', true],
    ['presigned addresses', 'native', false],
  ])('registers, reads and removes a version through %s in the %s dialect', async (_way, dialect, takesFiles) => {
    vi.stubEnv('MLFLOW_ENABLE_UC_NATIVE_MODEL_REGISTRY', String(dialect === 'native'))
    workspace.state.of(REGISTRY).takesFiles = takesFiles
    const seen = await drive('databricks-uc')
    const named = { ...CREATED, tags: { kind: 'peer', score: '0.5' }, aliases: ['champion'] }
    expect(seen).toMatchObject({
      created: CREATED,
      read: named,
      'by alias': named,
      reserved: 'INVALID_PARAMETER_VALUE',
      listed: [{ ...CREATED, tags: {} }],
      model: 'all of it',
      same: true,
      'no alias': 'RESOURCE_DOES_NOT_EXIST',
      updated: 'second',
      deleted: 'RESOURCE_DOES_NOT_EXIST',
      twice: 'RESOURCE_ALREADY_EXISTS',
    })
    expect(workspace.state.of(REGISTRY).models.size).toBe(0)
    const wrong = workspace.requests.filter(({ status }) => status === undefined || status >= 405)
    expect(wrong).toEqual([])
    expect(await workspace.state.storage.list('Models/')).toEqual([])
  })

  it('registers, reads and removes a version of an open-source server, which keeps files in a folder', async () => {
    workspace.state.of(REGISTRY).openSourceRoot = temporaryDirectory()
    vi.stubEnv('MLFLOW_UC_OSS_TOKEN', workspace.token)
    const seen = await drive(`uc:${workspace.url}`)
    const created = { ...CREATED, tags: {} }
    expect(seen).toMatchObject({ created, read: created, listed: [created], updated: 'second' })
  })
})
