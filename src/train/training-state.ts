/**
 * @file Checkpoints of a run: what is trained, the optimizer, and where the data and the random numbers stand. Whole or
 * not there, and read back only as they were written.
 */

import { basename, dirname, join } from 'node:path'
import { loadParameter } from '../adapters/adapter-file.js'
import { writeDirectoryAtomic, writeFileAtomic } from '../atomic-write.js'
import type { Parameter } from '../autograd/parameter.js'
import { CHECKSUM_FILE, checksumsOf, NO_CHECKSUMS, verifyChecksums } from '../checkpoint/checksums.js'
import { describeValue, listNames } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { isMissing, readRegularFile, readRegularFileIfThere } from '../regular-file.js'
import type { Turns } from '../turns.js'
import {
  readSafetensorsHeader,
  readTensorBytes,
  type TensorEntry,
  type TensorToWrite,
  writeSafetensors,
} from '../weights/safetensors.js'
import type { AdamW } from './adamw.js'
import { checkpointStep, listCheckpoints } from './output-directory.js'
import { expectPossible, parseState, type RunPlan, STATE_FILE, type TrainerState } from './run-state.js'
import { parseTrainerState, type StoredTrainerState, TRAINER_STATE_FILE } from './trainer-state.js'

/** What must agree between the run that wrote a checkpoint and the one that goes on from it. */
export type RunIdentity = Readonly<Record<string, unknown>>

const OPTIMIZER_FILE = 'optimizer.safetensors'
const IDENTITY_SHOWN = 16
/** Numbers looked at in one turn of the event loop. */
const SLICE = 1 << 20

/** Weights of a run: an adapter, or a whole model. */
export interface TrainedWeights {
  readonly parameters: ReadonlyMap<string, Parameter>
  /** Writes files that others can load, the parameters in float32. */
  save(directory: string): Promise<void>
  /** What the parameters are called in such files, and where they lie. */
  tensors(directory: string): Promise<ReadonlyMap<string, TensorEntry>>
}

/** What a checkpoint is written from. */
export interface CheckpointSource {
  readonly weights: TrainedWeights
  readonly optimizer: AdamW
  readonly state: TrainerState
  readonly identity: RunIdentity
  /** The content of `trainer_state.json`. */
  readonly trainerState: string
}

/** Writes a checkpoint. A crash at any moment leaves either all of it or nothing under its name. */
export async function saveCheckpoint(path: string, source: CheckpointSource): Promise<void> {
  const { weights, optimizer, state, identity, trainerState } = source
  await writeDirectoryAtomic(path, async (directory) => {
    await weights.save(directory)
    const moments: TensorToWrite[] = []
    for (const [name, { m, v }] of optimizer.state()) {
      for (const [kind, tensor] of [
        ['m', m],
        ['v', v],
      ] as const) {
        moments.push({
          name: `${name}.${kind}`,
          dtype: 'F32',
          shape: [...tensor.shape],
          bytes: () => tensor.device.readBytes(tensor),
        })
      }
    }
    await writeSafetensors(join(directory, OPTIMIZER_FILE), moments)
    await writeFileAtomic(
      join(directory, STATE_FILE),
      `${JSON.stringify({ ...state, optimizerSteps: optimizer.stepCount, identity }, null, 2)}\n`,
    )
    await writeFileAtomic(join(directory, TRAINER_STATE_FILE), trainerState)
    await writeFileAtomic(join(directory, CHECKSUM_FILE), await checksumsOf(directory))
  })
}

/** What a run needs to judge whether a checkpoint can be its own. */
export interface ResumeOptions {
  readonly weights: TrainedWeights
  readonly optimizer: AdamW
  readonly identity: RunIdentity
  readonly plan: RunPlan
  readonly totalSteps: number
  readonly turns: Turns
}

/** Where a run goes on. */
export interface LoadedCheckpoint extends StoredTrainerState {
  readonly state: TrainerState
  /** What could not be checked. */
  readonly warnings: readonly string[]
}

/**
 * Restores weights and optimizer.
 * @throws naming the file that is not as it was written, with the last checkpoint before that is whole; naming what
 * differs when the
 *   checkpoint is of a run with other data or options, and what cannot be.
 */
export async function loadCheckpoint(path: string, options: ResumeOptions): Promise<LoadedCheckpoint> {
  const { weights, optimizer, identity } = options
  const { file, bytes, isOld } = await readState(path)
  const warnings = await checkFiles(path, isOld)
  const { identity: storedIdentity, optimizerSteps, ...state } = parseState(file, bytes)
  checkIdentity(storedIdentity, identity, file)
  await expectPossible(file, { ...state, optimizerSteps }, options)
  const told = isOld ? { history: [], bestCheckpoint: undefined } : await readTrainerState(path)
  await loadWeights(path, weights)
  const moments = (await readSafetensorsHeader(join(path, OPTIMIZER_FILE))).tensors
  for (const [name, pair] of optimizer.state()) {
    for (const kind of ['m', 'v'] as const) {
      const entry = moments.get(`${name}.${kind}`)
      if (entry?.dtype !== 'F32' || entry.byteLength !== pair[kind].size * 4) {
        throw new LowrankError(
          'CHECKPOINT',
          `[resume] expected float32 ${name}.${kind} [${pair[kind].shape}] in ${join(path, OPTIMIZER_FILE)}; the checkpoint is damaged or of another run`,
        )
      }
      const bytes = await readTensorBytes(entry)
      await expectNumbers(entry, bytes, kind === 'v' ? 0 : Number.NEGATIVE_INFINITY)
      pair[kind].device.upload(pair[kind], bytes, 'float32')
    }
  }
  optimizer.stepCount = optimizerSteps
  return { state, ...told, warnings }
}

async function loadWeights(path: string, weights: TrainedWeights): Promise<void> {
  const tensors = await weights.tensors(path)
  for (const [name, parameter] of weights.parameters) {
    const entry = tensors.get(name)
    if (!entry) {
      const file = [...tensors.values()][0]?.path ?? path
      throw new LowrankError(
        'CHECKPOINT',
        `[resume] expected ${name} in the weights in ${file}; the checkpoint is of another run`,
      )
    }
    if (entry.dtype === 'F32') await expectNumbers(entry, await readTensorBytes(entry), Number.NEGATIVE_INFINITY)
    await loadParameter(parameter, entry, 'the checkpoint is of another run')
  }
}

/** Takes the weights of a checkpoint, and nothing else of it. @throws where it is not as it was written */
export async function loadCheckpointWeights(path: string, weights: TrainedWeights): Promise<void> {
  const problem = await verifyChecksums(path)
  if (problem !== undefined)
    throw new LowrankError(
      'CHECKPOINT',
      `[train] expected the best checkpoint ${path} as it was written, but: ${problem}; go on with loadBestModelAtEnd: false to have the last weights`,
    )
  await loadWeights(path, weights)
}

/** The run that wrote a checkpoint; undefined where it does not say. */
export async function runIdOf(path: string): Promise<string | undefined> {
  const file = join(path, STATE_FILE)
  try {
    return parseState(file, await readRegularFile(file, { where: 'resume' })).runId
  } catch {
    // What is wrong with it is told when it is gone on from.
    return undefined
  }
}

/** Checkpoints of early versions have their state in trainer_state.json, and no checksums. */
async function readState(path: string): Promise<{ file: string; bytes: Uint8Array; isOld: boolean }> {
  const file = join(path, STATE_FILE)
  const bytes = await readRegularFileIfThere(file, { where: 'resume' })
  if (bytes) return { file, bytes, isOld: false }
  const oldFile = join(path, TRAINER_STATE_FILE)
  const problem = await verifyChecksums(path).catch((error: Error) => error.message)
  // A state that is gone is no old checkpoint.
  if (problem !== NO_CHECKSUMS && problem?.includes(STATE_FILE)) throw await damagedCheckpoint(path, problem)
  try {
    return { file: oldFile, bytes: await readRegularFile(oldFile, { where: 'resume' }), isOld: true }
  } catch (cause) {
    if (!isMissing(cause)) throw cause
    throw new LowrankError(
      'CHECKPOINT',
      `[resume] expected a checkpoint of a training run in ${path}, but it has no ${STATE_FILE}; give the path of a checkpoint-N`,
      { cause },
    )
  }
}

/** @returns warnings */
async function checkFiles(path: string, isOld: boolean): Promise<string[]> {
  const problem = await verifyChecksums(path)
  if (problem === undefined) return []
  if (problem !== NO_CHECKSUMS) throw await damagedCheckpoint(path, problem)
  if (!isOld) throw await damagedCheckpoint(path, `${CHECKSUM_FILE} is missing`)
  return [
    `[resume] ${path} is of a version that wrote no checksums: what a disk changed in it cannot be seen; the next checkpoint has them`,
  ]
}

async function damagedCheckpoint(path: string, problem: string): Promise<Error> {
  const whole = await lastWholeBefore(path)
  const remedy = whole
    ? `go on from ${whole}, which is whole: remove ${path} first`
    : 'no checkpoint before it is whole: start anew in another outputDir'
  return new LowrankError('CHECKPOINT', `[resume] the checkpoint ${path} is damaged: ${problem}; ${remedy}`)
}

async function lastWholeBefore(path: string): Promise<string | undefined> {
  const step = checkpointStep(basename(path))
  if (step === undefined) return undefined
  const earlier = (await listCheckpoints(dirname(path))).filter((other) => other < step)
  for (const other of earlier.reverse()) {
    const candidate = join(dirname(path), `checkpoint-${other}`)
    if ((await verifyChecksums(candidate).catch(() => 'unreadable')) === undefined) return candidate
  }
  return undefined
}

async function readTrainerState(path: string): Promise<StoredTrainerState> {
  const file = join(path, TRAINER_STATE_FILE)
  return parseTrainerState(file, await readRegularFile(file, { where: 'resume' }))
}

/** A number that is none, or a square that is negative, would spread over all weights in the next step. */
async function expectNumbers({ name, path }: TensorEntry, bytes: Uint8Array, least: number): Promise<void> {
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  for (let start = 0; start < values.length; start += SLICE) {
    const index = values
      .subarray(start, start + SLICE)
      .findIndex((value) => !(Number.isFinite(value) && value >= least))
    if (index >= 0) {
      const expected = least === 0 ? 'finite numbers of at least 0' : 'finite numbers'
      throw new LowrankError(
        'CHECKPOINT',
        `[resume] expected ${expected} in ${describeValue(name)}, got ${values[start + index]} at ${start + index} in ${path}; go on from an ` +
          'earlier checkpoint',
      )
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** What differs where only a hash of it is kept. */
const CHANGES_OF_HASHES: ReadonlyMap<string, string> = new Map([
  ['dataset', 'other rows, or other tokens of them'],
  ['model', 'another config.json'],
])

function checkIdentity(stored: RunIdentity, present: RunIdentity, file: string): void {
  // Maps: an object would find `constructor` in every one.
  const then = new Map(Object.entries(stored))
  const now = new Map(Object.entries(present))
  const names = [...new Set([...then.keys(), ...now.keys()])]
  const differing = names.filter((name) => JSON.stringify(then.get(name)) !== JSON.stringify(now.get(name)))
  if (differing.length === 0) return
  const list = differing
    .flatMap((name) => differencesOf(name, then.get(name), now.get(name)))
    .slice(0, IDENTITY_SHOWN)
    .map(([name, before, after]) => {
      const change = CHANGES_OF_HASHES.get(name) ?? `${describeValue(before)} then, ${describeValue(after)} now`
      return `${listNames([name])} (${change})`
    })
    .join(', ')
  throw new LowrankError(
    'CHECKPOINT',
    `[resume] expected the run of ${file} to go on unchanged, but these differ: ${list}; start anew in another outputDir, or restore them`,
  )
}

/**
 * What differs under `name`, with both values: options that are kept as one JSON text, as those of LoRA, one by one.
 */
function differencesOf(name: string, then: unknown, now: unknown): [string, unknown, unknown][] {
  const [before, after] = [optionsIn(then), optionsIn(now)]
  const inner =
    before && after
      ? [...new Set([...before.keys(), ...after.keys()])]
          .filter((key) => JSON.stringify(before.get(key)) !== JSON.stringify(after.get(key)))
          .map((key): [string, unknown, unknown] => [`${name}.${key}`, before.get(key), after.get(key)])
      : []
  return inner.length > 0 ? inner : [[name, then, now]]
}

/** The options in a JSON text; undefined for every other value. */
function optionsIn(value: unknown): Map<string, unknown> | undefined {
  if (typeof value !== 'string' || !value.startsWith('{')) return undefined
  try {
    return new Map(Object.entries(JSON.parse(value) as object))
  } catch {
    return undefined
  }
}
