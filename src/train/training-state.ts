/** @file Checkpoints of a run: what is trained, the optimizer, and where the data and the random numbers stand. Whole or not there. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadParameter } from '../adapters/lora-adapter.js'
import type { Parameter } from '../autograd/parameter.js'
import {
  readSafetensorsHeader,
  readTensorBytes,
  type TensorEntry,
  type TensorToWrite,
  writeSafetensors,
} from '../checkpoint/safetensors.js'
import { parseJsonObject } from '../checkpoint/strict-json.js'
import type { DataCursor } from '../data/batches.js'
import { describeValue, listNames } from '../errors.js'
import { writeDirectoryAtomic, writeFileAtomic } from '../files.js'
import type { AdamW } from './adamw.js'
import type { LossScalerState } from './loss-scaler.js'

/** Where a run stands between two steps. With the weights and the moments it determines everything that follows. */
export interface TrainerState {
  /** Optimizer steps done. */
  step: number
  cursor: DataCursor
  /** Counter of dropout masks. */
  microStep: number
  numInputTokensSeen: number
  /** Of a run in float16. */
  lossScaler?: LossScalerState
}

/** What must agree between the run that wrote a checkpoint and the one that goes on from it. */
export type RunIdentity = Readonly<Record<string, unknown>>

const STATE_FILE = 'trainer_state.json'
const OPTIMIZER_FILE = 'optimizer.safetensors'
const IDENTITY_SHOWN = 16

/** Weights of a run: an adapter, or a whole model. */
export interface TrainedWeights {
  readonly parameters: ReadonlyMap<string, Parameter>
  /** Writes files that others can load, the parameters in float32. */
  save(directory: string): Promise<void>
  /** What the parameters are called in such files, and where they lie. */
  tensors(directory: string): Promise<ReadonlyMap<string, TensorEntry>>
}

/** Writes a checkpoint. A crash at any moment leaves either all of it or nothing under its name. */
export async function saveCheckpoint(
  path: string,
  weights: TrainedWeights,
  optimizer: AdamW,
  state: TrainerState,
  identity: RunIdentity,
): Promise<void> {
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
  })
}

/**
 * Restores weights and optimizer.
 * @throws naming what differs when the checkpoint is of a run with other data or options, and on damaged files.
 */
export async function loadCheckpoint(
  path: string,
  weights: TrainedWeights,
  optimizer: AdamW,
  identity: RunIdentity,
): Promise<TrainerState> {
  const file = join(path, STATE_FILE)
  const bytes = await readFile(file).catch((cause: Error) => {
    throw new Error(
      `[resume] expected a checkpoint of a training run in ${path}, but ${file} cannot be read: ${cause.message}`,
      { cause },
    )
  })
  const { identity: storedIdentity, optimizerSteps, ...state } = parseState(file, bytes)
  checkIdentity(storedIdentity, identity, file)
  const tensors = await weights.tensors(path)
  for (const [name, parameter] of weights.parameters) {
    const entry = tensors.get(name)
    if (!entry) throw new Error(`[resume] expected ${name} in the weights of ${path}; the checkpoint is of another run`)
    await loadParameter(parameter, entry, 'the checkpoint is of another run')
  }
  const moments = (await readSafetensorsHeader(join(path, OPTIMIZER_FILE))).tensors
  for (const [name, pair] of optimizer.state()) {
    for (const kind of ['m', 'v'] as const) {
      const entry = moments.get(`${name}.${kind}`)
      if (entry?.dtype !== 'F32' || entry.byteLength !== pair[kind].size * 4) {
        throw new Error(
          `[resume] expected float32 ${name}.${kind} [${pair[kind].shape}] in ${join(path, OPTIMIZER_FILE)}; the checkpoint is damaged or of another run`,
        )
      }
      pair[kind].device.upload(pair[kind], await readTensorBytes(entry), 'float32')
    }
  }
  optimizer.stepCount = optimizerSteps
  return state
}

/** @throws naming the field that is not a count: everything after would silently be another run. */
function parseState(file: string, bytes: Uint8Array): TrainerState & { optimizerSteps: number; identity: RunIdentity } {
  const raw = parseJsonObject('resume', file, bytes)
  const object = (name: string): Readonly<Record<string, unknown>> => {
    const value = raw[name]
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
    throw damaged(file, name, 'an object', value)
  }
  const count = (name: string, value: unknown): number => {
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
    throw damaged(file, name, 'a whole number >= 0', value)
  }
  const scalerState = ({ scale, growthTracker }: Readonly<Record<string, unknown>>): LossScalerState => {
    if (typeof scale !== 'number' || !Number.isFinite(Math.fround(scale)) || scale <= 0)
      throw damaged(file, 'lossScaler.scale', 'a number > 0', scale)
    return { scale, growthTracker: count('lossScaler.growthTracker', growthTracker) }
  }
  const { epoch, index } = object('cursor')
  const lossScaler = raw.lossScaler === undefined ? {} : { lossScaler: scalerState(object('lossScaler')) }
  return {
    step: count('step', raw.step),
    cursor: { epoch: count('cursor.epoch', epoch), index: count('cursor.index', index) },
    microStep: count('microStep', raw.microStep),
    numInputTokensSeen: count('numInputTokensSeen', raw.numInputTokensSeen),
    ...lossScaler,
    optimizerSteps: count('optimizerSteps', raw.optimizerSteps),
    identity: object('identity'),
  }
}

function damaged(file: string, name: string, expected: string, value: unknown): Error {
  return new Error(
    `[resume] expected ${expected} for ${name}, got ${describeValue(value)} in ${file}; go on from an earlier checkpoint`,
  )
}

function checkIdentity(stored: RunIdentity, present: RunIdentity, file: string): void {
  // Maps: an object would find `constructor` in every one.
  const then = new Map(Object.entries(stored))
  const now = new Map(Object.entries(present))
  const names = [...new Set([...then.keys(), ...now.keys()])]
  const differing = names.filter((name) => JSON.stringify(then.get(name)) !== JSON.stringify(now.get(name)))
  if (differing.length === 0) return
  const list = differing
    .slice(0, IDENTITY_SHOWN)
    .map((name) => `${listNames([name])} (${describeValue(then.get(name))} then, ${describeValue(now.get(name))} now)`)
    .join(', ')
  throw new Error(
    `[resume] expected the run of ${file} to go on unchanged, but these differ: ${list}; start anew in another outputDir, or restore them`,
  )
}
