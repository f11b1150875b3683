/** @file The configuration of a run as a node reads it: files of this machine are named by where they go. */

import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { describeValue, isSecretName } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { camelCase } from '../../options/spelling.js'
import { isPlainObject } from '../../values.js'

/** A file or folder of this machine that a node needs. */
export interface PackedFile {
  /** Absolute. */
  readonly local: string
  /** Within the folder of the run: `data/0-rows.jsonl`. */
  readonly path: string
  readonly isDirectory: boolean
}

/** A configuration, and what goes with it. */
export interface PackedConfig {
  /** The options of `trainLora`, as the node's `train.yaml` has them. */
  readonly config: Readonly<Record<string, unknown>>
  readonly files: readonly PackedFile[]
}

/** Options that may name files, in camelCase. */
const NAMING_FILES = ['dataset', 'evalDataset', 'model', 'modelNameOrPath']
/** Options of tasks, and of the judges in them, that name a file where they are text. */
const FILES_OF_TASKS = ['scoreAnswer', 'rubric']
/** Options about this machine, which mean nothing on a node. */
const OF_THIS_MACHINE = ['outputDir', 'callbacks', 'signal']
/** Begins what lies elsewhere: `hf://`, `uc://`, `https://`, or a volume or workspace folder, which nodes have too. */
const ELSEWHERE = /^(?:[a-z][a-z0-9+.-]*:\/\/|dbfs:|\/Volumes\/|\/Workspace\/)/i
/** `org/name` of the Hub, with a revision or without. */
const HUB_ID = /^[\w.-]+\/[\w.-]+(?:@[\w./-]+)?$/

/**
 * Packs the options of `trainLora`. Without `device` the run asks for CUDA: a GPU is paid for.
 * @throws OptionError where a file is not there, where a pattern names files, where the configuration holds a secret
 */
export async function packConfig(where: string, config: Readonly<Record<string, unknown>>): Promise<PackedConfig> {
  const files: PackedFile[] = []
  const packed: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(config)) {
    const name = camelCase(key)
    expectNoSecret(where, key, value)
    if (OF_THIS_MACHINE.includes(name)) continue
    if (name === 'evalTasks') packed[key] = await packTasks(where, value, files)
    else packed[key] = NAMING_FILES.includes(name) ? await packValue(where, name, value, files) : value
  }
  if (!Object.keys(packed).some((key) => camelCase(key) === 'device')) packed.device = 'cuda'
  return { config: packed, files }
}

/**
 * The value with paths of this machine replaced. An object with `path` or `mix` is a data set; any other one holds
 * several of them by name.
 */
async function packValue(where: string, name: string, value: unknown, files: PackedFile[]): Promise<unknown> {
  if (typeof value === 'string') return await packText(where, name, value, files)
  if (Array.isArray(value)) {
    const packed: unknown[] = []
    for (const item of value) packed.push(await packValue(where, name, item, files))
    return packed
  }
  if (!isPlainObject(value)) return value
  const isDataset = ['path', 'mix'].some((key) => value[key] !== undefined)
  const packed: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) {
    const holdsPaths = !isDataset || key === 'path' || key === 'mix'
    packed[key] = holdsPaths ? await packValue(where, name, inner, files) : inner
  }
  return packed
}

/** Tasks with their rows, functions and rubrics. The replies of a judge are written where the run is. */
async function packTasks(where: string, tasks: unknown, files: PackedFile[]): Promise<unknown> {
  if (!Array.isArray(tasks))
    throw new OptionError(
      `[${where}] expected a list of tasks for evalTasks, got ${describeValue(tasks)}; write the tasks into the configuration`,
    )
  const packed: unknown[] = []
  for (const task of tasks) packed.push(isPlainObject(task) ? await packTask(where, task, files) : task)
  return packed
}

async function packTask(where: string, task: Record<string, unknown>, files: PackedFile[]): Promise<object> {
  const packed: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(task)) {
    const name = camelCase(key)
    if (name === 'judge' && isPlainObject(value)) packed[key] = await packTask(where, value, files)
    else if (name === 'dataset') packed[key] = await packValue(where, name, value, files)
    else if (FILES_OF_TASKS.includes(name) && typeof value === 'string')
      packed[key] = await packText(where, name, value, files)
    else packed[key] = value
  }
  return packed
}

async function packText(where: string, name: string, text: string, files: PackedFile[]): Promise<string> {
  if (ELSEWHERE.test(text)) return text
  const local = resolve(text)
  const known = files.find((file) => file.local === local)
  if (known) return known.path
  const there = await stat(local).catch(() => undefined)
  if (there !== undefined) {
    const path = `data/${files.length}-${basename(local)}`
    files.push({ local, path, isDirectory: there.isDirectory() })
    return path
  }
  if (HUB_ID.test(text)) return text
  const isPattern = /[*?[\]{}]/.test(text)
  const remedy = isPattern ? 'name the folder, or each file' : 'check the path'
  throw new OptionError(
    `[${where}] expected files of this machine or addresses for ${name}, got ${JSON.stringify(text)}, ${isPattern ? 'a pattern' : 'where nothing is'}; ${remedy}`,
  )
}

/** A file in a volume is read by all who may read the volume. */
function expectNoSecret(where: string, key: string, value: unknown): void {
  if (isSecretName(key) && value !== undefined && value !== null)
    throw new OptionError(
      `[${where}] expected no secret in a configuration that goes into a volume, got ${key}; leave it out, and give it to the job as an environment variable`,
    )
  if (typeof value !== 'object' || value === null) return
  for (const [inner, its] of Object.entries(value)) expectNoSecret(where, inner, its)
}
