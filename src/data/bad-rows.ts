/** @file Rows that have a defect while the rows round them are sound: whether they end the work, or are left out. */

import { DataError, OptionError } from '../lowrank-error.js'
import type { Steps } from '../turns.js'

/**
 * Told of a row that cannot be read or used where those after it can. Throws the error, or returns to have the row left
 * out.
 */
export type OnBadRow = (error: DataError) => void

/**
 * The result of `steps`; undefined where they fail because of the row and `onBadRow` lets it pass.
 *
 * @param onBadRow Default: the error is thrown.
 */
export function* orBad<T>(steps: Steps<T>, onBadRow: OnBadRow | undefined): Steps<T | undefined> {
  try {
    return yield* steps
  } catch (error) {
    passBadRow(error, onBadRow)
    return undefined
  }
}

/** Lets an error of a row pass where `onBadRow` does. @throws the error else */
export function passBadRow(error: unknown, onBadRow: OnBadRow | undefined): void {
  // An option that does not fit is no defect of a row.
  const isOfRow = error instanceof DataError && !(error.cause instanceof OptionError)
  if (!isOfRow || onBadRow === undefined) throw error
  onBadRow(error)
}

/** What a reader does with a row that has a defect where nobody wants to be told of it. */
export function refuse(error: DataError): never {
  throw error
}
