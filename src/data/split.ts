/** @file Splitting examples into training and evaluation so that nothing leaks from one into the other. */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { Random } from '../random.js'
import { type Steps, Turns } from '../turns.js'
import { DigestGroups } from './digest-groups.js'
import type { Example } from './examples.js'
import { digestOf } from './fingerprint.js'
import { type Item, type ItemList, listOf, sequencesOf } from './items.js'
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
export const SPLIT_OPTIONS = {
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
  const sides = await splitItems(listOf(examples), readOptions('data', options, SPLIT_OPTIONS))
  const side = (rows: Int32Array): Example[] => Array.from(rows, (row) => examples[row] as Example)
  return { train: side(sides.train), evaluation: side(sides.evaluation) }
}

/** Numbers of rows, ascending. */
interface RowSplit {
  readonly train: Int32Array
  readonly evaluation: Int32Array
}

/** `splitExamples` for what any objective makes of rows. */
export async function splitItems(
  items: ItemList,
  { evalSplit, seed, signal }: Pick<Required<SplitOptions>, 'evalSplit' | 'seed'> & Pick<SplitOptions, 'signal'>,
): Promise<RowSplit> {
  const turns = new Turns(signal)
  turns.throwIfAborted()
  return await turns.run(splitSteps(items, evalSplit, seed))
}

function* splitSteps(items: ItemList, evalSplit: number, seed: number): Steps<RowSplit> {
  const { length } = items
  if (evalSplit === 0) return { train: Int32Array.from({ length }, (_, row) => row), evaluation: new Int32Array() }
  const wanted = evalSplit < 1 ? Math.max(1, Math.round(length * evalSplit)) : evalSplit
  if (wanted >= length) {
    throw new OptionError(
      `[data] expected evalSplit to leave rows to train on, got ${evalSplit} for ${length} usable rows; lower it`,
    )
  }
  const held = (yield* holdOut(items, wanted, seed, promptKey)) ?? (yield* holdOut(items, wanted, seed, rowKey))
  if (held === undefined) {
    throw new OptionError(`[data] expected rows that differ for evalSplit, got ${length} equal ones; set evalSplit: 0`)
  }
  const evaluation = new Int32Array(held.count)
  const train = new Int32Array(length - held.count)
  let out = 0
  for (let row = 0; row < length; row++) {
    if (row % ROWS_PER_STEP === 0) yield
    if (held.isOut[row] === 1) evaluation[out++] = row
    else train[row - out] = row
  }
  return { train, evaluation }
}

/** Takes whole groups in random order while they fit; undefined where none does. */
function* holdOut(
  items: ItemList,
  wanted: number,
  seed: number,
  key: (item: Item) => Steps<Buffer>,
): Steps<{ readonly count: number; readonly isOut: Uint8Array } | undefined> {
  const groups = new DigestGroups()
  const groupOf = new Int32Array(items.length)
  for (let row = 0; row < items.length; row++) {
    yield
    groupOf[row] = groups.numberOf(yield* key(items.at(row)))
  }
  const sizes = new Int32Array(groups.count)
  for (const group of groupOf) sizes[group]!++
  const order = Int32Array.from({ length: groups.count }, (_, group) => group)
  const isHeld = new Uint8Array(groups.count)
  let count = 0
  for (const group of yield* new Random(seed, SPLIT_STREAM).shuffleSteps_(order)) {
    const size = sizes[group] as number
    if (count + size <= wanted) {
      isHeld[group] = 1
      count += size
    }
    if (count === wanted) break
  }
  yield
  return count === 0 ? undefined : { count, isOut: Uint8Array.from(groupOf, (group) => isHeld[group] as number) }
}

/** The sequences of an item have one prompt. */
function* promptKey(item: Item): Steps<Buffer> {
  const [first] = sequencesOf(item)
  if (first === undefined) return yield* digestOf()
  const { inputIds, promptLength } = first
  return yield* digestOf(promptLength === 0 ? inputIds : inputIds.subarray(0, promptLength))
}

function* rowKey(item: Item): Steps<Buffer> {
  return yield* digestOf(...sequencesOf(item).map(({ inputIds }) => inputIds))
}
