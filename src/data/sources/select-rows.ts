/** @file Sources made of another one: some of its rows, in another order, with other names, or after one another. */

import { DataError } from '../../lowrank-error.js'
import { Random } from '../../random.js'
import { Columns } from '../columns.js'
import type { ReadContext, RowSource, SourceRow } from './row-source.js'
import { needsCount, rangeOf, type SplitSlice } from './split-slices.js'

/** A source with other rows than `source`, which is checked in its place. */
function made(source: RowSource, rows: (context: ReadContext) => AsyncIterable<SourceRow>): RowSource {
  return { name: source.name, check: async (signal) => await source.check?.(signal), rows }
}

/** The first `limit` rows. */
export function limited(source: RowSource, limit: number): RowSource {
  return made(source, (context) => between(source, 0, limit, context))
}

/** The rows of a slice. Where it has shares or counts from the end, the rows are read once more, to count them. */
export function sliced(source: RowSource, slice: SplitSlice): RowSource {
  if (slice.from === undefined && slice.to === undefined) return source
  return made(source, async function* (context) {
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
  })
}

/** The rows of these numbers, from 0, in this order. They are held in memory. */
export function selected(source: RowSource, indices: readonly number[]): RowSource {
  return made(source, async function* (context) {
    const wanted = new Set(indices)
    const held = new Map<number, SourceRow>()
    let index = 0
    for await (const row of source.rows(context)) {
      if (wanted.has(index)) held.set(index, row)
      index++
      if (held.size === wanted.size) break
    }
    for (const each of indices) {
      const row = held.get(each)
      if (row !== undefined) yield row
      else
        throw new DataError(`[data] expected the row ${each} for select in ${source.name}, got ${index} rows from 0 on`)
    }
  })
}

/**
 * The rows in an order that only the seed decides, or the first `limit` of them, which is then a fair sample. One pass;
 * as many rows are held in memory as are given.
 */
export function shuffled(source: RowSource, seed: number, limit = Number.POSITIVE_INFINITY): RowSource {
  return made(source, async function* (context) {
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
  })
}

/** The rows by the names that `columns` gives them; see `Columns`. */
export function renamed(source: RowSource, columns: Readonly<Record<string, string>>): RowSource {
  return made(source, async function* (context) {
    const names = new Columns(columns)
    let isEmpty = true
    for await (const { value, origin } of source.rows(context)) {
      isEmpty = false
      yield { value: names.rename(value), origin }
    }
    if (!isEmpty) names.expectAll()
  })
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
