/** @file Splitting examples into training and evaluation so that nothing leaks from one into the other. */

import { Random } from '../random.js'
import type { Example } from './examples.js'

// Tells the split's random numbers from those of the epochs, which are 0, 1, 2...
const SPLIT_STREAM = -1

/**
 * Holds out a part of the examples. Rows that share their prompt (for plain text: the whole row) stay on one side, so the
 * evaluation asks nothing that the training has answered. Where one prompt is so common that this leaves no rows for
 * evaluation, only equal rows stay together. Both sides keep the order of the data set.
 *
 * @param evalSplit A fraction below 1 or a number of rows; 0 holds nothing out.
 * @throws Error when no row would be left to train on, or none could be held out.
 */
export function splitExamples(
  examples: readonly Example[],
  evalSplit: number,
  seed: number,
): { train: Example[]; evaluation: Example[] } {
  if (evalSplit === 0) return { train: [...examples], evaluation: [] }
  const wanted = evalSplit < 1 ? Math.max(1, Math.round(examples.length * evalSplit)) : evalSplit
  if (wanted >= examples.length) {
    throw new Error(
      `[data] expected evalSplit to leave rows to train on, got ${evalSplit} for ${examples.length} usable rows; lower it`,
    )
  }
  const held = holdOut(examples, wanted, seed, promptKey) ?? holdOut(examples, wanted, seed, rowKey)
  if (held === undefined) {
    throw new Error(
      `[data] expected rows that differ for evalSplit, got ${examples.length} equal ones; set evalSplit: 0`,
    )
  }
  return {
    train: examples.filter((_, index) => !held.has(index)),
    evaluation: examples.filter((_, index) => held.has(index)),
  }
}

/** Takes whole groups in random order while they fit; undefined where none does. */
function holdOut(
  examples: readonly Example[],
  wanted: number,
  seed: number,
  key: (example: Example) => string,
): Set<number> | undefined {
  const groups = new Map<string, number[]>()
  examples.forEach((example, index) => {
    const name = key(example)
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [index])
    else group.push(index)
  })
  const held = new Set<number>()
  for (const group of new Random(seed, SPLIT_STREAM).shuffle_([...groups.values()])) {
    if (held.size + group.length <= wanted) for (const index of group) held.add(index)
    if (held.size === wanted) break
  }
  return held.size === 0 ? undefined : held
}

function promptKey(example: Example): string {
  return example.promptLength === 0 ? rowKey(example) : example.inputIds.subarray(0, example.promptLength).join()
}

function rowKey(example: Example): string {
  return example.inputIds.join()
}
