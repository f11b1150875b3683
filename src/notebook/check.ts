/** @file What calls of `lowrank/notebook` must be given. */

import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { NotebookOutput } from './output.js'

/** @throws on what is no output */
export function expectOutput(where: string, output: unknown): void {
  if (output instanceof NotebookOutput) return
  throw wrong(
    `[${where}] expected an output of lowrank/notebook, got ${describeValue(output)}; showTable, showMask, lossChart and plot make them`,
  )
}

export function wrong(message: string): LowrankError {
  return new LowrankError('INVALID_CALL', message)
}
