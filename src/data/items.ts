/** @file What a row becomes for training: an example, or several that stay together. */

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

/** One example counts its supervised tokens. */
export type Item = Example | ExampleGroup

/** The item with other sequences in the place of its own. */
export function mapSequences<I extends Item>(item: I, change: (sequence: Example) => Example): I {
  return 'sequences' in item ? { ...item, sequences: item.sequences.map(change) } : (change(item) as I)
}

export function sequencesOf(item: Item): readonly Example[] {
  return 'sequences' in item ? item.sequences : [item]
}

export function weightOf(item: Item): number {
  return 'sequences' in item ? item.weight : item.numSupervised
}

export function tokensOf(item: Item): number {
  return sequencesOf(item).reduce((sum, { inputIds }) => sum + inputIds.length, 0)
}
