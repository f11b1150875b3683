/**
 * @file The registry of the loopback workspace, driven by MLflow's own client for Python in each dialect, and what
 * pushAdapter registered, read by that client there and on a real MLflow server.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { pushAdapter } from '../../src/databricks/registry/push.js'
import { REGISTRY } from '../../src/testing/model-registry.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('databricks_models.py', import.meta.url))
const NAME = 'main.default.peer'
/** Milliseconds until a server that starts on a busy machine answers. */
const PATIENCE = 120_000

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

const drive = async (
  registry: string,
  mode?: 'read',
  alias = '',
  { name = NAME } = {},
): Promise<Record<string, unknown>> => {
  const more = mode === undefined ? [] : [mode, alias]
  const { code, stdout, stderr } = await runPython([SCRIPT, registry, name, temporaryDirectory(), ...more])
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

  it('reads, downloads and loads what pushAdapter registered, by its alias', async () => {
    const folder = temporaryDirectory()
    const adapter = await writeAdapter(folder)
    const databricks = { host: workspace.url, token: workspace.token }
    vi.stubEnv('LOWRANK_STATE', join(folder, 'state'))
    const options = { databricks, alias: 'champion', tags: { team: 'risk' }, description: 'first' }
    await pushAdapter(adapter, NAME, options)
    expect(await drive('databricks-uc', 'read', 'champion')).toMatchObject(await readOf(adapter))
  })
})

describeWithPython('the registry of an MLflow server', () => {
  it('gets an adapter once, which its own client reads by its alias', async () => {
    const folder = temporaryDirectory()
    const adapter = await writeAdapter(folder)
    await withMlflowServer(folder, async (uri) => {
      const options = { registry: uri, alias: 'champion', tags: { team: 'risk' }, description: 'first' }
      const pushed = await pushAdapter(adapter, 'chat', options)
      expect(pushed).toMatchObject({ address: 'models:/chat/1', isNew: true })
      expect(await pushAdapter(adapter, 'chat', options)).toMatchObject({ version: 1, isNew: false, uploadedBytes: 0 })
      const { tags, ...read } = await readOf(adapter)
      const seen = await drive(uri, 'read', 'champion', { name: 'chat' })
      expect(seen).toMatchObject({ ...read, tags: { ...tags, 'lowrank.sha256': pushed.hash } })
    })
  })
})

async function writeAdapter(folder: string): Promise<string> {
  const base = await writeTinyModel(join(folder, 'base'))
  const model = await tinyModel()
  const made = tinyAdapter(model)
  made.baseModelName = base
  await made.save(join(folder, 'adapter'))
  model.dispose()
  model.device.close()
  return join(folder, 'adapter')
}

/** What MLflow's client sees of an adapter. */
async function readOf(adapter: string) {
  const names = ['adapter_config.json', 'adapter_model.safetensors']
  const files = names.map((name) => [`peft/${name}`, readFileSync(join(adapter, name)).toString('hex')])
  const signature = { inputs: expect.any(String), outputs: expect.any(String) }
  return {
    version: 1,
    status: 'READY',
    description: 'first',
    tags: { team: 'risk' },
    aliases: ['champion'],
    flavors: expect.arrayContaining(['transformers']),
    files: { ...Object.fromEntries(files), MLmodel: expect.any(String) },
    signature,
  }
}

async function withMlflowServer(folder: string, use: (uri: string) => Promise<void>): Promise<void> {
  const port = await freePort()
  const uri = `http://127.0.0.1:${port}`
  const program = join(dirname(process.env.LOWRANK_TEST_PYTHON ?? ''), 'mlflow')
  const store = ['--backend-store-uri', 'sqlite:///runs.db', '--artifacts-destination', './files']
  const server = spawn(program, ['server', ...store, '--host', '127.0.0.1', '--port', `${port}`, '--workers', '1'], {
    cwd: folder,
    env: { ...process.env, MLFLOW_DISABLE_TELEMETRY: 'true' },
    stdio: 'ignore',
    detached: true,
  })
  try {
    const end = Date.now() + PATIENCE
    const isUp = () =>
      fetch(`${uri}/health`).then(
        (answer) => answer.ok,
        () => false,
      )
    while (!(await isUp())) {
      if (Date.now() > end || server.exitCode !== null) throw new Error('[test] the MLflow server does not answer')
      await sleep(200)
    }
    await use(uri)
  } finally {
    const ended = server.exitCode === null ? once(server, 'exit') : undefined
    // The server has processes of its own.
    if (server.pid !== undefined && ended) process.kill(-server.pid, 'SIGTERM')
    await ended
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { readonly port: number }
  probe.close()
  await once(probe, 'close')
  return port
}
