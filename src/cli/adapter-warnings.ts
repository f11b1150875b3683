/** @file What the file of an adapter says that does nothing on its model, told on stderr, where answers are not. */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import { paintFor } from './terminal.js'

/** A line for each warning. */
export function showAdapterWarnings({ warnings }: LoraAdapter): void {
  const paint = paintFor(process.stderr)
  for (const warning of warnings) process.stderr.write(`${paint('yellow', 'warning')}: ${warning}\n`)
}
