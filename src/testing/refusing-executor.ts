/** @file What a workspace without an executor answers to statements. */

import { FailedStatement, type StatementExecutor } from './executor.js'

export const REFUSING_EXECUTOR: StatementExecutor = {
  execute: ({ statement }) =>
    Promise.reject(new FailedStatement('BAD_REQUEST', `This workspace runs no statements: ${statement.slice(0, 80)}`)),
}
