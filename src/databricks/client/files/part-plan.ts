/** @file Into how many parts an upload goes, and how many addresses are asked for at once. Numbers alone. */

import { formatBytes } from '../../../bytes.js'
import { OptionError } from '../../../lowrank-error.js'

const MIB = 2 ** 20
/** What is smaller goes up in one request. */
export const MULTIPART_FROM = 50 * MIB
/** The service takes no more in one request. */
export const LARGEST_PUT = 5 * 2 ** 30
/** Storage takes no more parts, and no smaller ones but for the last. */
export const MOST_PARTS = 10_000
export const SMALLEST_PART = 5 * MIB
export const LARGEST_PART = 4 * 2 ** 30
const PART_SIZES = [10, 20, 50, 100, 200, 500, 1024, 2048, 4096].map((size) => size * MIB)
const WANTED_PARTS = 100
/** Parts of streams whose length nobody knows are in memory while they are sent. */
export const STREAM_PART = 10 * MIB
const STREAM_ADDRESSES = 10

export interface PartPlan {
  readonly partSize: number
  /** Undefined for streams. */
  readonly parts: number | undefined
  /** Addresses of one request. */
  readonly batch: number
}

/** @param size Bytes; undefined for a stream. @throws OptionError where there would be too many parts */
export function planParts(size: number | undefined, asked: number | undefined): PartPlan {
  if (size === undefined) return { partSize: asked ?? STREAM_PART, parts: undefined, batch: STREAM_ADDRESSES }
  const partSize = asked ?? PART_SIZES.find((each) => size <= each * WANTED_PARTS) ?? LARGEST_PART
  const parts = Math.ceil(size / partSize)
  if (parts > MOST_PARTS) {
    const smallest = Math.ceil(size / MOST_PARTS / MIB)
    throw new OptionError(
      `[databricks] expected at most ${MOST_PARTS} parts of ${formatBytes(size)}, got ${parts} with partSize ${partSize}; set partSize to ${smallest} MiB or more`,
    )
  }
  return { partSize, parts, batch: Math.ceil(Math.sqrt(parts)) }
}
