/** @file What runs SQL statements for the loopback workspace: how it is asked, and what it answers. */

import type { ObjectStorage } from './object-storage.js'

/** A statement as it came over `/api/2.0/sql/statements`. */
export interface StatementToExecute {
  readonly statement: string
  readonly catalog: string | undefined
  readonly schema: string | undefined
  readonly parameters: readonly { readonly name: string; readonly value?: string | null; readonly type?: string }[]
  /** What the result is asked for in; Arrow costs time to make. */
  readonly format: 'JSON_ARRAY' | 'ARROW_STREAM' | 'CSV'
  /** Where `/Volumes/...` lies: its key is the path without the first slash. */
  readonly storage: ObjectStorage
}

/** A column of a result. */
export interface ResultColumn {
  readonly name: string
  /** As SQL writes it: 'BIGINT', 'ARRAY<STRING>'. */
  readonly typeText: string
}

export interface StatementResult {
  readonly columns: readonly ResultColumn[]
  /** Values as the format JSON_ARRAY has them: text, or null. */
  readonly rows: readonly (readonly (string | null)[])[]
  /**
   * The same rows as one Arrow IPC stream for each chunk, where the executor has them.
   * @default none: what asks for ARROW_STREAM is refused
   */
  readonly arrow?: readonly { readonly bytes: Uint8Array; readonly rowCount: number }[]
}

/** A statement that fails, thrown by executors: the workspace answers FAILED with HTTP 200, as the service does. */
export class FailedStatement extends Error {
  readonly errorCode: string

  /** @param errorCode 'BAD_REQUEST' for a statement that is wrong, 'NOT_FOUND', 'ALREADY_EXISTS', ... */
  constructor(errorCode: string, message: string) {
    super(message)
    this.name = 'FailedStatement'
    this.errorCode = errorCode
  }
}

/** A table that statements have made. */
export interface ExecutedTable {
  readonly catalog: string
  readonly schema: string
  readonly name: string
  readonly columns: readonly (ResultColumn & { readonly comment: string | undefined })[]
  readonly comment: string | undefined
  /** What TBLPROPERTIES set. */
  readonly properties: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
  /** Number of the last change; the first is 0. */
  readonly version: number
  /**
   * Address of its Delta files, where it has any.
   * @default none
   */
  readonly location?: string
}

/** Runs statements, one after the other or at once. */
export interface StatementExecutor {
  /** @throws FailedStatement */
  execute(statement: StatementToExecute): Promise<StatementResult>
  /** Tables that there are, for routes that list and show them. */
  tables?(): Promise<readonly ExecutedTable[]>
  /** Drops a table, for the route that deletes one. @returns whether it was there */
  dropTable?(catalog: string, schema: string, name: string): Promise<boolean>
  close?(): Promise<void>
}
