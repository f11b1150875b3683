/** @file The options of `pushDataset`, and what it tells. */

import { boolean, callback, objectOf, oneOf, type Rule, text } from '../../options/rules.js'
import type { OptionTable } from '../../options/table.js'
import {
  STATEMENT_OPTIONS,
  type StatementEvent,
  WAREHOUSE_OPTIONS,
  type WarehouseOptions,
} from '../client/statement-options.js'

/** What goes on while rows are pushed. */
export type PushEvent =
  | StatementEvent
  /** Rows are read and written to files of this machine. */
  | { readonly type: 'prepare'; readonly fraction: number }
  /** Files go to the volume. */
  | { readonly type: 'upload'; readonly bytes: number; readonly totalBytes: number }

/** How rows become a table. */
export interface PushDatasetOptions extends Omit<WarehouseOptions, 'onEvent'> {
  /**
   * What becomes of a table that is there: `append` adds the rows, `overwrite` puts them in place of all others, with
   * their columns, `error` refuses.
   * @default 'error'
   */
  mode?: 'append' | 'overwrite' | 'error'
  /**
   * What people read about the table.
   * @default none; that of a table that is appended to stays
   */
  comment?: string
  /**
   * What people read about its columns, by their names.
   * @default none
   */
  columnComments?: Readonly<Record<string, string>>
  /**
   * Types of columns as SQL writes them, by their names: `{ day: 'DATE', price: 'DECIMAL(10,2)' }`. Dates, times and
   * decimals of files are text here. A table that is appended to has its own.
   * @default those of the values: STRING, BIGINT, DOUBLE, BOOLEAN, BINARY, TIMESTAMP, ARRAY and STRUCT of them
   */
  columnTypes?: Readonly<Record<string, string>>
  /**
   * Tags of the table, by their keys.
   * @default none
   */
  tags?: Readonly<Record<string, string>>
  /**
   * Tells apart pushes of the same rows: rows that were appended to a table under one name are appended again under
   * another one alone.
   * @default '', so that the same rows are appended once
   */
  pushName?: string
  /**
   * Volume in which the files wait until the table has their rows, as `catalog.schema.volume`. It is made where it is
   * missing, and stays. Appending knows files by their path: through another volume the same rows are appended again.
   * @default 'lowrank_staging' in the schema of the table
   */
  volume?: string
  /**
   * Whether the files stay in the volume.
   * @default false
   */
  keepFiles?: boolean
  /**
   * Seconds until a statement that still waits or runs is cancelled.
   * @default 3600
   */
  timeout?: number
  /**
   * Told what goes on.
   * @default none
   */
  onProgress?: (event: PushEvent) => void
}

/** Text of any length. */
function anyText(): Rule {
  return { expected: 'text', accepts: (value) => typeof value === 'string', schema: { type: 'string' } }
}

const TEXTS = objectOf(anyText(), 'an object of texts')

/** The options of `pushDataset`. */
export const PUSH_DATASET_OPTIONS = {
  mode: {
    rule: oneOf(['append', 'overwrite', 'error']),
    default: 'error' as const,
    help: 'what becomes of a table that is there: append adds the rows, overwrite puts them in place of all others, error refuses',
    flag: { name: '--mode', argument: 'mode' },
  },
  comment: {
    rule: anyText(),
    otherwise: 'none; that of a table that is appended to stays',
    help: 'what people read about the table',
    flag: { name: '--comment', argument: 'text' },
  },
  columnComments: { rule: TEXTS, otherwise: 'none', help: 'what people read about its columns, by their names' },
  columnTypes: {
    rule: TEXTS,
    otherwise: 'those of the values',
    help: 'types of columns as SQL writes them, by their names; a table that is appended to has its own',
  },
  tags: { rule: TEXTS, otherwise: 'none', help: 'tags of the table, by their keys' },
  pushName: {
    rule: text,
    otherwise: 'none: the same rows are appended once',
    help: 'tells apart pushes of the same rows: those appended under one name are appended again under another one alone',
    flag: { name: '--push-name', argument: 'name' },
  },
  volume: {
    rule: text,
    otherwise: "'lowrank_staging' in the schema of the table",
    help: 'volume in which the files wait until the table has their rows, as catalog.schema.volume; it is made where it is missing',
    flag: { name: '--volume', argument: 'name' },
  },
  keepFiles: {
    rule: boolean,
    default: false as boolean,
    help: 'whether the files stay in the volume',
    flag: { name: '--keep-files' },
  },
  timeout: STATEMENT_OPTIONS.timeout,
  databricks: WAREHOUSE_OPTIONS.databricks,
  warehouseId: WAREHOUSE_OPTIONS.warehouseId,
  onProgress: { rule: callback, otherwise: 'none', help: 'told what goes on' },
  signal: WAREHOUSE_OPTIONS.signal,
} as const satisfies OptionTable<PushDatasetOptions>

/** What {@link pushDataset} did. */
export interface PushedTable {
  /** `main.default.rows` */
  readonly table: string
  /** Version of the table after the push. */
  readonly version: number
  /** Rows of the push. */
  readonly rows: number
  /** Files in which they went, and their bytes. */
  readonly files: number
  readonly bytes: number
  /** Whether the table had these rows from a push before, so that they were not added again. */
  readonly wasThere: boolean
  /** Names the push: SHA-256 in hexadecimal of its name, its mode and its files. */
  readonly pushId: string
  /**
   * SHA-256 of the file that the rows are from; of several, of their hashes; of rows without a file, of what was
   * pushed.
   */
  readonly sourceSha256: string
}
