/**
 * @file What a run optimises, as one object. Trainer, memory plan and evaluation are written against it: none of them
 * calls the model for a loss, or knows what a loss is made of.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { MicroBatch } from '../data/batches.js'
import type { Example } from '../data/examples.js'
import type { Item } from '../data/items.js'
import type { RowCoding } from '../data/row-coding.js'
import type { Means } from './means.js'

/** A micro-batch whose forward pass is queued. */
export interface BatchLoss {
  /**
   * Queues the backward pass, once; not called where nothing is recorded. An objective may wait here for what its
   * gradients depend on.
   */
  backward(): void | Promise<void>
  /** What the batch adds to the means of its window; known when the device has made it. */
  read(): Promise<Means>
  /** Frees what is not read yet of the forward pass; what is queued still runs. */
  dispose(): void
}

/**
 * 1. Rows become items, whose sequences stay together in one micro-batch; `weight` of an item is what it counts in the
 *    mean of a window. Weights of tokens, where rows have them, are for the objective to use, or to refuse when it
 *    encodes the row.
 * 2. `begin` divides by the weight of the whole window, so that the parts of its micro-batches add up.
 * 3. The same calls make the memory plan, on a device that computes nothing: what is read there are zeros.
 */
export interface Objective<I extends Item = Item> extends RowCoding<I> {
  readonly name: string
  /** What a run that goes on must share with the one that was interrupted, beside what all runs must. */
  readonly identity: Readonly<Record<string, unknown>>
  /** Whether the loss is a mean cross-entropy, so that exp(loss) is a perplexity. */
  readonly isCrossEntropy: boolean
  /** Sequences of an item. */
  readonly sequencesPerItem: number
  /**
   * Whether rows may have weights of their tokens; else it refuses such rows when it encodes them.
   * @default true
   */
  readonly takesWeights?: boolean
  /** An item of so many sequences of which nothing but the length is known, for memory plans. */
  placeholder(sequences: readonly Example[]): I
  /**
   * Queues the forward pass. What is returned is called once, with what gradients, not the loss, are multiplied by; it
   * may be called later, so that the device has work while that is still being found out.
   * @param weight of the window that the batch belongs to.
   */
  begin(model: CausalLM, batch: MicroBatch<I>, weight: number): (lossScale: number) => BatchLoss
}
