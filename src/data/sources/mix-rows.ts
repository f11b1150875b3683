/** @file Rows of several sources, mixed by weight. */

import { DataError, OptionError } from '../../lowrank-error.js'
import { Random } from '../../random.js'
import type { ReadContext, RowSource, SourceRow } from './row-source.js'

/** When a mix ends: once the first source has given all of its rows, or once each has given all of them. */
export type StoppingStrategy = (typeof STOPPING_STRATEGIES)[number]

/** As `interleave_datasets` of the package datasets names them. */
export const STOPPING_STRATEGIES = ['first_exhausted', 'all_exhausted'] as const

/** The least share of the rows: one row in a million. */
const LEAST_SHARE = 1e-6

/** A source and its share of the rows. */
export interface WeightedSource {
  readonly source: RowSource
  readonly weight: number
}

/**
 * Each row is of a source that is drawn by weight; only the seed decides which. With 'all_exhausted' a source that has
 * given all of its rows begins anew.
 */
export function mixed(parts: readonly WeightedSource[], strategy: StoppingStrategy, seed: number): RowSource {
  return {
    name: parts.map(({ source }) => source.name).join(', '),
    async check(signal) {
      for (const { source } of parts) await source.check?.(signal)
    },
    readsOnce: parts.some(({ source }) => source.readsOnce),
    rows: (context) => mix(parts, strategy, seed, context),
  }
}

async function* mix(
  parts: readonly WeightedSource[],
  strategy: StoppingStrategy,
  seed: number,
  context: ReadContext,
): AsyncGenerator<SourceRow> {
  const random = new Random(seed)
  const total = parts.reduce((sum, { weight }) => sum + weight, 0)
  expectShares(parts, total)
  const shares = parts.map(() => 0)
  const readers = parts.map(({ source }, index) => {
    const onFraction = (share: number): void => {
      shares[index] = Math.max(shares[index] ?? 0, share)
      context.onFraction(strategy === 'all_exhausted' ? Math.min(...shares) : Math.max(...shares))
    }
    return new Reader(source, { ...context, onFraction })
  })
  try {
    for (const reader of readers) await reader.begin()
    for (;;) {
      let rest = (random.next() / 2 ** 32) * total
      let at = 0
      // Rounding may leave a little behind the last one.
      for (; at < parts.length - 1; at++) {
        rest -= parts[at]?.weight ?? 0
        if (rest < 0) break
      }
      const reader = readers[at] as Reader
      yield await reader.take()
      const isOver = strategy === 'first_exhausted' ? reader.isExhausted : readers.every((each) => each.isExhausted)
      if (isOver) return
    }
  } finally {
    for (const reader of readers) await reader.close()
  }
}

/** A source that is hardly ever drawn would keep a mix from its end, and its rows from being taken. */
function expectShares(parts: readonly WeightedSource[], total: number): void {
  for (const { source, weight } of parts) {
    if (weight / total >= LEAST_SHARE) continue
    throw new OptionError(
      `[data] expected a share of at least ${LEAST_SHARE} of a mix for each source, got the weight ${weight} of ${total} for ${source.name}; ` +
        'raise it, or leave the source out',
    )
  }
}

/** One source of a mix, one row ahead, so that its end is known with its last row. */
class Reader {
  readonly #source: RowSource
  #context: ReadContext
  #rows: AsyncIterator<SourceRow> | undefined
  #next: SourceRow | undefined
  /** Whether all rows were given once. */
  isExhausted = false

  constructor(source: RowSource, context: ReadContext) {
    this.#source = source
    this.#context = context
  }

  async begin(): Promise<void> {
    this.#rows = this.#source.rows(this.#context)[Symbol.asyncIterator]()
    await this.#advance()
    if (this.#next !== undefined) return
    throw new DataError(
      this.isExhausted
        ? `[data] expected rows that can be read again for a mix that ends with its last source, got none the second time from ${this.#source.name}; give files or a list`
        : `[data] expected rows in each source of a mix, got none in ${this.#source.name}; leave it out`,
    )
  }

  async take(): Promise<SourceRow> {
    if (this.#next === undefined) await this.begin()
    const row = this.#next as SourceRow
    await this.#advance()
    if (this.#next === undefined) {
      this.isExhausted = true
      // What a source has is told once.
      this.#context = {
        ...this.#context,
        onLineage: () => {},
        needsHash: false,
        ...(this.#context.onBadRow && { onBadRow: () => {} }),
      }
    }
    return row
  }

  async close(): Promise<void> {
    await this.#rows?.return?.()
  }

  async #advance(): Promise<void> {
    const result = await this.#rows?.next()
    this.#next = result?.done ? undefined : result?.value
  }
}
