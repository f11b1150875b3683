/**
 * @file What rows come from: the interface of every source, and what is known of a source once it was read. Reads
 * nothing.
 */

import type { Turns } from '../../turns.js'
import type { OnBadRow } from '../bad-rows.js'
import type { RowOrigin } from '../row-origin.js'

/** One row as its source has it; its form is not known yet. */
export interface SourceRow {
  /** An object of columns by name, or a `Map` of them. Anything else is refused by an error that names `origin`. */
  readonly value: unknown
  /** Where the row is. Errors name it, and a `DataError` has its file and row. */
  readonly origin: RowOrigin
}

/** Rows of one file, or of none, that were made together: that takes less time than one after the other. */
export interface RowBatch {
  /** What each row is, as `value` of a `SourceRow`. */
  readonly values: readonly unknown[]
  /** Where a row of the batch is. It is made when one asks: few rows are ever named. */
  origin(index: number): RowOrigin
  /**
   * How many rows of the source come before these; those in between may have been left out.
   * @default as many as the batches before gave
   */
  readonly start?: number
}

/** Whether any row of these numbers is needed: from `from`, beginning at 0, to before `to`. */
export type IsWanted = (from: number, to: number) => boolean

/** One file or table that rows came from, as it was when it was read. */
export interface SourceLineage {
  /** Path of the file as it was found, or address of the table. */
  readonly location: string
  /** How many rows it held; absent where a run that takes rows as they come ended before it had read all. */
  readonly rows?: number
  /** Bytes; absent where the source has no size. */
  readonly size?: number
  /** SHA-256 of the bytes in hexadecimal; absent where there are no bytes to hash, or nobody needs it. */
  readonly sha256?: string
}

/** What a source gets to read its rows with. */
export interface ReadContext {
  /** Ends the reading with its reason once it is aborted. */
  readonly signal: AbortSignal | undefined
  /** Gives way to the event loop during work that takes long. */
  readonly turns: Turns
  /**
   * Told the share of the rows that has been read, from 0 to 1. Sources that do not know how many there are leave it
   * out.
   */
  readonly onFraction: (fraction: number) => void
  /** Told of each file before it is opened, as `location` of its lineage has it. */
  readonly onLocation?: (location: string) => void
  /** Told of each file or table once what it held is known: at the latest when its last row has been read. */
  readonly onLineage: (lineage: SourceLineage) => void
  /**
   * Whether the lineage is to have hashes. To make them takes a tenth of the time of reading.
   * @default true
   */
  readonly needsHash?: boolean
  /**
   * Told of a row that cannot be read where those after it can: the row is left out.
   * @default none: the error is thrown
   */
  readonly onBadRow?: OnBadRow
}

/**
 * Where rows come from. `dataset` accepts any object of this type that is not itself iterable. Nothing is opened before
 * `check` or `rows` is called; both may be called several times.
 */
export interface RowSource {
  /** What errors and model cards call the source: `rows.jsonl`. */
  readonly name: string
  /**
   * Rejects where the source cannot be read: it does not exist, or its format is not known. Reads no rows. A run calls
   * it before it fetches a model, so it must be fast.
   */
  check?(signal?: AbortSignal): Promise<void>
  /**
   * How many rows `rows()` gives, where that is known without reading them. What is begun for it, as a statement, may
   * be kept for the reading that follows.
   */
  count?(signal?: AbortSignal): Promise<number | undefined>
  /**
   * Whether the rows can be read once only, as those of a stream.
   * @default false
   */
  readonly readsOnce?: boolean
  /** Reads all rows, in the same order each time. */
  rows(context: ReadContext): AsyncIterable<SourceRow>
  /** The rows of `rows()`, many at a time. A source of few rows, or of slow ones, leaves it out. */
  batches?(context: ReadContext): AsyncIterable<RowBatch>
  /**
   * The rows of `rows()` by their number, where parts of which no row is needed can be passed over without being read.
   * Other rows than those may be given too. A source that must read all of them leaves it out.
   */
  someRows?(context: ReadContext, isWanted: IsWanted): AsyncIterable<SourceRow & { readonly index: number }>
}
