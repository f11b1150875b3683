/**
 * @file What runs in the loopback workspace, and its catalog, driven by Databricks' own client for Python; and what
 * lowrank submits, read into the types of that client and of bundles.
 */

import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { trainingSubmission } from '../../src/databricks/training/training.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('databricks_compute.py', import.meta.url))
const BUNDLE = fileURLToPath(new URL('databricks_bundle.py', import.meta.url))
const SUBMISSION = trainingSubmission({
  runName: 'nightly',
  experiment: 'lowrank',
  commandPath: '/Workspace/Users/someone@example.com/.lowrank/nightly/train.sh',
  acceleratorType: 'GPU_1xH100',
  environmentVersion: '5',
  timeoutSeconds: 3600,
})

let workspace: LoopbackWorkspace
beforeEach(async () => {
  workspace = await startWorkspace()
  vi.stubEnv('DATABRICKS_CONFIG_FILE', '/nowhere')
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

/** What a script prints as JSON; `input` goes to its stdin. */
async function drive(args: readonly string[], input: unknown = {}): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runPython(args, JSON.stringify(input))
  expect(code, stderr.slice(-4000)).toBe(0)
  return JSON.parse(stdout) as Record<string, unknown>
}

describeWithPython('databricks-sdk for Python', () => {
  it('makes, starts, stops and removes clusters and warehouses, and gives clusters libraries', async () => {
    expect(await drive([SCRIPT, 'clusters', 'warehouses'])).toEqual({
      clusters: {
        state: 'RUNNING',
        statuses: ['PENDING', 'INSTALLED'],
        listed: ['sdk'],
        ended: 'TERMINATED',
        again: 'RUNNING',
        missing: ['ResourceDoesNotExist', 'INVALID_PARAMETER_VALUE'],
      },
      warehouses: {
        stopped: 'STOPPED',
        started: 'RUNNING',
        listed: [['0123456789abcdef', 'Serverless Starter Warehouse', 'RUNNING']],
        missing: ['ResourceDoesNotExist', 'RESOURCE_DOES_NOT_EXIST'],
      },
    })
  })

  it('makes, asks, updates and removes serving endpoints', async () => {
    expect((await drive([SCRIPT, 'serving'])).serving).toEqual({
      ready: 'READY',
      answer: [{ inputs: ['hi'] }],
      version: '4',
      listed: ['sdk'],
      missing: ['ResourceDoesNotExist', 'RESOURCE_DOES_NOT_EXIST'],
    })
  })

  it('reads a training submission into its types without loss, submits it once, follows and cancels runs', async () => {
    const { jobs } = await drive([SCRIPT, 'jobs'], SUBMISSION)
    expect(jobs).toEqual({
      tasks: SUBMISSION.tasks,
      environments: SUBMISSION.environments,
      same: true,
      active: true,
      result: 'SUCCESS',
      logs: 'trained\n',
      cancelled: 'CANCELED',
      missing: ['ResourceDoesNotExist', 'INVALID_PARAMETER_VALUE'],
    })
  })

  it('makes, lists and removes catalogs, schemas, volumes and tables', async () => {
    expect((await drive([SCRIPT, 'catalog'])).catalog).toEqual({
      catalogs: ['main', 'risk'],
      schemas: ['risk.chat'],
      volumes: ['risk.chat.files'],
      volume: ['risk.chat.files', 'MANAGED'],
      tables: ['risk.chat.rows'],
      columns: [
        ['id', 'bigint', 0],
        ['body', 'string', 1],
      ],
      exists: [true, false],
      full: ['BadRequest', 'BAD_REQUEST'],
      twice: ['ResourceConflict', 'CATALOG_ALREADY_EXISTS'],
      gone: ['CATALOG', 'SCHEMA', 'VOLUME', 'TABLE'].map((kind) => ['NotFound', `${kind}_DOES_NOT_EXIST`]),
    })
  })
})

describeWithPython('databricks-bundles', () => {
  it('loads a job with the task and environment of a training run, and refuses a field that it does not know', async () => {
    const { tasks, environments, timeout_seconds } = SUBMISSION
    const job = { name: 'nightly', tasks, environments, timeout_seconds }
    const wrong = { ...job, tasks: [{ ...tasks[0], accelerator: 'GPU_1xH100' }] }
    const { loaded, refused } = await drive([BUNDLE], { job, wrong })
    expect(loaded).toEqual(job)
    expect(refused).toMatch(/accelerator/)
  })
})
