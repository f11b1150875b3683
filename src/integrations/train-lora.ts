/**
 * @file The public trainLora: training, with the callbacks that `reportTo` and the like become. What a run does is in
 * train/train-lora.ts.
 */

import type { ResolvedTrainOptions } from '../train/options.js'
import { trainOpened } from '../train/train-lora.js'
import type { TrainRun } from '../train/train-run.js'
import { INTEGRATIONS, type TrainLoraOptions } from './options.js'
import { resolveAllOptions } from './resolve-options.js'
import { createRunLinks, type RunLinks } from './run-links.js'

/**
 * Fine-tunes a model with LoRA (or in full, with `method: 'full'`).
 *
 * Rows are encoded once, batches are ragged (no padding is computed), the loss of a step is the mean over all
 * supervised tokens of its accumulation window. With `outputDir`, checkpoints are written there from which
 * `resumeFromCheckpoint` goes on to the same bytes. The run begins at once. What is returned is awaited for the result,
 * iterated for events, and stopped; see {@link TrainRun}. Wrong options reject it too, before any callback is told of
 * anything. When `onEvent` throws or rejects, the run ends after the step in progress, with a checkpoint where there is
 * an `outputDir`, and rejects with that error. Trackers of `reportTo` follow the run behind the `callbacks`.
 * @throws OptionError on unknown or contradictory options, all told at once.
 * @throws DataError on a row that cannot be trained on, with file and row.
 * @throws ModelError on a model, tokenizer or adapter that is damaged or not supported.
 * @throws OutOfMemoryError before the first step, if the run does not fit the memory budget.
 * @throws DivergedError on a loss, gradient or weight that is no finite number, with the last good checkpoint.
 * @throws LowrankError on files, checkpoints and devices; see ErrorCode.
 */
export function trainLora(options: TrainLoraOptions): TrainRun {
  return trainOpened(() => opened(resolveAllOptions(options), createRunLinks()))
}

/**
 * `trainLora` with options that are checked and completed, as the command line has them before it begins. `links` has
 * who recorded and registered the run once it is over.
 */
export function trainResolved(options: ResolvedTrainOptions, links: RunLinks = createRunLinks()): TrainRun {
  return trainOpened(() => opened(options, links))
}

/** The options with the callbacks of the integrations. */
async function opened(options: ResolvedTrainOptions, links: RunLinks): Promise<ResolvedTrainOptions> {
  const callbacks = [...(options.callbacks ?? [])]
  for (const integration of INTEGRATIONS) callbacks.push(...(await integration.open(options, links)))
  return { ...options, callbacks }
}
