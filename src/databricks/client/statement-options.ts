/** @file The options of SQL statements, their defaults and their checks. */

import { callback, instance, integer, text } from '../../options/rules.js'
import { SIGNAL } from '../../options/shared.js'
import type { OptionEntry, OptionTable } from '../../options/table.js'
import { isPlainObject } from '../../values.js'
import type { DatabricksClient, DatabricksOptions } from './connect.js'

/** What goes on with a statement. */
export type StatementEvent =
  /** No warehouse was named, so that this one was taken. */
  | { readonly type: 'warehouse'; readonly id: string; readonly name: string; readonly state: string }
  /** The statement waits or runs, after so many seconds. */
  | {
      readonly type: 'statement'
      readonly statementId: string
      readonly state: 'PENDING' | 'RUNNING'
      readonly seconds: number
    }
  /** Chunks of a result that have come. */
  | {
      readonly type: 'chunk'
      readonly statementId: string
      readonly chunks: number
      readonly totalChunks: number
      readonly rows: number
      readonly totalRows: number
      /** Bytes that have come. */
      readonly bytes: number
    }

/** Where statements run, and who is told of it. */
export interface WarehouseOptions {
  /**
   * A workspace: how to connect to it, or a client that is connected.
   * @default the environment and ~/.databrickscfg
   */
  databricks?: DatabricksOptions | DatabricksClient
  /**
   * Id or name of the SQL warehouse.
   * @default that of the client, then DATABRICKS_WAREHOUSE_ID, then the first usable one, which an event says
   */
  warehouseId?: string
  /**
   * Told what goes on.
   * @default none
   */
  onEvent?: (event: StatementEvent) => void
  /**
   * Ends the work with its reason; a statement that runs is cancelled.
   * @default none
   */
  signal?: AbortSignal
}

/** How a statement runs. */
export interface StatementOptions extends WarehouseOptions {
  /**
   * Catalog of names that say none.
   * @default that of the warehouse
   */
  catalog?: string
  /**
   * Schema of names that say none.
   * @default that of the warehouse
   */
  schema?: string
  /**
   * Where the result goes: `INLINE`, JSON in the answer, up to 25 MiB; `EXTERNAL_LINKS`, Arrow in the storage of the
   * workspace, up to 100 GiB, fetched in chunks.
   * @default 'INLINE'
   */
  disposition?: 'INLINE' | 'EXTERNAL_LINKS'
  /**
   * Rows of the result at most; `isCut` of the result says whether there were more.
   * @default all, and a result that the service cuts is refused
   */
  rowLimit?: number
  /**
   * Bytes of a result that are fetched ahead of what is read, in chunks.
   * @default 67108864
   */
  maxBufferedBytes?: number
  /**
   * Seconds until a statement that still waits or runs is cancelled.
   * @default 3600
   */
  timeout?: number
}

const DATABRICKS = {
  rule: instance('options of a connection, or a client that is connected', isPlainObject),
  otherwise: 'the environment and ~/.databrickscfg',
  help: 'workspace: how to connect to it, or a client that is connected',
} as const satisfies OptionEntry

/** Where statements run. */
export const WAREHOUSE_OPTIONS = {
  databricks: DATABRICKS,
  warehouseId: {
    rule: text,
    otherwise: 'that of the client, then the first usable one',
    help: 'id or name of the SQL warehouse',
  },
  onEvent: { rule: callback, otherwise: 'none', help: 'told what goes on' },
  signal: SIGNAL,
} as const satisfies OptionTable<WarehouseOptions>

/** How a statement runs. */
export const STATEMENT_OPTIONS = {
  catalog: { rule: text, otherwise: 'that of the warehouse', help: 'catalog of names that say none' },
  schema: { rule: text, otherwise: 'that of the warehouse', help: 'schema of names that say none' },
  disposition: {
    rule: {
      expected: "'INLINE', 'EXTERNAL_LINKS'",
      accepts: (value: unknown) => value === 'INLINE' || value === 'EXTERNAL_LINKS',
    },
    default: 'INLINE',
    help: 'where the result goes: INLINE, up to 25 MiB, or EXTERNAL_LINKS, up to 100 GiB',
  },
  rowLimit: { rule: integer({ min: 1 }), otherwise: 'all', help: 'rows of the result at most' },
  maxBufferedBytes: {
    rule: integer({ min: 1 }),
    default: 64 * 2 ** 20,
    help: 'bytes of a result that are fetched ahead',
  },
  timeout: {
    rule: integer({ min: 1 }),
    default: 3600,
    help: 'seconds until a statement that still waits or runs is cancelled',
  },
  ...WAREHOUSE_OPTIONS,
} as const satisfies OptionTable<StatementOptions>
