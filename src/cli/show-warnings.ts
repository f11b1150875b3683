/** @file What files of a model or an adapter say that does nothing, or that others contradict, told on stderr, where answers are not. */

import { paintFor } from './terminal.js'

/** A line for each warning. */
export function showWarnings({ warnings }: { readonly warnings: readonly string[] }): void {
  const paint = paintFor(process.stderr)
  for (const warning of warnings) process.stderr.write(`${paint('yellow', 'warning')}: ${warning}\n`)
}
