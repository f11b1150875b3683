/** @file The checkpoints of a run, and the trainer_state.json beside them. */

import { basename, join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import type { BatchWindow } from '../data/batches.js'
import type { AdamW } from './adamw.js'
import type { BestModel } from './best-model.js'
import type { Report } from './callbacks.js'
import { expectFiniteWeights } from './finiteness.js'
import type { LossScaler } from './loss-scaler.js'
import { checkpointStep, type OutputDirectory } from './output-directory.js'
import type { RunRecord } from './run-record.js'
import { TRAINER_STATE_FILE } from './trainer-state.js'
import type { ResolvedTrainingOptions } from './training-options.js'
import { loadCheckpointWeights, type RunIdentity, saveCheckpoint, type TrainedWeights } from './training-state.js'

export interface RunCheckpointsOptions {
  readonly weights: TrainedWeights
  readonly optimizer: AdamW
  readonly training: ResolvedTrainingOptions
  readonly bestModel: BestModel | undefined
  readonly identity: RunIdentity
  readonly output: OutputDirectory | undefined
  readonly report: Report
  /** The log must have the lines of before a checkpoint: a run that goes on from there makes none of them again. */
  readonly flushLog: () => void
}

export class RunCheckpoints {
  readonly #options: RunCheckpointsOptions
  readonly #record: RunRecord
  /** In float16. */
  readonly #scaler: LossScaler | undefined
  #last: string | undefined
  /** The step whose weights were found to be finite. */
  #finiteAt: number | undefined
  /** The weights are those of another step by now. */
  #isOver = false

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
    const { saveStrategy, saveSteps } = training
    return output !== undefined && saveStrategy !== 'best' && this.#record.isDue(saveStrategy, saveSteps, endsEpoch)
  }

  /** Whether the best evaluation so far is followed by a checkpoint, whatever step it is of. */
  get areOfBest(): boolean {
    return this.#options.training.saveStrategy === 'best'
  }

  /** @throws naming a weight that is no finite number: of such a step nothing is saved */
  async expectFinite(): Promise<void> {
    const { step } = this.#record.state
    if (this.#finiteAt === step) return
    await expectFiniteWeights(this.#options.weights, step, this.#last)
    this.#finiteAt = step
  }

  async save(window?: BatchWindow): Promise<void> {
    const { weights, optimizer, identity, output, training, bestModel, report, flushLog } = this.#options
    if (output === undefined) return
    await this.expectFinite()
    flushLog()
    const record = this.#record
    const { step } = record.state
    const path = output.checkpointPath(step)
    bestModel?.noteCheckpoint(step, path, (other) => output.checkpointPath(other))
    const state = this.#scaler ? { ...record.state, lossScaler: this.#scaler.state } : record.state
    await output.confirm()
    const trainerState = record.trainerState(record.progress(window).epoch)
    await saveCheckpoint(path, { weights, optimizer, state, identity, trainerState })
    this.#last = path
    const { saveTotalLimit: keep } = training
    const warnings = keep === null ? [] : await output.prune(keep, bestModel?.checkpoint)
    await report({ type: 'save', kind: 'checkpoint', ...record.progress(window), path })
    for (const message of warnings) await report({ type: 'warning', message })
  }

  /**
   * Writes a checkpoint of where the run stands if there is none yet, whatever `saveStrategy` says: the run is about to
   * be left.
   */
  async saveUnsaved(): Promise<void> {
    const { output } = this.#options
    if (output === undefined || this.#record.ownSteps === 0 || this.#isOver) return
    if (this.#last !== output.checkpointPath(this.#record.state.step)) await this.save()
  }

  /** The same unless there is one of this step. */
  async saveBest(): Promise<void> {
    const { output } = this.#options
    if (output !== undefined && this.#last !== output.checkpointPath(this.#record.state.step)) await this.save()
  }

  /** The evaluation of the step that was made is the best one: its checkpoint was there before, if any was. */
  noteBest(): void {
    const { output, bestModel } = this.#options
    const { step } = this.#record.state
    const path = output?.checkpointPath(step)
    if (path !== undefined && this.#last === path) bestModel?.noteCheckpoint(step, path, () => path)
  }

  /**
   * Takes the weights of the best checkpoint. Nothing is saved behind that.
   * @returns the step that they are of; undefined where there is no such checkpoint
   */
  async loadBest(): Promise<number | undefined> {
    const { weights, bestModel } = this.#options
    const path = bestModel?.checkpoint
    if (path === undefined) return undefined
    const step = checkpointStep(basename(path))
    if (step === this.#record.state.step) return step
    this.#isOver = true
    await loadCheckpointWeights(path, weights)
    return step
  }

  /** As transformers' Trainer does: of a run that is complete and keeps one checkpoint that is the best one. */
  async pruneToBest(): Promise<void> {
    const { output, training, bestModel, report } = this.#options
    const path = bestModel?.checkpoint
    if (output === undefined || path === undefined || training.saveTotalLimit !== 1) return
    for (const message of await output.keepOnly(path)) await report({ type: 'warning', message })
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
