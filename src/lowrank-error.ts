/**
 * @file The errors that this package throws, by what a program can do about them. Imports nothing; their wording is in
 * errors.ts.
 */

/**
 * What went wrong, in a word that stays the same from version to version:
 *
 * - `INVALID_OPTION`: an option that the call does not take, or not with this value ({@link OptionError})
 * - `INVALID_DATA`: a row or a file of rows that cannot be trained on ({@link DataError})
 * - `INVALID_MODEL`: a model, tokenizer or adapter that is damaged, incomplete or not supported ({@link ModelError})
 * - `OUT_OF_MEMORY`: tensors that do not fit the memory budget ({@link OutOfMemoryError})
 * - `DIVERGED`: a loss, a gradient or weights that are no finite numbers ({@link DivergedError})
 * - `HUB`: the Hugging Face Hub, Kaggle or another server did not give what was asked for ({@link HubError})
 * - `ENDPOINT`: an endpoint with OpenAI's interface did not serve a request ({@link EndpointError})
 * - `SERVICE`: Databricks, an MLflow server or the storage behind them did not do what was asked for
 *   ({@link ServiceError})
 * - `CHECKPOINT`: a run that cannot go on from a checkpoint
 * - `FILE`: a file or directory that cannot be read or written; `cause` has the system's error, where there is one
 * - `ENGINE`: the native engine does not load, has no such device, or failed at a command
 * - `INVALID_CALL`: tensors, batches or prompts that a call cannot take, or a call at a wrong time, as on a disposed
 *   model
 * - `BUSY`: as many requests wait as may wait; ask again later
 * - `STOPPED`: a run was stopped before its first step; from the command line, also a run that a signal stopped later
 * - `INTERNAL`: a mistake of this package; please report it
 */
export type ErrorCode =
  | 'INVALID_OPTION'
  | 'INVALID_DATA'
  | 'INVALID_MODEL'
  | 'OUT_OF_MEMORY'
  | 'DIVERGED'
  | 'HUB'
  | 'ENDPOINT'
  | 'SERVICE'
  | 'CHECKPOINT'
  | 'FILE'
  | 'ENGINE'
  | 'INVALID_CALL'
  | 'BUSY'
  | 'STOPPED'
  | 'INTERNAL'

/** What every error may have besides its message. */
export interface ErrorDetails {
  /**
   * The error that led to this one.
   * @default none
   */
  readonly cause?: unknown
}

/**
 * Every error that this package throws, but for `AbortError` where a signal aborts. The message says where, what was
 * expected, what was there and what to do; programs ask for `code`.
 */
export class LowrankError extends Error {
  /** What went wrong; see {@link ErrorCode}. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.name = 'LowrankError'
    this.code = code
  }
}

/** One thing that is wrong with the options of a call. */
export interface OptionProblem {
  /** `[training] expected ... for learningRate, got ...; what to do`. */
  readonly message: string
  /** Paths of the options that it is about, as the caller spelled them: `['training', 'learning_rate']`. */
  readonly options: readonly (readonly string[])[]
}

/** Options that a call does not take. Nothing was started. */
export class OptionError extends LowrankError {
  /** Everything that is wrong: several things where a call checks all of its options. */
  readonly problems: readonly OptionProblem[]

  constructor(message: string, details: ErrorDetails & { readonly problems?: readonly OptionProblem[] } = {}) {
    super('INVALID_OPTION', message, details)
    this.name = 'OptionError'
    this.problems = details.problems ?? [{ message, options: [] }]
  }
}

/** Where a row is. */
export interface DataPlace {
  /**
   * Path of the file.
   * @default undefined: the rows came from the program itself, or from no file in particular
   */
  readonly file?: string
  /**
   * Line of a JSON Lines file or of the damage in a JSON array, else number of the row; from 1.
   * @default undefined: the error is about no row in particular
   */
  readonly row?: number
}

/** Rows that cannot be trained on. */
export class DataError extends LowrankError {
  /** Path of the file; undefined for rows that the program gave itself. */
  readonly file: string | undefined
  /**
   * Line of a JSON Lines file or of the damage in a JSON array, else number of the row, from 1; undefined where it is
   * about no row in particular.
   */
  readonly row: number | undefined

  constructor(message: string, details: ErrorDetails & DataPlace = {}) {
    super('INVALID_DATA', message, details)
    this.name = 'DataError'
    this.file = details.file
    this.row = details.row
  }
}

/** A model, tokenizer or adapter that is damaged, incomplete or not supported. */
export class ModelError extends LowrankError {
  constructor(message: string, details: ErrorDetails = {}) {
    super('INVALID_MODEL', message, details)
    this.name = 'ModelError'
  }
}

/** Tensors that do not fit into memory. */
export class OutOfMemoryError extends LowrankError {
  /** Bytes that all tensors under the budget would have taken together; undefined where only the machine knows. */
  readonly needed: number | undefined
  /** Bytes that they may take; undefined where it was the machine's memory that ended, not the budget. */
  readonly budget: number | undefined

  constructor(message: string, details: ErrorDetails & { readonly needed?: number; readonly budget?: number } = {}) {
    super('OUT_OF_MEMORY', message, details)
    this.name = 'OutOfMemoryError'
    this.needed = details.needed
    this.budget = details.budget
  }
}

/** A training run whose loss, gradient or weights are no finite numbers any more. */
export class DivergedError extends LowrankError {
  /** Optimizer step at which it was seen, from 1; of weights, the last step that was done. */
  readonly step: number
  /** Directory of the last good checkpoint; undefined where none was written. */
  readonly checkpoint: string | undefined

  constructor(
    message: string,
    details: ErrorDetails & { readonly step: number; readonly checkpoint?: string | undefined },
  ) {
    super('DIVERGED', message, details)
    this.name = 'DivergedError'
    this.step = details.step
    this.checkpoint = details.checkpoint
  }
}
