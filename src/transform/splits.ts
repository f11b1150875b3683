/**
 * @file To which split a row belongs: by a hash of its group and the seed, so that it needs no other row and is the
 * same in SQL. Reads and writes nothing.
 */

import { createHash } from 'node:crypto'
import { jsonText } from '../lossless-json.js'
import { type Columns, presentValue, textOfValue } from './input.js'

/** Hexadecimal digits of a hash that count: a double holds 52 bits exactly. */
export const POSITION_DIGITS = 13
const POSITIONS = 2 ** (4 * POSITION_DIGITS)

/** Splits by name with the share of each; the shares make 1 together. */
export type Shares = Readonly<Record<string, number>>

/** Where each split ends, as shares of all. The last one ends at 1 whatever rounding says. */
export function endsOf(shares: Shares): readonly number[] {
  const values = Object.values(shares)
  let end = 0
  return values.map((share, index) => {
    end += share
    return index === values.length - 1 ? 1 : end
  })
}

/** What keeps rows together: the text of a column, or of the whole row. */
export function groupOf(columns: Columns, groupBy: string | undefined): string {
  const value = groupBy === undefined ? undefined : presentValue(columns, groupBy)
  return value === undefined ? jsonText(columns) : textOfValue(value)
}

/** Where a group is among all, from 0 to 2^52 - 1. */
export function positionOf(group: string, seed: number): number {
  const digest = createHash('md5').update(`${seed}:${group}`).digest('hex')
  return Number.parseInt(digest.slice(0, POSITION_DIGITS), 16)
}

/** The position at which each split ends. */
export function limitsOf(shares: Shares): readonly number[] {
  return endsOf(shares).map((end) => Math.round(end * POSITIONS))
}

/** The split of a position, by the positions at which they end. */
export function splitAt(position: number, limits: readonly number[]): number {
  const found = limits.findIndex((limit) => position < limit)
  return found === -1 ? limits.length - 1 : found
}

/**
 * The groups of a data set by stratum. Of the groups of a stratum each split gets its share, to the nearest whole
 * group. It holds about 60 bytes for each group.
 */
export class Strata {
  readonly #seed: number
  /** The stratum of each group. */
  readonly #groups = new Map<number, string>()

  constructor(seed: number) {
    this.#seed = seed
  }

  /** A group whose rows are of several strata belongs to the first of them by name. */
  add(group: string, stratum: string): void {
    const position = positionOf(group, this.#seed)
    const earlier = this.#groups.get(position)
    if (earlier === undefined || Buffer.compare(Buffer.from(stratum), Buffer.from(earlier)) < 0)
      this.#groups.set(position, stratum)
  }

  /** The split of each group. */
  assign(shares: Shares): (group: string) => number | undefined {
    const byStratum = new Map<string, number[]>()
    for (const [position, stratum] of this.#groups) {
      const positions = byStratum.get(stratum)
      if (positions === undefined) byStratum.set(stratum, [position])
      else positions.push(position)
    }
    const splits = new Map<number, number>()
    const ends = endsOf(shares)
    for (const positions of byStratum.values()) {
      positions.sort((a, b) => a - b)
      const limits = ends.map((end) => Math.floor(end * positions.length + 0.5))
      for (const [rank, position] of positions.entries()) splits.set(position, splitAt(rank, limits))
    }
    return (group) => splits.get(positionOf(group, this.#seed))
  }
}
