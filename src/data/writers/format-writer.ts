/** @file What writes rows in one format. The formats are one file each, listed in write-formats.ts. */

import type { RowSchema } from './row-schema.js'

/** The rows of one file on their way to its bytes. */
export interface RowEncoder {
  /**
   * Takes one row.
   * @returns whether the rows since `take()` are enough to be written
   * @throws DataError that says what is wrong alone: its caller knows which row it is
   */
  add(row: unknown): boolean
  /** The bytes of the rows since it was called last; at first with what a file begins with. */
  take(): Uint8Array | Promise<Uint8Array>
  /** The bytes that end the file, after a last `take()`. */
  end(): Uint8Array | Promise<Uint8Array>
}

/** A format in which rows are written. */
export interface FormatWriter {
  /** The value of the option `format`. */
  readonly name: string
  /** Endings of names, the usual one first. */
  readonly endings: readonly string[]
  /** Whether the columns have to be known before the first row. */
  readonly needsSchema: boolean
  /** @throws where what writes it is not installed */
  check?(): Promise<void>
  open(schema: RowSchema): RowEncoder | Promise<RowEncoder>
}
