/**
 * @file Where a run goes on: which checkpoint, and whether it is one of this run. What lies in a checkpoint is in
 * training-state.ts.
 */

import { createHash } from 'node:crypto'
import { basename, dirname, resolve } from 'node:path'
import type { LoraAdapter } from '../adapters/lora-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { LowrankError } from '../lowrank-error.js'
import { changingRun } from '../options/table.js'
import type { Objective } from './objective.js'
import type { ResolvedTrainOptions } from './options.js'
import type { OutputDirectory } from './output-directory.js'
import { TRAINING_OPTIONS } from './training-options.js'
import { type RunIdentity, runIdOf } from './training-state.js'

/** The checkpoint to go on from, if any. @throws when the run would mix its checkpoints with those of another. */
export async function findCheckpoint(
  output: OutputDirectory | undefined,
  resumeFromCheckpoint: string | boolean,
): Promise<string | undefined> {
  const given = typeof resumeFromCheckpoint === 'string' ? resolve(resumeFromCheckpoint) : undefined
  const last = (await output?.checkpoints())?.at(-1)
  if (output === undefined || last === undefined) return given
  const path = resolve(output.checkpointPath(last))
  await expectOneRun(output)
  if (resumeFromCheckpoint === true || path === given) return path
  const remedy =
    given !== undefined && dirname(given) === dirname(path)
      ? `remove the checkpoints after ${basename(given)}, or choose another outputDir`
      : 'set resumeFromCheckpoint: true (--resume) to go on from it, or choose another outputDir (--output), or remove it'
  throw new LowrankError(
    'CHECKPOINT',
    `[train] expected an outputDir without checkpoints of another run, but ${output.checkpointPath(last)} exists; ${remedy}`,
  )
}

/** @throws when a checkpoint of another run was put among those of this one. */
async function expectOneRun(output: OutputDirectory): Promise<void> {
  let first: { path: string; runId: string } | undefined
  for (const step of await output.checkpoints()) {
    const path = output.checkpointPath(step)
    const runId = await runIdOf(path)
    // Early versions did not say.
    if (!runId) continue
    first ??= { path, runId }
    if (runId === first.runId) continue
    throw new LowrankError(
      'CHECKPOINT',
      `[resume] expected the checkpoints in ${output.path} to be of one run, but ${first.path} is of run ${first.runId} and ${path} of ` +
        `run ${runId}; move those of the other run away`,
    )
  }
}

/**
 * What a run that goes on must share with the one that was interrupted. The rest, the learning rate first, may be
 * changed on purpose.
 */
export function runIdentity(
  objective: Pick<Objective, 'identity'>,
  { method, training }: ResolvedTrainOptions,
  model: CausalLM,
  rows: Readonly<Record<string, unknown>>,
  adapter: LoraAdapter | undefined,
): RunIdentity {
  const { dtype: _, torch_dtype: __, ...architecture } = model.rawConfig
  return {
    method,
    model: createHash('sha256').update(JSON.stringify(architecture)).digest('hex'),
    ...(model.origin.revision && { revision: model.origin.revision }),
    dtype: model.dtype,
    ...(model.quantization && { quantization: model.quantization }),
    ...rows,
    lora: adapter ? JSON.stringify(adapter.config) : null,
    ...changingRun(TRAINING_OPTIONS, training),
    ...objective.identity,
  }
}
