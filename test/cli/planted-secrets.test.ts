/**
 * @file What Databricks, MLflow and a proxy are asked with: none of it in anything that failing commands and runs
 * write, Node's diagnostic report included, and nothing in the environment of programs that they start.
 */

import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connectDatabricks } from '../../src/databricks/client/connect.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { type ProxyServer, startProxy } from '../support/proxy-server.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { type CliResult, lowrank } from './run-cli.js'

const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
const HOST = 'workspace.test'
/** All secrets that are planted have this in them. */
const PLANTED = /planted-\w+|oauth-[0-9a-f]{48}|cGxhbnRlZC|X-Amz-Signature=(?!\*)\w|Bearer (?!\*)\w{8}/
const TOKEN = 'planted-token-4f1c8a2b9d7e'
const SECRET = 'planted-secret-9d7e4f1c8a2b'

const folder = temporaryDirectory()
const state = join(folder, 'state')
let workspace: LoopbackWorkspace
let proxy: ProxyServer
beforeAll(async () => {
  workspace = await startWorkspace({ token: TOKEN, clients: [{ clientId: 'robot', clientSecret: SECRET }] })
  proxy = await startProxy({ [HOST]: Number(new URL(workspace.url).port) })
  mkdirSync(join(folder, 'tree'))
  for (const name of ['tree/a', 'tree/b', 'file']) writeFileSync(join(folder, name), 'rows')
  // Whoever runs at the end of a command may write such a report.
  const report = join(folder, 'report.cjs')
  writeFileSync(report, `process.on('exit', () => process.report.writeReport('report-' + process.pid + '.json'))`)
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin/databricks'), '#!/bin/sh\nenv > child.txt\necho "no login" >&2\nexit 1\n')
  chmodSync(join(folder, 'bin/databricks'), 0o755)
  const databricks = await connectDatabricks({ host: workspace.url, token: TOKEN, warehouseId: FIRST_WAREHOUSE })
  await executeStatement("create table main.default.rows as select 'Some text.' as text from range(40)", { databricks })
})
afterAll(async () => {
  await proxy.close()
  await workspace.close()
})

/** What the environment of a command has besides credentials. */
const COMMON = {
  HOME: folder,
  LOWRANK_STATE: state,
  LOWRANK_CACHE: join(folder, 'cache'),
  NODE_OPTIONS: `--require=${join(folder, 'report.cjs')}`,
  DATABRICKS_HOST: `http://${HOST}`,
  DATABRICKS_WAREHOUSE_ID: FIRST_WAREHOUSE,
  KAGGLE_KEY: 'planted-kaggle-key',
  PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
}
const TOKENS = { DATABRICKS_TOKEN: TOKEN }
const ROBOT = { DATABRICKS_CLIENT_ID: 'robot', DATABRICKS_CLIENT_SECRET: SECRET }

async function run(line: readonly string[], credentials: Readonly<Record<string, string>>): Promise<CliResult> {
  const HTTP_PROXY = `http://me:planted-proxy-password@127.0.0.1:${proxy.port}`
  const result = await lowrank([...line, '--verbose'], {
    cwd: folder,
    env: { ...COMMON, HTTP_PROXY, ...credentials },
  })
  expect(result.stdout + result.stderr).not.toMatch(PLANTED)
  return result
}

/** Files in which one of the secrets stands. */
function tellers(): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name)
    return entry.isFile() && PLANTED.test(readFileSync(path, 'latin1')) ? [path] : []
  })
}

/** An answer that repeats what it was asked with. */
const refused = (secret: string) => ({
  status: 403,
  body: { error_code: 'PERMISSION_DENIED', message: `no, not with Bearer ${secret}` },
})

it('failing commands tell no secret: wrong credentials, a refused upload, a sync, a program without a login', async () => {
  const wrong = await run(['databricks', 'login-check'], { DATABRICKS_TOKEN: 'planted-wrong-token-1' })
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('Invalid access token')])
  const robot = await run(['databricks', 'whoami'], { ...ROBOT, DATABRICKS_CLIENT_SECRET: 'planted-wrong-secret' })
  expect([robot.code, robot.stderr]).toEqual([1, expect.stringContaining('invalid_client')])
  workspace.fail({ method: 'PUT', path: /fs\/files/, with: refused(SECRET) })
  const upload = await run(['databricks', 'cp', 'file', 'dbfs:/Volumes/main/default/v/file'], ROBOT)
  expect([upload.code, upload.stderr]).toEqual([1, expect.stringContaining('PERMISSION_DENIED')])
  workspace.fail({ method: 'PUT', path: /fs\/files/, times: 2, with: refused(TOKEN) })
  const sync = await run(['databricks', 'sync', 'tree', 'dbfs:/Volumes/main/default/v/tree'], TOKENS)
  expect([sync.code, sync.stderr]).toEqual([1, expect.stringContaining('PERMISSION_DENIED')])
  const program = await run(['databricks', 'whoami'], {
    DATABRICKS_AUTH_TYPE: 'databricks-cli',
    DATABRICKS_OIDC_TOKEN_ENV: 'MY_JWT',
    MY_JWT: 'planted-jwt',
    ...ROBOT,
  })
  expect([program.code, program.stderr]).toEqual([1, expect.stringContaining('no login')])
  expect(readFileSync(join(folder, 'child.txt'), 'utf8')).toContain('DATABRICKS_CLIENT_ID=robot')
  expect(readFileSync(join(folder, 'child.txt'), 'utf8').replace(/^HTTP_PROXY=.*$/m, '')).not.toMatch(PLANTED)
  writeFileSync(join(folder, 'child.txt'), '')
})

it('a run from a table to MLflow that the workspace fails midway tells no secret, in none of its files', async () => {
  workspace.fail({ method: 'POST', path: /runs\/log-batch/, times: 99, with: refused(TOKEN) })
  const line = ['--model', MODEL, '--dataset', 'uc://main.default.rows', '--output', 'run', '--report-to', 'mlflow']
  const options = ['maxSteps=4', 'maxLength=32', 'loggingSteps=1'].flatMap((each) => ['--set', `training.${each}`])
  const tracking = ['--set', 'mlflow.trackingUri=databricks', '--set', 'mlflow.experimentName=/Users/me/x']
  const trained = await run(['train', ...line, ...options, ...tracking], TOKENS)
  expect(trained.stdout + trained.stderr).toContain('PERMISSION_DENIED')
  expect(readFileSync(join(folder, 'run/train.yaml'), 'utf8')).toContain('main.default.rows')
  writeFileSync(join(folder, 'rows.jsonl'), '{"text":"one"}\n')
  workspace.fail({ method: 'POST', path: /sql\/statements/, times: 9, with: refused(TOKEN) })
  const pushed = await run(['push', 'dataset', 'rows.jsonl', 'main.default.pushed'], TOKENS)
  expect([pushed.code, pushed.stderr]).toEqual([1, expect.stringContaining('PERMISSION_DENIED')])
  workspace.heal()
})

it('no file that the commands wrote holds a secret, and every one left a diagnostic report', () => {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const reports = names.filter((name) => name.startsWith('report-'))
  expect(reports.length).toBe(7)
  for (const name of reports) expect(readFileSync(join(folder, name), 'utf8')).toContain('"environmentVariables"')
  expect(
    names.filter((name) => /train\.yaml|log\.jsonl|\.mlflow|databricks\.jsonl|journal/.test(name)).length,
  ).toBeGreaterThan(2)
  expect(proxy.seen.length).toBeGreaterThan(7)
  expect(tellers()).toEqual([])
})
