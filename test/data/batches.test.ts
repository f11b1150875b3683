/** @file Ragged batches, shuffling and resuming. */

import { describe, expect, it, vi } from 'vitest'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import {
  type BatchOptions,
  type BatchSchedule,
  type BatchWindow,
  collate,
  sequentialBatches,
} from '../../src/data/batches.js'
import type { Example } from '../../src/data/examples.js'
import { datasetFingerprint } from '../../src/data/fingerprint.js'
import { groupedByLength } from '../../src/data/grouping.js'
import { listOf } from '../../src/data/items.js'
import { Random } from '../../src/random.js'
import { runAtOnce, Turns } from '../../src/turns.js'
import { batchPlan } from '../support/batch-plan.js'
import { windowsOf } from '../support/windows.js'

/** Row `row` holds ids row * 1000, row * 1000 + 1, ...; the first `prompt` tokens are not learnt. */
function example(row: number, length: number, prompt = 0): Example {
  const inputIds = Int32Array.from({ length }, (_, at) => row * 1000 + at)
  const labels = inputIds.map((id, at) => (at < prompt ? IGNORE_INDEX : id))
  return { inputIds, labels, numSupervised: length - Math.max(prompt, 1), promptLength: prompt }
}

function examples(count: number, seed = 1): Example[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, row) => {
    const length = 2 + random.below(61)
    return example(row, length, random.below(length - 1))
  })
}

/** Numbers of the rows in a window, in order. */
function rowsOf(window: BatchWindow): number[] {
  return [...window.batches()].flatMap((batch) =>
    Array.from(batch.cuSeqlens.slice(0, -1), (start) => Math.floor((batch.inputIds[start] as number) / 1000)),
  )
}

function epochRows(plan: BatchSchedule, epoch: number): number[] {
  return [...windowsOf(plan, { epoch, index: 0 }, epoch + 1)].flatMap(rowsOf)
}

const ascending = (count: number) => Array.from({ length: count }, (_, row) => row)
const sorted = (rows: readonly number[]) => [...rows].sort((a, b) => a - b)

describe('collate', () => {
  it('lays rows end to end, with positions from zero and labels shifted within each row', () => {
    const batch = collate([example(1, 3, 1), example(2, 1), example(3, 4, 2)])
    expect([...batch.inputIds]).toEqual([1000, 1001, 1002, 2000, 3000, 3001, 3002, 3003])
    expect([...batch.positions]).toEqual([0, 1, 2, 0, 0, 1, 2, 3])
    expect([...batch.cuSeqlens]).toEqual([0, 3, 4, 8])
    expect([...batch.labels]).toEqual([1001, 1002, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, 3002, 3003, IGNORE_INDEX])
    expect(batch.numSupervised).toBe(4)
  })

  it('counts the labels that it writes', () => {
    for (const batch of sequentialBatches(listOf(examples(53)), 7)) {
      expect(batch.labels.filter((label) => label !== IGNORE_INDEX)).toHaveLength(batch.numSupervised)
    }
  })
})

describe('BatchSchedule', () => {
  const options: Partial<BatchOptions> = {
    perDeviceTrainBatchSize: 3,
    gradientAccumulationSteps: 4,
    maxLength: 64,
    seed: 5,
  }

  it('visits every row once in an epoch, packed or not, with the last window smaller', () => {
    for (const packing of [false, true]) {
      for (const packingStrategy of ['bfd', 'sequential'] as const) {
        const plan = batchPlan(examples(50), { ...options, packing, packingStrategy })
        expect(sorted(epochRows(plan, 0))).toEqual(ascending(50))
        expect([...windowsOf(plan, undefined, 1)]).toHaveLength(plan.numWindows())
      }
    }
    const plan = batchPlan(examples(50), options)
    // 50 rows are 17 micro-batches of 3: four windows of 4, and one that is left.
    expect([...windowsOf(plan, undefined, 1)].map((window) => window.numBatches)).toEqual([4, 4, 4, 4, 1])
  })

  it('knows the counts of a window before its first batch', () => {
    const plan = batchPlan(examples(50), { ...options, packing: true })
    for (const window of windowsOf(plan, undefined, 1)) {
      const batches = [...window.batches()]
      expect(batches).toHaveLength(window.numBatches)
      expect(batches.reduce((sum, batch) => sum + batch.numSupervised, 0)).toBe(window.weight)
      expect(batches.reduce((sum, batch) => sum + batch.inputIds.length, 0)).toBe(window.numTokens)
      expect(batches.reduce((sum, batch) => sum + batch.cuSeqlens.length - 1, 0)).toBe(window.numItems)
      for (const batch of batches) expect(batch.inputIds.length).toBeLessThanOrEqual(3 * 64)
    }
  })

  it('gives the same order for the same seed, another for each epoch and seed', () => {
    const order = (seed: number, epoch: number) => epochRows(batchPlan(examples(50), { ...options, seed }), epoch)
    expect(order(5, 0)).toEqual(order(5, 0))
    expect(order(5, 1)).not.toEqual(order(5, 0))
    expect(order(6, 0)).not.toEqual(order(5, 0))
    expect(epochRows(batchPlan(examples(50), { ...options, shuffle: false }), 3)).toEqual(ascending(50))
  })

  it('does not train packs in the order of their lengths', () => {
    const plan = batchPlan(examples(200), {
      ...options,
      perDeviceTrainBatchSize: 1,
      gradientAccumulationSteps: 1,
      packing: true,
    })
    const longest = [...windowsOf(plan, undefined, 1)].map((window) => {
      const [batch] = [...window.batches()]
      return (batch as NonNullable<typeof batch>).positions.reduce((most, position) => Math.max(most, position), 0)
    })
    expect(longest).not.toEqual([...longest].sort((a, b) => b - a))
  })

  it('goes on from any cursor with the same bytes as without a stop', () => {
    for (const packing of [false, true]) {
      const windows = [...windowsOf(batchPlan(examples(50), { ...options, packing }), undefined, 3)]
      windows.forEach((window, at) => {
        const cursor = JSON.parse(JSON.stringify(window.cursor)) as typeof window.cursor
        const resumed = windowsOf(batchPlan(examples(50), { ...options, packing }), cursor, 3)
        for (const expected of windows.slice(at)) {
          const { value } = resumed.next()
          expect([...(value as BatchWindow).batches()]).toEqual([...expected.batches()])
        }
        expect(resumed.next().done).toBe(true)
      })
    }
  })

  it('refuses a cursor of other data, no rows and rows longer than a pack', () => {
    const plan = batchPlan(examples(50), options)
    expect(() => plan.window({ epoch: 0, index: 3 })).toThrow(
      '[batches] expected a cursor at a multiple of 4 below 17 micro-batches, got epoch 0, index 3; the checkpoint belongs to',
    )
    expect(() => plan.window({ epoch: 0, index: 20 })).toThrow('got epoch 0, index 20')
    expect(() => plan.window({ epoch: -1, index: 0 })).toThrow('got epoch -1, index 0')
    expect(() => batchPlan([])).toThrow('[batches] expected at least one example, got none')
    expect(() => batchPlan([example(0, 9)], { packing: true, maxLength: 8 })).toThrow(
      'at most maxLength 8 tokens, got 9',
    )
  })
})

describe('the order of a plan', () => {
  /** The same by plain means: rows are sorted, and each pack with room is looked at. */
  function plainly(rows: readonly Example[], options: BatchOptions, epoch: number): number[][] {
    const random = new Random(options.seed, epoch)
    const order = random.shuffle_(ascending(rows.length))
    const lengthOf = (row: number) => (rows[row] as Example).inputIds.length
    const packs: { rows: number[]; room: number; changed: number }[] = []
    const sorted = options.packingStrategy === 'bfd' ? [...order].sort((a, b) => lengthOf(b) - lengthOf(a)) : order
    sorted.forEach((row, at) => {
      const withRoom = packs.filter(({ room }) => room >= lengthOf(row))
      const fullest = withRoom.sort((a, b) => a.room - b.room || b.changed - a.changed)[0]
      const last = packs.at(-1)
      const chosen = options.packingStrategy === 'bfd' ? fullest : last && last.room >= lengthOf(row) ? last : undefined
      const pack = chosen ?? { rows: [], room: options.maxLength, changed: at }
      if (chosen === undefined) packs.push(pack)
      pack.rows.push(row)
      pack.room -= lengthOf(row)
      pack.changed = at
    })
    const groups = options.packing ? packs.map((pack) => pack.rows) : order.map((row) => [row])
    if (options.packing && options.packingStrategy === 'bfd') random.shuffle_(groups)
    const batches: number[][] = []
    const size = options.perDeviceTrainBatchSize
    for (let at = 0; at < groups.length; at += size) batches.push(groups.slice(at, at + size).flat())
    return batches
  }

  it('is that of plain sorting, packing and shuffling', () => {
    for (const seed of [1, 2, 3]) {
      for (const [packing, packingStrategy] of [
        [false, 'bfd'],
        [true, 'bfd'],
        [true, 'sequential'],
      ] as const) {
        const rows = examples(157, seed)
        const options = {
          perDeviceTrainBatchSize: 3,
          gradientAccumulationSteps: 1,
          maxLength: 101,
          packing,
          packingStrategy,
        }
        const plan = batchPlan(rows, { ...options, seed })
        const all = { ...options, shuffle: true, seed }
        for (const epoch of [0, 5]) {
          const found = [...windowsOf(plan, { epoch, index: 0 }, epoch + 1)].map(rowsOf)
          expect(found).toEqual(plainly(rows, all, epoch))
        }
        const [first = []] = plainly(rows, all, 0)
        const tokens = (batch: readonly number[]) =>
          batch.reduce((sum, row) => sum + (rows[row] as Example).inputIds.length, 0)
        expect(plan.largestBatch().reduce((sum, length) => sum + length, 0)).toBe(
          plainly(rows, all, 0).reduce((most, batch) => Math.max(most, tokens(batch)), tokens(first)),
        )
      }
    }
  })
})

describe('countWindows', () => {
  const options = { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 2, maxLength: 64 }

  it('counts the steps of every epoch, and rounds a last part of one up', async () => {
    for (const packingStrategy of ['bfd', 'sequential'] as const) {
      for (const [packing, shuffle] of [
        [false, true],
        [true, true],
        [true, false],
      ] as const) {
        const plan = batchPlan(examples(283), { ...options, packing, packingStrategy, shuffle })
        const each = ascending(7).map((epoch) => plan.numWindows(epoch))
        const sum = (epochs: number) => each.slice(0, epochs).reduce((total, windows) => total + windows, 0)
        expect(await plan.countWindows(6, new Turns())).toBe(sum(6))
        expect(await plan.countWindows(6.5, new Turns())).toBe(sum(6) + Math.ceil(0.5 * (each[6] as number)))
        expect(await plan.countWindows(0.25, new Turns())).toBe(Math.ceil(0.25 * (each[0] as number)))
        if (packing && packingStrategy === 'sequential' && shuffle) expect(new Set(each).size).toBeGreaterThan(1)
      }
    }
  })

  it('plans one epoch where all are alike, however many there are', async () => {
    for (const packing of [false, true]) {
      const plan = batchPlan(examples(500), { ...options, packing })
      const shuffles = vi.spyOn(Random.prototype, 'shuffleSteps_')
      expect(await plan.countWindows(1e9, new Turns())).toBe(1e9 * plan.numWindows(0))
      expect(shuffles.mock.calls.length).toBeLessThanOrEqual(2)
      shuffles.mockRestore()
    }
  })

  it('ends when asked to', async () => {
    const controller = new AbortController()
    const plan = batchPlan(examples(500), { ...options, packing: true, packingStrategy: 'sequential' })
    const counted = plan.countWindows(1e9, new Turns(controller.signal))
    setImmediate(() => controller.abort(new Error('enough')))
    await expect(counted).rejects.toThrow('enough')
  })
})

describe('batches by length', () => {
  const options = { perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 2, maxLength: 64 }
  const kinds: [string, Partial<BatchOptions>][] = [
    ['rows grouped by length', { groupByLength: true }],
    ['batches of at most 100 tokens', { maxTokensPerBatch: 100 }],
    ['batches of at most 100 tokens by length', { maxTokensPerBatch: 100, groupByLength: true }],
  ]
  const lengthsOf = (batch: { cuSeqlens: Int32Array }) =>
    Array.from(batch.cuSeqlens.subarray(1), (end, sequence) => end - (batch.cuSeqlens[sequence] as number))
  /** Slots that would stay empty if the rows of a batch were padded to the longest. */
  const emptySlots = (plan: BatchSchedule) =>
    [...windowsOf(plan, undefined, 1)]
      .flatMap((window) => [...window.batches()].map(lengthsOf))
      .reduce((sum, lengths) => sum + lengths.reduce((empty, length) => empty + Math.max(...lengths) - length, 0), 0)

  it.each(kinds)('%s: every row comes once per epoch, and a run resumes within one', (_, kind) => {
    const rows = examples(283)
    const plan = batchPlan(rows, { ...options, ...kind })
    const windows = [...windowsOf(plan, undefined, 2)]
    for (const epoch of [0, 1]) expect(epochRows(plan, epoch).sort((a, b) => a - b)).toEqual(ascending(283))
    expect(windows).toHaveLength(plan.numWindows(0) + plan.numWindows(1))
    const middle = windows[Math.floor(windows.length / 3)] as BatchWindow
    const [resumed] = windowsOf(batchPlan(rows, { ...options, ...kind }), middle.cursor)
    expect(middle.cursor.index).toBeGreaterThan(0)
    expect([...(resumed as BatchWindow).batches()]).toEqual([...middle.batches()])
  })

  it.each(kinds)('%s: the steps of all epochs are counted, and those before a cursor', async (_, kind) => {
    const plan = batchPlan(examples(283), { ...options, ...kind })
    const windows = [...windowsOf(plan, undefined, 3)]
    expect(await plan.countWindows(3, new Turns())).toBe(windows.length)
    const { cursor } = windows.at(-2) as BatchWindow
    expect((await plan.before(cursor, new Turns())).windows).toBe(windows.length - 2)
  })

  it('rows grouped by length leave a third of the slots empty that rows in any order do, and bring the longest first', () => {
    const rows = examples(500)
    const grouped = batchPlan(rows, { ...options, groupByLength: true })
    expect(emptySlots(grouped) * 3).toBeLessThan(emptySlots(batchPlan(rows, options)))
    const longest = Math.max(...rows.map(({ inputIds }) => inputIds.length))
    const [first] = [...grouped.window({ epoch: 3, index: 0 }).batches()]
    expect(lengthsOf(first as never)[0]).toBe(longest)
  })

  it('batches of tokens hold as many rows as fit, in the order of the epoch', () => {
    const rows = examples(283)
    const plan = batchPlan(rows, { ...options, maxTokensPerBatch: 100 })
    expect(epochRows(plan, 2)).toEqual(epochRows(batchPlan(rows, options), 2))
    const batches = [...windowsOf(plan, { epoch: 2, index: 0 }, 3)].flatMap((window) => [...window.batches()])
    batches.forEach(({ inputIds }, at) => {
      expect(inputIds.length).toBeLessThanOrEqual(100)
      const next = batches[at + 1]
      if (next) expect(inputIds.length + (lengthsOf(next)[0] as number)).toBeGreaterThan(100)
    })
    expect(() => batchPlan(rows, { ...options, maxTokensPerBatch: 20 })).toThrow(
      /^\[batches\] expected maxTokensPerBatch to hold the longest row of \d+ tokens, got 20; raise it, or lower maxLength$/,
    )
  })

  it.each([false, true])('dataloaderDropLast leaves out what is no whole batch, with packing %s', (packing) => {
    const plan = batchPlan(examples(50), { ...options, packing })
    const whole = batchPlan(examples(50), { ...options, packing, dataloaderDropLast: true })
    const sizes = [...windowsOf(plan, undefined, 1)].map((window) => window.numBatches)
    const all = sizes.reduce((sum, size) => sum + size, 0)
    expect(whole.numBatches()).toBe(all - 1)
    const kept = epochRows(whole, 1)
    expect(kept).toEqual(epochRows(plan, 1).slice(0, kept.length))
  })

  it('dataloaderDropLast that leaves nothing is an error', () => {
    expect(() => batchPlan(examples(3), { ...options, dataloaderDropLast: true })).toThrow(
      '[batches] expected rows for a whole micro-batch with dataloaderDropLast, got 3; lower perDeviceTrainBatchSize',
    )
  })
})

describe('groupedByLength', () => {
  it.each([
    [6, [67, 127, 30, 119, 129, 65, 32, 117], 155_746],
    [2, [67, 127, 30, 119, 22, 129, 65, 32], 846_742],
    [50, [67, 127, 30, 119, 22, 129, 65, 32], 467_487],
  ])('groups %i rows as get_length_grouped_indices of transformers does', (batchSize, first, hash) => {
    const lengths = Int32Array.from(ascending(157), (row) => ((row * row * 7) % 97) + 3)
    const order = Int32Array.from(ascending(157), (row) => (row * 31 + 5) % 157)
    const grouped = runAtOnce(groupedByLength(order, lengths, batchSize))
    expect([...grouped.subarray(0, 8)]).toEqual(first)
    expect(grouped.reduce((sum, row) => (sum * 31 + row) % 1_000_003, 7)).toBe(hash)
  })
})

describe('datasetFingerprint', () => {
  it('changes with any id, label or boundary and with nothing else', () => {
    const fingerprint = (rows: Example[]) => runAtOnce(datasetFingerprint(rows))
    const base = fingerprint([example(1, 3), example(2, 2)])
    expect(base).toBe(fingerprint([example(1, 3), example(2, 2)]))
    const others = [[example(1, 3)], [example(2, 2), example(1, 3)], [example(1, 3, 1), example(2, 2)]]
    expect(new Set([base, ...others.map(fingerprint)]).size).toBe(4)
  })
})
