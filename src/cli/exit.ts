/** @file How a command that fails tells it: the exit code and the line of JSON, both from the error's code. */

import { type ErrorCode, LowrankError } from '../lowrank-error.js'
import { ownErrorCode } from '../regular-file.js'
import { toError } from '../values.js'

const FAILED = 1
const WRONG_USAGE = 2

/** The exit code for an error: 2 where flags, file or options are wrong, else 1. */
export function exitCodeOf(error: unknown): number {
  return codeOf(error) === 'INVALID_OPTION' ? WRONG_USAGE : FAILED
}

/** What --json writes of an error: code, message, what the error knows in figures and paths, and the exit code. */
export function describeFailure(error: unknown): object {
  return {
    type: 'error',
    code: codeOf(error),
    message: toError(error).message,
    ...fieldsOf(error),
    exitCode: exitCodeOf(error),
  }
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof LowrankError) return error.code
  return ownErrorCode(error) === undefined ? 'INTERNAL' : 'FILE'
}

const FIELDS = ['file', 'row', 'needed', 'budget', 'step', 'checkpoint', 'status', 'errorCode', 'requestId']

function fieldsOf(error: unknown): object {
  if (!(error instanceof LowrankError)) return {}
  return Object.fromEntries(Object.entries(error).filter(([name]) => FIELDS.includes(name)))
}
