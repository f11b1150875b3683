/** @file The interface of a file format. The formats themselves are one file each, listed in formats.ts. */

import type { Turns } from '../../turns.js'
import type { OnBadRow } from '../bad-rows.js'
import type { DataFile } from './data-file.js'
import type { IsWanted, RowBatch } from './row-source.js'

/** How files of one kind are told from others, and read. */
export interface FileFormat {
  /** As an error says it, with an article where it needs one: `a JSON array`. */
  readonly name: string
  /** Endings of names, as a glob for such files has them: `.jsonl`. */
  readonly endings: readonly string[]
  /**
   * Whether a file is of this format.
   * @param start The beginning of the file, which has more than white space in it unless the whole file has not.
   * @param name Its path without the ending of a packing.
   */
  recognizes(start: Uint8Array, name: string): boolean
  /**
   * How many rows a file says that it has.
   * @default that is known once all are read
   */
  count?(file: DataFile): Promise<number>
  /**
   * The rows of a file, as many together as are in memory at once. Origins have `file`.
   * @param turns Gives way to the event loop, also within a long row.
   * @param onBadRow Decides of rows that cannot be read.
   * @param isWanted Which rows of the file are needed; a format may pass over the others, and then says where a batch
   * starts, and, with an empty one, where the file ends. The file then has no hash.
   * @throws naming file and line (or row) of what is not of the format
   */
  read(file: DataFile, turns: Turns, onBadRow: OnBadRow, isWanted?: IsWanted): AsyncIterable<RowBatch>
}
