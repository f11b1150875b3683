/** @file Whether the rows of a run are taken as they come, and which options need all of them first. Reads no row. */

import type { ResolvedDataOptions } from '../data/options.js'
import { isEntry, isEntryList } from '../data/sources/dataset-entry.js'
import { type DataSource, openSource } from '../data/sources/open-source.js'
import { OWN_TRAINING_OPTIONS, type TrainingOptions } from './training-options.js'

/** What does not go with rows that are taken as they come, and the options that it is about. */
interface StreamingProblem {
  readonly names: readonly string[]
  readonly message: string
}

/** Whether a data set says that its rows are taken as they come; of several all of them must. */
export function asksForStreaming(dataset: DataSource): boolean {
  return partsOf(dataset).every((part) => isEntry(part) && !('mix' in part) && part.streaming === true)
}

/** Whether a data set is a table of Unity Catalog. */
export function isTable(dataset: DataSource): boolean {
  if (typeof dataset === 'string') return /^uc:\/\//i.test(dataset)
  return isEntry(dataset) && !('mix' in dataset) && typeof dataset.path === 'string' && isTable(dataset.path)
}

/** What of the options needs all rows, or rows that can be read more than once. */
export function streamingProblems(
  dataset: DataSource,
  { maxSteps = -1, maxTokensPerBatch, numTrainEpochs = OWN_TRAINING_OPTIONS.numTrainEpochs.default }: TrainingOptions,
  { evalSplit, packing, maxLength }: ResolvedDataOptions,
): StreamingProblem[] {
  const problems: StreamingProblem[] = []
  const refuse = (names: readonly string[], message: string): void => {
    problems.push({ names, message })
  }
  if (evalSplit > 0) {
    refuse(
      ['evalSplit', 'streaming'],
      'expected no evalSplit with streaming: which rows are held out depends on all of them; give evalDataset, or set training.streaming: false',
    )
  }
  if (isShuffled(dataset)) {
    refuse(
      ['dataset', 'streaming'],
      'expected no shuffle: true of a data set with streaming, which would read all rows first; leave it out: training shuffles in a buffer ' +
        'of shuffleBufferSize rows',
    )
  }
  const isCounted = maxSteps > 0
  const unequal = packing ? 'packing' : maxTokensPerBatch === undefined ? undefined : 'maxTokensPerBatch'
  if (unequal !== undefined && !isCounted) {
    refuse(
      ['maxSteps', unequal],
      `expected maxSteps with streaming and ${unequal}: how many steps an epoch has is known at its end only; set it, or training.streaming: false`,
    )
  }
  if (maxTokensPerBatch !== undefined && maxTokensPerBatch < maxLength) {
    refuse(
      ['maxTokensPerBatch', 'maxLength'],
      `expected maxTokensPerBatch of at least maxLength with streaming, as a row may be as long, got ${maxTokensPerBatch} and ${maxLength}; raise ` +
        'one or lower the other',
    )
  }
  if (numTrainEpochs > 1 && !isCounted && readsOnce(dataset)) {
    refuse(
      ['numTrainEpochs'],
      `expected numTrainEpochs of at most 1 with streaming for rows that can be read once, as those of a generator or a stream, got ${numTrainEpochs}; set ` +
        'numTrainEpochs: 1 or maxSteps, or give an object whose [Symbol.asyncIterator]() begins anew',
    )
  }
  return problems
}

function partsOf(dataset: DataSource): readonly unknown[] {
  if (isEntryList(dataset)) return dataset
  return isEntry(dataset) && 'mix' in dataset ? dataset.mix : [dataset]
}

function isShuffled(dataset: DataSource): boolean {
  return [dataset, ...partsOf(dataset)].some((part) => isEntry(part) && part.shuffle === true)
}

function readsOnce(dataset: DataSource): boolean {
  try {
    return openSource(dataset).readsOnce === true
  } catch {
    // What is no data set is told of by itself.
    return false
  }
}
