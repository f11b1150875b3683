/** @file What a row becomes for training: an example, or several that stay together; and lists of them. */

import type { Example } from './examples.js'

/**
 * Sequences that are only worth something together, as the two answers of a preference pair: one micro-batch holds them
 * all.
 */
export interface ExampleGroup {
  readonly sequences: readonly Example[]
  /** What the group counts in a window's mean. */
  readonly weight: number
}

/** One example counts its supervised tokens, each by its weight. */
export type Item = Example | ExampleGroup

/**
 * Items by their number, wherever they lie. What batches are planned from is known without reading an item.
 */
export interface ItemList<I extends Item = Item> extends Iterable<I> {
  readonly length: number
  at(row: number): I
  /** Tokens of all sequences of an item. */
  tokensAt(row: number): number
  /** Tokens of its longest sequence. */
  longestAt(row: number): number
  weightAt(row: number): number
  /**
   * Whether tokens of some item may count another weight than 1. Batches then have weights, all of them: so they take
   * the memory that was planned.
   */
  readonly isWeighted: boolean
}

/** The item with other sequences in the place of its own. */
export function mapSequences<I extends Item>(item: I, change: (sequence: Example) => Example): I {
  return 'sequences' in item ? { ...item, sequences: item.sequences.map(change) } : (change(item) as I)
}

export function sequencesOf(item: Item): readonly Example[] {
  return 'sequences' in item ? item.sequences : [item]
}

export function weightOf(item: Item): number {
  if ('sequences' in item) return item.weight
  const { weights, numSupervised } = item
  if (weights === undefined) return numSupervised
  // Nothing predicts the first token.
  let sum = 0
  for (let at = 1; at < weights.length; at++) sum += weights[at] as number
  return sum
}

/** Whether some token counts another weight than 1. */
export function hasWeights(items: Iterable<Item>): boolean {
  for (const item of items) if (sequencesOf(item).some(({ weights }) => weights !== undefined)) return true
  return false
}

export function tokensOf(item: Item): number {
  return sequencesOf(item).reduce((sum, { inputIds }) => sum + inputIds.length, 0)
}

export function longestOf(item: Item): number {
  return sequencesOf(item).reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0)
}

/** Items that are in memory. */
export function listOf<I extends Item>(items: readonly I[]): ItemList<I> {
  const at = (row: number): I => items[row] as I
  let isWeighted: boolean | undefined
  return {
    length: items.length,
    at,
    tokensAt: (row) => tokensOf(at(row)),
    longestAt: (row) => longestOf(at(row)),
    weightAt: (row) => weightOf(at(row)),
    get isWeighted() {
      isWeighted ??= hasWeights(items)
      return isWeighted
    },
    [Symbol.iterator]: () => items[Symbol.iterator](),
  }
}

/** Some items of a list, in the order of their numbers. */
export function someOf<I extends Item>(items: ItemList<I>, rows: Int32Array): ItemList<I> {
  const numberOf = (row: number): number => rows[row] as number
  return {
    length: rows.length,
    at: (row) => items.at(numberOf(row)),
    tokensAt: (row) => items.tokensAt(numberOf(row)),
    longestAt: (row) => items.longestAt(numberOf(row)),
    weightAt: (row) => items.weightAt(numberOf(row)),
    isWeighted: items.isWeighted,
    *[Symbol.iterator]() {
      for (const row of rows) yield items.at(row)
    },
  }
}

/** Several lists as one, in their order. */
export function allOf<I extends Item>(lists: readonly ItemList<I>[]): ItemList<I> {
  const [first] = lists
  if (first !== undefined && lists.length === 1) return first
  const find = (row: number): [ItemList<I>, number] => {
    let at = 0
    let left = row
    while (at + 1 < lists.length && left >= (lists[at]?.length ?? 0)) left -= lists[at++]?.length ?? 0
    return [lists[at] as ItemList<I>, left]
  }
  const of = (row: number, what: 'tokensAt' | 'longestAt' | 'weightAt'): number => {
    const [list, index] = find(row)
    return list[what](index)
  }
  return {
    length: lists.reduce((sum, { length }) => sum + length, 0),
    at: (row) => {
      const [list, index] = find(row)
      return list.at(index)
    },
    tokensAt: (row) => of(row, 'tokensAt'),
    longestAt: (row) => of(row, 'longestAt'),
    weightAt: (row) => of(row, 'weightAt'),
    isWeighted: lists.some(({ isWeighted }) => isWeighted),
    *[Symbol.iterator]() {
      for (const list of lists) yield* list
    },
  }
}
