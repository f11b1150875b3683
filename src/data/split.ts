/** @file Splitting examples into training and evaluation so that nothing leaks from one into the other. */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { Random } from '../random.js'
import { type Steps, Turns } from '../turns.js'
import type { Example } from './examples.js'
import { digestOf } from './fingerprint.js'
import { type Item, sequencesOf } from './items.js'
import { DATA_OPTIONS } from './options.js'

// Tells the split's random numbers from those of the epochs, which are 0, 1, 2...
const SPLIT_STREAM = -1
const ROWS_PER_STEP = 4096

/** How many examples to hold out, and which. */
export interface SplitOptions {
  /**
   * A fraction below 1, or a number of rows; 0 holds nothing out.
   * @default 0
   */
  evalSplit?: number
  /**
   * Another seed holds out other rows.
   * @default 42
   */
  seed?: number
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
}

/** The options of `splitExamples`. */
const SPLIT_OPTIONS = {
  evalSplit: DATA_OPTIONS.evalSplit,
  seed: DATA_OPTIONS.seed,
  signal: SIGNAL,
} as const satisfies OptionTable<SplitOptions>

/** Examples to train on and examples that are held out. */
export interface ExampleSplit {
  train: Example[]
  evaluation: Example[]
}

/**
 * Holds out a part of the examples. Rows that share their prompt (for plain text: the whole row) stay on one side, so
 * the evaluation asks nothing that the training has answered. Where one prompt is so common that this leaves no rows
 * for evaluation, only equal rows stay together. Both sides keep the order of the data set.
 *
 * @throws OptionError when no row would be left to train on, or none could be held out.
 */
export async function splitExamples(examples: readonly Example[], options: SplitOptions = {}): Promise<ExampleSplit> {
  if (!Array.isArray(examples))
    throw new OptionError(
      `[data] expected a list of what prepareDataset() gives for examples, got ${describeValue(examples)}`,
    )
  return await splitItems(examples, readOptions('data', options, SPLIT_OPTIONS))
}

/** `splitExamples` for what any objective makes of rows. */
export async function splitItems<I extends Item>(
  items: readonly I[],
  { evalSplit, seed, signal }: Pick<Required<SplitOptions>, 'evalSplit' | 'seed'> & Pick<SplitOptions, 'signal'>,
): Promise<{ train: I[]; evaluation: I[] }> {
  const turns = new Turns(signal)
  turns.throwIfAborted()
  return await turns.run(splitSteps(items, evalSplit, seed))
}

function* splitSteps<I extends Item>(
  examples: readonly I[],
  evalSplit: number,
  seed: number,
): Steps<{ train: I[]; evaluation: I[] }> {
  if (evalSplit === 0) return { train: [...examples], evaluation: [] }
  const wanted = evalSplit < 1 ? Math.max(1, Math.round(examples.length * evalSplit)) : evalSplit
  if (wanted >= examples.length) {
    throw new OptionError(
      `[data] expected evalSplit to leave rows to train on, got ${evalSplit} for ${examples.length} usable rows; lower it`,
    )
  }
  const held = (yield* holdOut(examples, wanted, seed, promptKey)) ?? (yield* holdOut(examples, wanted, seed, rowKey))
  if (held === undefined) {
    throw new OptionError(
      `[data] expected rows that differ for evalSplit, got ${examples.length} equal ones; set evalSplit: 0`,
    )
  }
  const train: I[] = []
  const evaluation: I[] = []
  for (const [index, example] of examples.entries()) {
    if (index % ROWS_PER_STEP === 0) yield
    if (held.has(index)) evaluation.push(example)
    else train.push(example)
  }
  return { train, evaluation }
}

/** Takes whole groups in random order while they fit; undefined where none does. */
function* holdOut(
  examples: readonly Item[],
  wanted: number,
  seed: number,
  key: (example: Item) => Steps<string>,
): Steps<Set<number> | undefined> {
  const groups = new Map<string, number[]>()
  for (const [index, example] of examples.entries()) {
    yield
    const name = yield* key(example)
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [index])
    else group.push(index)
  }
  const held = new Set<number>()
  for (const group of yield* new Random(seed, SPLIT_STREAM).shuffleSteps_([...groups.values()])) {
    if (held.size + group.length <= wanted) {
      for (const index of group) {
        yield
        held.add(index)
      }
    }
    if (held.size === wanted) break
  }
  return held.size === 0 ? undefined : held
}

/** The sequences of an item have one prompt. */
function* promptKey(item: Item): Steps<string> {
  for (const { inputIds, promptLength } of sequencesOf(item))
    return yield* digestOf(promptLength === 0 ? inputIds : inputIds.subarray(0, promptLength))
  return ''
}

function* rowKey(item: Item): Steps<string> {
  let key = ''
  for (const { inputIds } of sequencesOf(item)) key += yield* digestOf(inputIds)
  return key
}
