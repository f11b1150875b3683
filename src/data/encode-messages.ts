/**
 * @file What the main thread and the threads that encode rows say to each other: plain data, and the errors of rows as
 * such.
 */

import { DataError, LowrankError, ModelError, OptionError } from '../lowrank-error.js'
import { toError } from '../values.js'
import type { EncodeRowOptions } from './examples.js'
import type { RecognizedRow } from './row-coding.js'
import type { Padding, RowFacts } from './row-outcome.js'
import type { StoredRecord } from './row-store.js'

/** What a thread needs before its first row. */
export interface EncodeTask {
  /** Directory or GGUF file of the tokenizer, and the hash of what was read there. */
  readonly tokenizer: { readonly path: string; readonly digest: string }
  /** Where the coding of rows is exported, and under which name. */
  readonly coding: { readonly module: string; readonly name: string }
  readonly options: Omit<EncodeRowOptions, 'droppedContent'>
  readonly chatTemplate: string | undefined
  /** What templates take as the present. */
  readonly now: Date
  readonly padding: Padding | undefined
}

/** Rows to encode, and the number that the answer has. */
export interface EncodeRequest {
  readonly number: number
  readonly rows: readonly RecognizedRow[]
}

/** An error of a row. */
export interface SentError {
  readonly kind: 'data' | 'option' | 'model' | 'other'
  readonly message: string
  readonly file?: string | undefined
  readonly row?: number | undefined
  readonly cause?: SentError | undefined
}

/** What became of one row. */
export interface SentRow {
  readonly error?: SentError
  readonly facts?: RowFacts
  /** Its record, of so many words among those of the reply; none where the row is left out. */
  readonly record?: Omit<StoredRecord, 'words'> & { readonly size: number }
}

export interface EncodeReply {
  readonly number: number
  readonly rows: readonly SentRow[]
  /** The records, one behind the other. */
  readonly words: Int32Array
}

export function sentError(value: unknown): SentError {
  const { message, cause } = toError(value)
  const kind =
    value instanceof DataError
      ? 'data'
      : value instanceof OptionError
        ? 'option'
        : value instanceof ModelError
          ? 'model'
          : 'other'
  const place = value instanceof DataError ? { file: value.file, row: value.row } : {}
  return { kind, message, ...place, ...(cause !== undefined && { cause: sentError(cause) }) }
}

/** The error that was sent, of the same class. */
export function receivedError({ kind, message, file, row, cause }: SentError): Error {
  const details = cause === undefined ? {} : { cause: receivedError(cause) }
  switch (kind) {
    case 'data':
      return new DataError(message, {
        ...details,
        ...(file !== undefined && { file }),
        ...(row !== undefined && { row }),
      })
    case 'option':
      return new OptionError(message, details)
    case 'model':
      return new ModelError(message, details)
    case 'other':
      return new LowrankError('INTERNAL', message, details)
    default:
      return kind satisfies never
  }
}

/**
 * Units of text in a value that reaches another thread as it is; undefined where it would not: functions, and objects
 * of classes, which lose these. Stops counting above `most`.
 */
export function sizeOfPlain(value: unknown, most: number, depth = 0): number | undefined {
  switch (typeof value) {
    case 'string':
      return value.length
    case 'number':
    case 'boolean':
    case 'undefined':
    case 'bigint':
      return 1
    case 'object':
      break
    default:
      return undefined
  }
  if (value === null) return 1
  if (depth > MAX_DEPTH) return undefined
  if (value instanceof Int32Array || value instanceof Uint8Array || value instanceof Float64Array) return value.length
  const isMap = value instanceof Map
  const prototype = Object.getPrototypeOf(value) as object | null
  if (!Array.isArray(value) && !isMap && prototype !== null && prototype !== Object.prototype) return undefined
  let size = 1
  const parts: Iterable<unknown> = isMap ? [...value.keys(), ...value.values()] : Object.values(value)
  for (const part of parts) {
    const own = sizeOfPlain(part, most - size, depth + 1)
    if (own === undefined) return undefined
    size += own + 1
    if (size > most) return size
  }
  return size
}

// Deeper ones are refused elsewhere.
const MAX_DEPTH = 100
