/**
 * @file Training runs on GPUs of a workspace: packed into a volume, submitted as an `ai_runtime_task`, followed by
 * their log, and fetched.
 */

import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { expectObject } from '../../errors.js'
import { ServiceError } from '../../http/service-error.js'
import { OptionError } from '../../lowrank-error.js'
import { readOptions } from '../../options/table.js'
import { packageVersion } from '../../version.js'
import { yamlText } from '../../yaml-text.js'
import { type DatabricksClient, openDatabricks } from '../client/connect.js'
import { currentUser } from '../client/current-user.js'
import { createDirectory, getMetadata, uploadFile } from '../client/files/files.js'
import { filesCall } from '../client/files/files-api.js'
import { syncDirectory } from '../client/files/sync.js'
import { getRun, hasEnded, type JobRun, type RunSubmission, submitRun } from '../jobs.js'
import { make, recordGone } from '../resources.js'
import { waitUntil } from '../wait.js'
import {
  type AcceleratorType,
  TRAINING_OPTIONS,
  TRAINING_WAIT_OPTIONS,
  type TrainingOptions,
  type TrainingWaitOptions,
} from './options.js'
import { packConfig } from './pack.js'
import { CONFIG_FILE, LOG_FILE, NODE_PACKAGE, OUTPUT, trainingScript } from './script.js'

/** A training run that was submitted. */
export interface TrainingRun {
  readonly runId: string
  /** Folder of the run in the volume: `train.yaml`, `data`, `log.txt`, `output`. */
  readonly folder: string
}

/** A training run that has ended. */
export interface EndedTraining extends JobRun {
  /** Folder of the result in the volume; undefined where the run left none. */
  readonly output: string | undefined
}

/** Where the run's parts are, and on what it runs. */
export interface TrainingParts {
  readonly runName: string
  readonly experiment: string
  /** Path of the script in the workspace, as nodes have it. */
  readonly commandPath: string
  readonly acceleratorType: AcceleratorType
  readonly environmentVersion: string
  /** 0 is never. */
  readonly timeoutSeconds: number
}

const ENVIRONMENT = 'lowrank'
const TASK = 'train'
const SHOWN_KEY = 8

/** The submission of a training run, as `runs/submit` and a bundle's job take its task and environment. */
export function trainingSubmission(parts: TrainingParts): RunSubmission {
  const { runName, experiment, commandPath, acceleratorType, environmentVersion, timeoutSeconds } = parts
  const compute = { accelerator_type: acceleratorType, accelerator_count: 1 }
  return {
    run_name: runName,
    tasks: [
      {
        task_key: TASK,
        environment_key: ENVIRONMENT,
        ai_runtime_task: { experiment, deployments: [{ command_path: commandPath, compute }] },
      },
    ],
    environments: [
      {
        environment_key: ENVIRONMENT,
        spec: { environment_version: environmentVersion, dependencies: [NODE_PACKAGE] },
      },
    ],
    ...(timeoutSeconds > 0 && { timeout_seconds: timeoutSeconds }),
  }
}

/**
 * Submits a training run on one GPU: the configuration and the files of this machine that it names go into a folder of
 * its own in a volume, a script into the user's workspace folder.
 * @param config The options of `trainLora`, as a YAML file has them. Without `device` the run asks for CUDA.
 * @throws OptionError before anything is sent; ServiceError; the reason of the signal
 */
export async function submitTraining(
  config: Readonly<Record<string, unknown>>,
  options: TrainingOptions,
): Promise<TrainingRun> {
  expectObject('submitTraining', 'config', config)
  const { databricks, signal, volume, packages, ...parts } = readOptions('submitTraining', options, TRAINING_OPTIONS)
  const packed = await packConfig('submitTraining', config)
  const installed = await packPackages(packages ?? ownPackages())
  const client = await openDatabricks(databricks, signal)
  const given = { databricks: client, ...(signal && { signal }) }
  const { userName } = await currentUser(given)
  const name = `${parts.runName.replace(/[^\w.-]+/g, '-')}-${randomUUID().slice(0, SHOWN_KEY)}`
  const folder = `${volume}/${name}`
  const scripts = `/Users/${userName}/.lowrank/${name}`
  await makeDirectory(client, folder, signal)
  for (const { local, path, isDirectory } of [...packed.files, ...installed.files])
    if (isDirectory) await syncDirectory(local, `${folder}/${path}`, { ...given, compare: 'always' })
    else await uploadFile(local, `${folder}/${path}`, given)
  await uploadFile(Buffer.from(yamlText(packed.config)), `${folder}/${CONFIG_FILE}`, given)
  await makeDirectory(client, `workspace:${scripts}`, signal)
  const script = trainingScript({ folder, packages: installed.names })
  await uploadFile(Buffer.from(script), `workspace:${scripts}/train.sh`, given)
  const submission = trainingSubmission({ ...parts, commandPath: `/Workspace${scripts}/train.sh` })
  return { runId: await submitRun(submission, given), folder }
}

/**
 * Waits until a training run has ended, tells what it writes meanwhile, and fetches its result. A run that has failed
 * or was cancelled is fetched too: its checkpoints can be gone on with.
 * @throws ServiceError after `timeout`; the reason of the signal. The run goes on in both cases.
 */
export async function waitForTraining(
  { runId, folder }: TrainingRun,
  options: TrainingWaitOptions = {},
): Promise<EndedTraining> {
  const { databricks, outputDir, onLog, ...waiting } = readOptions('waitForTraining', options, TRAINING_WAIT_OPTIONS)
  const { signal } = waiting
  const client = await openDatabricks(databricks, signal)
  const given = { databricks: client, ...(signal && { signal }) }
  const log = followLog(client, `${folder}/${LOG_FILE}`, signal)
  const run = await waitUntil(
    async () => {
      const value = await getRun(runId, given)
      if (onLog) {
        const text = await log()
        if (text !== '') onLog(text)
      }
      return { state: value.lifeCycleState, value, isDone: hasEnded(value) }
    },
    { ...waiting, what: `the run ${runId}` },
  )
  const last = await log()
  if (last !== '') onLog?.(last)
  await recordGone(client, 'run', runId)
  const output = `${folder}/${OUTPUT}`
  const isThere = (await getMetadata(output, given))?.isDirectory === true
  if (isThere && outputDir !== undefined) await syncDirectory(output, outputDir, { ...given, compare: 'always' })
  return { ...run, output: isThere ? output : undefined }
}

/** What a log that grows has got since the last call. */
function followLog(client: DatabricksClient, path: string, signal: AbortSignal | undefined): () => Promise<string> {
  const decoder = new TextDecoder()
  let read = 0
  return async () => {
    const headers = { range: `bytes=${read}-` }
    try {
      const answer = await client.send({ ...filesCall('GET', path, signal), headers })
      const bytes = new Uint8Array(await new Response(answer.body).arrayBuffer())
      const fresh = answer.status === 206 ? bytes : bytes.subarray(read)
      read += fresh.length
      return decoder.decode(fresh, { stream: true })
    } catch (error) {
      // There is no log yet, or nothing new in it.
      if (error instanceof ServiceError && (error.status === 404 || error.status === 416)) return ''
      throw error
    }
  }
}

async function makeDirectory(client: DatabricksClient, path: string, signal: AbortSignal | undefined): Promise<void> {
  await make(client, {
    kind: 'directory',
    name: path,
    create: () => createDirectory(path, { databricks: client, ...(signal && { signal }) }),
    idOf: () => path,
  })
}

function ownPackages(): string[] {
  const version = packageVersion()
  if (version !== undefined) return [`lowrank@${version}`, `@lowrank/linux-x64-gnu-cuda@${version}`]
  throw new OptionError(
    '[submitTraining] expected packages, got none where the version of lowrank is not known; write packages: [...]',
  )
}

/** Tarballs of this machine go into the folder of the run. */
async function packPackages(packages: readonly string[]): Promise<{
  readonly names: readonly string[]
  readonly files: readonly { readonly local: string; readonly path: string; readonly isDirectory: false }[]
}> {
  const files: { readonly local: string; readonly path: string; readonly isDirectory: false }[] = []
  const names: string[] = []
  for (const name of packages) {
    if (!/\.(?:tgz|tar\.gz)$/.test(name) || /^[a-z]+:\/\//.test(name)) {
      names.push(name)
      continue
    }
    const local = resolve(name)
    if (!(await stat(local).catch(() => undefined))?.isFile())
      throw new OptionError(`[submitTraining] expected a tarball at ${name}, got nothing there; make it by npm pack`)
    const path = `packages/${basename(local)}`
    files.push({ local, path, isDirectory: false })
    names.push(`./${path}`)
  }
  return { names, files }
}
