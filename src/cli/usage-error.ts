/** @file The error of flags and configuration files, and how several mistakes are told at once. */

/** The command line or the configuration file is not as it must be; nothing was started. */

import { type ErrorDetails, OptionError } from '../lowrank-error.js'

export class UsageError extends OptionError {
  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details)
    this.name = 'UsageError'
  }
}

/**
 * Makes all checks, so that everything that is wrong is told at once.
 * @throws UsageError with the message of the one that fails, or a list of them; other errors pass.
 */
export function checkAll(command: string, checks: readonly (() => unknown)[]): void {
  const messages: string[] = []
  for (const check of checks) {
    try {
      check()
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      messages.push(error.message)
    }
  }
  if (messages.length === 0) return
  if (messages.length === 1) throw new UsageError(messages[0] as string)
  const list = messages.map((message) => `  - ${message}`)
  throw new UsageError([`[${command}] ${messages.length} options are wrong:`, ...list].join('\n'))
}
