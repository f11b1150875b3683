/** @file The one error that ends the program with exit code 2, and how several mistakes are told at once. */

/** The command line or the configuration file is not as it must be; nothing was started. */
export class UsageError extends Error {}

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
  const [first] = messages
  if (messages.length === 1) throw new UsageError(first)
  const list = messages.map((message) => `  - ${message}`)
  throw new UsageError([`[${command}] ${messages.length} options are wrong:`, ...list].join('\n'))
}
