/** @file Weights of labels: from rows, ranges and tokens to an example, and from examples to batches. */

import { describe, expect, it } from 'vitest'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import { collate, collateItems, sequentialBatches } from '../../src/data/batches.js'
import { type Example, padExample } from '../../src/data/examples.js'
import { datasetFingerprint } from '../../src/data/fingerprint.js'
import { hasWeights, listOf, weightOf } from '../../src/data/items.js'
import { withWeights } from '../../src/data/token-weights.js'
import { runAtOnce } from '../../src/turns.js'
import { batchPlan } from '../support/batch-plan.js'
import { windowsOf } from '../support/windows.js'

/** Ids 10, 11, ...; the first `prompt` are not learnt. */
function example(length: number, prompt = 0, weights?: readonly number[]): Example {
  const inputIds = Int32Array.from({ length }, (_, at) => 10 + at)
  const labels = inputIds.map((id, at) => (at < prompt ? IGNORE_INDEX : id))
  const plain = { inputIds, labels, numSupervised: length - Math.max(prompt, 1), promptLength: prompt }
  return weights ? { ...plain, weights: Float32Array.from(weights) } : plain
}

describe('withWeights', () => {
  it('multiplies the weights of row, range and token, and leaves -100 where that is 0', () => {
    const ranges = [
      { start: 1, end: 3, weight: 0.5 },
      { start: 4, end: 9 },
    ]
    const labels = Int32Array.of(-100, 11, 12, -100, 14, 15)
    const before = { ...example(6, 1), labels }
    const after = withWeights(before, { row: 2, ranges, tokens: [9, 1, 0, 9, 3, 0.25] })
    expect([...(after.weights as Float32Array)]).toEqual([0, 1, 0, 0, 6, 0.5])
    expect([...after.labels]).toEqual([-100, 11, -100, -100, 14, 15])
    expect(after.numSupervised).toBe(3)
    expect([...before.labels]).toEqual([-100, 11, 12, -100, 14, 15])
  })

  it('an example whose weights are all 1 or 0 has labels alone', () => {
    const ranges = [{ start: 0, end: 4 }]
    const plain = example(4)
    expect(withWeights(plain, { ranges })).toBe(plain)
    expect(withWeights(plain, { row: 0.5, ranges, tokens: [2, 2, 2, 2] })).toEqual(plain)
    const some = withWeights(plain, { ranges, tokens: [1, 0, 1, 1] })
    expect(some.weights).toBeUndefined()
    expect([...some.labels]).toEqual([10, -100, 12, 13])
    expect(some.numSupervised).toBe(2)
    expect(withWeights(plain, { row: 0, ranges }).numSupervised).toBe(0)
  })

  it.each([
    [Number.NaN, 'NaN'],
    [-1, '-1'],
    [1e39, '1e+39'],
    [1e-50, '1e-50'],
    // Its reciprocal is infinite in float32.
    [1e-45, '1e-45'],
  ])('refuses a weight of %f, which float32 has no number for or which would unlearn', (weight, text) => {
    expect(() => withWeights(example(3), { ranges: [{ start: 0, end: 3, weight }] })).toThrow(
      `[data] expected weights that are 0 or more and that float32 can hold, got ${text}; weights of row, message and token are ` +
        'multiplied: choose others',
    )
  })
})

describe('a batch', () => {
  it('shifts weights as labels, within each sequence, and gives 1 to the labels of examples without', () => {
    const batch = collate([example(3, 1, [0, 2, 3]), example(1), example(4, 2)])
    expect([...batch.labels]).toEqual([11, 12, -100, -100, -100, 12, 13, -100])
    expect([...(batch.weights as Float32Array)]).toEqual([2, 3, 0, 0, 0, 1, 1, 0])
  })

  it('has weights where some example of its run has, and only there', () => {
    const [plain, weighted] = [example(4, 1), example(4, 1, [0, 1, 2, 1])]
    expect([collate([plain]).weights, collateItems([plain]).weights]).toEqual([undefined, undefined])
    expect([hasWeights([plain, plain]), hasWeights([plain, weighted])]).toEqual([false, true])
    const given = [...sequentialBatches(listOf([plain, plain, plain, weighted]), 2)].map(
      ({ weights }) => weights?.length,
    )
    expect(given).toEqual([8, 8])
    for (const window of windowsOf(batchPlan([plain, plain, weighted], { perDeviceTrainBatchSize: 1 }), undefined, 1))
      for (const batch of window.batches()) expect(batch.weights).toHaveLength(4)
  })

  it('a window counts the weights of its labels, the first token of a row left out', () => {
    const rows = [example(3, 0, [7, 0.5, 2]), example(4, 2), example(3, 1, [0, 0.25, 4])]
    expect(rows.map(weightOf)).toEqual([2.5, 2, 4.25])
    const [window] = [...windowsOf(batchPlan(rows, { perDeviceTrainBatchSize: 3 }), undefined, 1)]
    expect(window?.weight).toBe(8.75)
    const [batch] = [...(window?.batches() ?? [])]
    expect(batch?.weights?.reduce((sum, weight) => sum + weight, 0)).toBe(8.75)
    expect(batch?.numSupervised).toBe(6)
  })

  it('padding weighs nothing', () => {
    const padded = padExample(example(3, 1, [0, 2, 3]), 5, 0)
    expect([...(padded.weights as Float32Array)]).toEqual([0, 2, 3, 0, 0])
    expect(padExample(example(3), 5, 0).weights).toBeUndefined()
  })
})

it('data whose weights differ have different fingerprints', () => {
  const fingerprint = (...rows: Example[]) => runAtOnce(datasetFingerprint(rows))
  const prints = [example(3), example(3, 0, [1, 2, 1]), example(3, 0, [1, 2, 2])].map((row) => fingerprint(row))
  expect(new Set(prints).size).toBe(3)
  // As it was before there were weights: runs of then go on.
  expect(prints[0]).toBe('11926d4c4585182f8803b786112fe5d9b5fcfd2f72f68c1f13e59314f41697ad')
})
