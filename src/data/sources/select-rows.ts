/** @file Sources made of another one: some of its rows, in another order, with other names, or after one another. */

import { DataError } from '../../lowrank-error.js'
import { Random } from '../../random.js'
import { Columns } from '../columns.js'
import { someRowsOf } from './row-batches.js'
import type { ReadContext, RowSource, SourceRow } from './row-source.js'
import { needsCount, rangeOf, type SplitSlice } from './split-slices.js'

/**
 * A source with other rows than `source`, which is checked in its place.
 *
 * @param countOf How many there are where `source` has so many. Default: that is not known.
 */
function made(
  source: RowSource,
  rows: (context: ReadContext) => AsyncIterable<SourceRow>,
  countOf: (count: number) => number | undefined = () => undefined,
): RowSource {
  return {
    name: source.name,
    check: async (signal) => await source.check?.(signal),
    async count(signal) {
      const count = await source.count?.(signal)
      return count === undefined ? undefined : countOf(count)
    },
    readsOnce: source.readsOnce === true,
    rows,
  }
}

/** The first `limit` rows. */
export function limited(source: RowSource, limit: number): RowSource {
  return made(
    source,
    (context) => between(source, 0, limit, context),
    (count) => Math.min(count, limit),
  )
}

/** The rows of a slice. Where it has shares or counts from the end, the rows are read once more, to count them. */
export function sliced(source: RowSource, slice: SplitSlice): RowSource {
  if (slice.from === undefined && slice.to === undefined) return source
  const rows = async function* (context: ReadContext): AsyncGenerator<SourceRow> {
    const count = needsCount(slice) ? await countRows(source, context) : undefined
    const [from, to] = rangeOf(slice, count)
    let row = 0
    for await (const each of between(source, from, to, context)) {
      row++
      yield each
    }
    const wanted = Math.min(to, count ?? to) - from
    if (row >= wanted || wanted === Number.POSITIVE_INFINITY) return
    throw new DataError(
      `[data] expected ${wanted} rows in a slice of ${source.name}, got ${row}; give a smaller slice, and rows that can be read twice where it ` +
        'has shares',
    )
  }
  return made(source, rows, (count) => {
    const [from, to] = rangeOf(slice, count)
    return Math.max(0, Math.min(to, count) - from)
  })
}

/** The rows of these numbers, from 0, in this order. They are held in memory. */
export function selected(source: RowSource, indices: readonly number[]): RowSource {
  const rows = async function* (context: ReadContext): AsyncGenerator<SourceRow> {
    const wanted = new Set(indices)
    const sorted = [...wanted].sort((a, b) => a - b)
    const held = new Map<number, SourceRow>()
    let count = 0
    for await (const { index, value, origin } of someRowsOf(source, context, (from, to) => has(sorted, from, to))) {
      if (wanted.has(index)) held.set(index, { value, origin })
      count = index + 1
      if (held.size === wanted.size) break
    }
    for (const each of indices) {
      const row = held.get(each)
      if (row !== undefined) {
        yield row
        continue
      }
      // The last rows may have been passed over.
      if (source.someRows !== undefined) count = await countRows(source, context)
      throw new DataError(`[data] expected the row ${each} for select in ${source.name}, got ${count} rows from 0 on`)
    }
  }
  return { ...made(source, rows), count: async () => indices.length }
}

/** Whether sorted numbers have one from `from` to before `to`. */
function has(sorted: readonly number[], from: number, to: number): boolean {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as number) < from) low = middle + 1
    else high = middle
  }
  const first = sorted[low]
  return first !== undefined && first < to
}

/**
 * The rows in an order that only the seed decides, or the first `limit` of them, which is then a fair sample. One pass;
 * as many rows are held in memory as are given.
 */
export function shuffled(source: RowSource, seed: number, limit = Number.POSITIVE_INFINITY): RowSource {
  const rows = async function* (context: ReadContext): AsyncGenerator<SourceRow> {
    const random = new Random(seed)
    let held: { key: number; row: SourceRow }[] = []
    let bound = Number.POSITIVE_INFINITY
    const sort = (): void => {
      held.sort((a, b) => a.key - b.key)
      held = held.slice(0, limit)
    }
    for await (const row of source.rows(context)) {
      // Rows with the smallest of these numbers come first: 52 bits, so that no two have the same.
      const key = random.next() * 2 ** 20 + (random.next() >>> 12)
      if (key >= bound) continue
      held.push({ key, row })
      if (held.length < 2 * limit + 1000) continue
      sort()
      bound = held.at(-1)?.key ?? bound
    }
    sort()
    for (const { row } of held) yield row
  }
  return made(source, rows, (count) => Math.min(count, limit))
}

/** The rows by the names that `columns` gives them; see `Columns`. */
export function renamed(source: RowSource, columns: Readonly<Record<string, string>>): RowSource {
  async function* rename<Row extends SourceRow>(rows: AsyncIterable<Row>): AsyncGenerator<Row> {
    const names = new Columns(columns)
    let isEmpty = true
    for await (const row of rows) {
      isEmpty = false
      yield { ...row, value: names.rename(row.value) }
    }
    if (!isEmpty) names.expectAll()
  }
  return {
    ...made(
      source,
      (context) => rename(source.rows(context)),
      (count) => count,
    ),
    someRows: (context, isWanted) => rename(someRowsOf(source, context, isWanted)),
  }
}

/** The rows of one source after those of another. */
export function concatenated(sources: readonly RowSource[]): RowSource {
  const [first] = sources
  if (sources.length === 1 && first !== undefined) return first
  return {
    name: sources.map(({ name }) => name).join(', '),
    async check(signal) {
      for (const source of sources) await source.check?.(signal)
    },
    async count(signal) {
      let sum = 0
      for (const source of sources) {
        const count = await source.count?.(signal)
        if (count === undefined) return undefined
        sum += count
      }
      return sum
    },
    readsOnce: sources.some(({ readsOnce }) => readsOnce),
    async *rows(context) {
      for (const [index, source] of sources.entries()) {
        const onFraction = (share: number): void => context.onFraction((index + share) / sources.length)
        yield* source.rows({ ...context, onFraction })
      }
    },
  }
}

async function* between(source: RowSource, from: number, to: number, context: ReadContext): AsyncGenerator<SourceRow> {
  if (to <= from) return
  // Rows from the first on are read as they are, and to the end with the hash of the file.
  if (from > 0 && Number.isFinite(to)) {
    for await (const { index, value, origin } of someRowsOf(source, context, (a, b) => a < to && b > from)) {
      if (index >= to) return
      if (index >= from) yield { value, origin }
      if (index + 1 >= to) return
    }
    return
  }
  let index = 0
  for await (const row of source.rows(context)) {
    if (index >= from) yield row
    index++
    if (index >= to) return
  }
}

async function countRows(source: RowSource, context: ReadContext): Promise<number> {
  const quiet = {
    ...context,
    onFraction: () => {},
    onLineage: () => {},
    needsHash: false,
    ...(context.onBadRow && { onBadRow: () => {} }),
  }
  let count = 0
  for await (const _ of source.rows(quiet)) count++
  return count
}
