/**
 * @file Names of splits with slices, as the package datasets writes them: `train[:10%]`, `train[100:200]`,
 * `train+validation[-5:]`.
 */

import { describeValue } from '../../errors.js'
import { DataError, OptionError } from '../../lowrank-error.js'

/** A bound of a slice: so many rows, or hundredths of them, from the beginning or, below 0, from the end. */
interface Bound {
  readonly value: number
  readonly isPercent: boolean
}

/** A part of one split. */
export interface SplitSlice {
  readonly split: string
  readonly from: Bound | undefined
  readonly to: Bound | undefined
}

const PART = /^([\w.-]+)(?:\[(?:(-?\d+)(%)?)?:(?:(-?\d+)(%)?)?\])?$/

/** @throws OptionError for what names no split */
export function parseSplit(text: string): SplitSlice[] {
  return text.split('+').map((part) => {
    const match = PART.exec(part.trim())
    if (match === null) throw wrongSplit(text)
    const [, split = '', from, fromPercent, to, toPercent] = match
    const bounds = { from: boundOf(from, fromPercent), to: boundOf(to, toPercent) }
    for (const bound of [bounds.from, bounds.to]) {
      if (bound?.isPercent && Math.abs(bound.value) > 100) throw wrongSplit(text)
    }
    return { split, ...bounds }
  })
}

/** Whether a slice is known only once the rows are counted. */
export function needsCount({ from, to }: SplitSlice): boolean {
  return [from, to].some((bound) => bound !== undefined && (bound.isPercent || bound.value < 0))
}

/**
 * The rows of a slice, from the first up to but not with the second number.
 * @param count Rows of the whole split, where `needsCount`.
 * @throws DataError where the split has fewer rows than the slice names
 */
export function rangeOf({ split, from, to }: SplitSlice, count = Number.POSITIVE_INFINITY): [number, number] {
  const place = (bound: Bound | undefined, otherwise: number): number => {
    if (bound === undefined) return otherwise
    const value = bound.isPercent ? roundHalfEven((bound.value * count) / 100) : bound.value
    if (!bound.isPercent && Math.abs(value) > count) {
      throw new DataError(
        `[data] expected a slice of the rows of ${JSON.stringify(split)}, got ${bound.value} where it has ${count}; give fewer`,
      )
    }
    return value < 0 ? Math.max(0, count + value) : value
  }
  return [place(from, 0), place(to, Number.POSITIVE_INFINITY)]
}

function boundOf(digits: string | undefined, percent: string | undefined): Bound | undefined {
  return digits === undefined ? undefined : { value: Number(digits), isPercent: percent !== undefined }
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value)
  if (value - below !== 0.5) return Math.round(value)
  return below % 2 === 0 ? below : below + 1
}

function wrongSplit(text: string): OptionError {
  return new OptionError(
    `[data] expected a split as 'train', 'train[:10%]', 'train[100:200]' or 'train+validation' for split, got ${describeValue(text)}`,
  )
}
