/** @file The loopback workspace, driven by Databricks' own client for Python: not only ours agrees with it. */

import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('databricks_client.py', import.meta.url))
const CLIENT = { clientId: 'robot', clientSecret: 'planted-secret-of-the-robot' }
const VARIABLES = ['DATABRICKS_HOST', 'DATABRICKS_TOKEN', 'DATABRICKS_CLIENT_ID', 'DATABRICKS_CLIENT_SECRET']

let workspace: LoopbackWorkspace
beforeEach(async () => {
  workspace = await startWorkspace({ clients: [CLIENT] })
  process.env.DATABRICKS_CONFIG_FILE = '/nowhere'
  use({ DATABRICKS_HOST: workspace.url, DATABRICKS_TOKEN: workspace.token })
})
afterEach(async () => {
  use({})
  await workspace.close()
})

/** What the SDK finds in the environment. */
function use(variables: Readonly<Record<string, string>>): void {
  for (const name of VARIABLES) delete process.env[name]
  Object.assign(process.env, variables)
}

async function drive<Part extends string>(...parts: Part[]): Promise<Record<Part, Record<string, unknown>>> {
  const { code, stdout, stderr } = await runPython([SCRIPT, ...parts])
  expect(code, stderr.slice(-4000)).toBe(0)
  return JSON.parse(stdout) as Record<Part, Record<string, unknown>>
}

describeWithPython('databricks-sdk for Python', () => {
  it('logs in with a token and with an OAuth client of the workspace', async () => {
    expect((await drive('auth')).auth).toMatchObject({ user: 'someone@example.com', auth: 'pat' })
    use({
      DATABRICKS_HOST: workspace.url,
      DATABRICKS_CLIENT_ID: CLIENT.clientId,
      DATABRICKS_CLIENT_SECRET: CLIENT.clientSecret,
    })
    expect((await drive('auth')).auth).toMatchObject({ user: 'robot', auth: 'oauth-m2m' })
    expect(workspace.requests.map(({ path }) => path)).toContain('/oidc/v1/token')
    expect(JSON.stringify(workspace.requests)).not.toContain('planted')
  })

  it('sends and fetches files of volumes, in parts and in parallel', async () => {
    const root = '/Volumes/main/chat/files/sdk'
    expect((await drive('files')).files).toEqual({
      downloaded: true,
      streamed: true,
      head: 51 * 2 ** 20,
      listed: [
        [`${root}/a b`, true, null],
        [`${root}/large.bin`, false, 60 * 2 ** 20 + 5],
        [`${root}/parallel.bin`, false, 51 * 2 ** 20],
      ],
      exists: ['AlreadyExists', expect.any(String)],
      full: [expect.any(String), expect.stringContaining('not empty')],
      gone: ['NotFound', expect.any(String)],
      missing: ['NotFound', expect.any(String)],
    })
    const parts = workspace.requests.filter(({ host, method }) => host === 'storage' && method === 'PUT')
    expect(parts.length).toBe(Math.ceil((60 * 2 ** 20 + 5) / (7 * 2 ** 20)) + 6)
    expect([await workspace.state.storage.openParts(), await workspace.state.storage.list('Volumes/')]).toEqual([0, []])
  })

  it('goes on behind an expired address, a storage that is busy and a body that is cut off', async () => {
    workspace.fail({ host: 'storage', method: 'PUT', path: /partNumber=2/, with: { status: 403, body: EXPIRED } })
    workspace.fail({ host: 'storage', method: 'PUT', path: /partNumber=3/, with: { status: 503 } })
    // The SDK reads pieces of 1 MiB, and goes on only where one of them has arrived.
    workspace.fail({ host: 'storage', method: 'GET', path: /large/, with: { cutAfter: 3_000_000 } })
    const { files } = await drive('files')
    expect([files.downloaded, files.streamed, workspace.pendingFaults()]).toEqual([true, true, []])
    expect(await workspace.state.storage.openParts()).toBe(0)
  })

  it('sends and fetches files of DBFS and of workspace folders', async () => {
    const { dbfs, workspace: folder } = await drive('dbfs', 'workspace')
    expect(dbfs).toEqual({
      read: true,
      listed: [
        ['/sdk/file.bin', expect.any(Number)],
        ['/sdk/small.txt', 3],
      ],
      size: 3,
      missing: ['ResourceDoesNotExist', expect.any(String)],
    })
    expect(folder).toEqual({
      listed: [['/Users/someone@example.com/sdk/notes.txt', 'FILE']],
      read: 'some notes',
      exported: 'some notes',
      missing: ['ResourceDoesNotExist', expect.any(String)],
    })
  })
})

const EXPIRED = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
