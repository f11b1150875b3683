/** @file The checkpoints of a run, and the trainer_state.json beside them. */

import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import type { BatchWindow } from '../data/batches.js'
import type { AdamW } from './adamw.js'
import type { Report } from './callbacks.js'
import { expectFiniteWeights } from './finiteness.js'
import type { LossScaler } from './loss-scaler.js'
import type { OutputDirectory } from './output-directory.js'
import type { RunRecord } from './run-record.js'
import { TRAINER_STATE_FILE } from './trainer-state.js'
import type { ResolvedTrainingOptions } from './training-options.js'
import { type RunIdentity, saveCheckpoint, type TrainedWeights } from './training-state.js'

export interface RunCheckpointsOptions {
  readonly weights: TrainedWeights
  readonly optimizer: AdamW
  readonly training: ResolvedTrainingOptions
  readonly identity: RunIdentity
  readonly output: OutputDirectory | undefined
  readonly report: Report
}

export class RunCheckpoints {
  readonly #options: RunCheckpointsOptions
  readonly #record: RunRecord
  /** In float16. */
  readonly #scaler: LossScaler | undefined
  #last: string | undefined
  /** The step whose weights were found to be finite. */
  #finiteAt: number | undefined

  /** @param resumed the checkpoint that the run goes on from. */
  constructor(
    options: RunCheckpointsOptions,
    { record, scaler, resumed }: { record: RunRecord; scaler: LossScaler | undefined; resumed: string | undefined },
  ) {
    this.#options = options
    this.#record = record
    this.#scaler = scaler
    this.#last = resumed
  }

  /** Where a run that failed can go on from, as a sentence. */
  get last(): string | undefined {
    return this.#last
  }

  /** Whether the step that was made is followed by a checkpoint: its window ended, or did not end, an epoch. */
  isDue(endsEpoch: boolean): boolean {
    const { training, output } = this.#options
    return output !== undefined && this.#record.isDue(training.saveStrategy, training.saveSteps, endsEpoch)
  }

  /** @throws naming a weight that is no finite number: of such a step nothing is saved */
  async expectFinite(): Promise<void> {
    const { step } = this.#record.state
    if (this.#finiteAt === step) return
    await expectFiniteWeights(this.#options.weights, step, this.#last)
    this.#finiteAt = step
  }

  async save(window?: BatchWindow): Promise<void> {
    const { weights, optimizer, identity, output, training, report } = this.#options
    if (output === undefined) return
    await this.expectFinite()
    const record = this.#record
    const path = output.checkpointPath(record.state.step)
    const state = this.#scaler ? { ...record.state, lossScaler: this.#scaler.state } : record.state
    await output.confirm()
    const trainerState = record.trainerState(record.progress(window).epoch)
    await saveCheckpoint(path, { weights, optimizer, state, identity, trainerState })
    this.#last = path
    const warnings = training.saveTotalLimit === null ? [] : await output.prune(training.saveTotalLimit)
    await report({ type: 'save', kind: 'checkpoint', ...record.progress(window), path })
    for (const message of warnings) await report({ type: 'warning', message })
  }

  /**
   * Writes a checkpoint of where the run stands if there is none yet, whatever `saveStrategy` says: the run is about to
   * be left.
   */
  async saveUnsaved(): Promise<void> {
    const { output } = this.#options
    if (output === undefined || this.#record.ownSteps === 0) return
    if (this.#last !== output.checkpointPath(this.#record.state.step)) await this.save()
  }

  /** For tools that plot the run: what was trained is not lost where this cannot be written. */
  async writeTrainerState(epoch: number): Promise<void> {
    const { output, report } = this.#options
    if (output === undefined) return
    try {
      await output.confirm()
      await writeFileAtomic(join(output.path, TRAINER_STATE_FILE), this.#record.trainerState(epoch))
    } catch (error) {
      await report({ type: 'warning', message: (error as Error).message })
    }
  }
}
