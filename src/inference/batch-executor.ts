/**
 * @file What the scheduler asks of the device: one step of all running sequences. Tests put a device of their own here.
 */

import type { AdapterTensors } from '../adapters/adapter-set.js'
import type { SamplingParameters } from '../ops/sample.js'
import type { InferenceToken } from './inference-request.js'
import type { SparseLogits } from './logit-additions.js'

/** What a step needs to know of a sequence. */
export interface BatchRow {
  /** Its place among those that run; no two have the same at a time. */
  readonly slot: number
  readonly promptIds: Int32Array
  /** Pages of its keys and values, in their order; those of the tokens of this step are there. */
  readonly pages: readonly number[]
  readonly adapter: AdapterTensors | undefined
  readonly sampling: SamplingParameters | undefined
  /** How many of the most likely ids come with a token; undefined: no log probabilities. */
  readonly logprobs: number | undefined
}

/** Tokens of a prompt that are computed in a step. */
export interface PrefillChunk {
  readonly row: BatchRow
  /**
   * Positions [first, end) of the prompt; `first` is a multiple of PREFIX_MULTIPLE. A chunk to the end draws a token.
   */
  readonly first: number
  readonly end: number
}

/** A sequence whose newest token is computed and gets a successor. */
export interface DecodeRow {
  readonly row: BatchRow
  /** The newest token's. */
  readonly position: number
}

/** The work of one step. */
export interface BatchStep {
  readonly chunks: readonly PrefillChunk[]
  readonly rows: readonly DecodeRow[]
}

/** A step that is computed as far as it can be without knowing the tokens of the step before. */
export interface QueuedStep {
  /**
   * Queues the draws: of the chunks that end their prompts, then of the rows, in their order.
   * @param masks for each draw the ids that may come, or undefined for all.
   * @param additions for each draw what is added to its logits, or undefined for nothing.
   * @returns the tokens
   */
  draw(
    masks: readonly (Uint32Array | undefined)[],
    additions: readonly (SparseLogits | undefined)[],
  ): Promise<InferenceToken[]>
}

/** Computes steps, one after the other. */
export interface BatchExecutor {
  /** Returns at once; the device computes when its turn comes. `draw` comes before the next `queue`. */
  queue(step: BatchStep): QueuedStep
  /** A sequence that will not be in a step any more: what is kept for it can go. */
  end(slot: number): void
  /** An adapter that no step will have any more. */
  forget(adapter: AdapterTensors): void
  /** After a step that failed: resolves when steps that follow do not fail for it. */
  recover(): Promise<void>
  dispose(): void
}

/** Whether a chunk is the end of its prompt, which draws a token. */
export function endsPrompt({ row, end }: PrefillChunk): boolean {
  return end === row.promptIds.length
}
