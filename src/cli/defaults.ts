/** @file The defaults of options as help texts and `lowrank init` show them, read from where they are. */

import { parseTrainOptions } from '../train/parse-options.js'

// Nothing but what cannot be left out.
const RESOLVED: object = parseTrainOptions({ model: '-', dataset: [] })

/** The default of an option as it is written: `16`, `2e-4`, `all-linear`; undefined where it has none. */
export function defaultOf(path: readonly string[]): string | undefined {
  let value: unknown = RESOLVED
  for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key]
  if (value === undefined || value === null) return undefined
  return typeof value === 'number' && value !== 0 && Math.abs(value) < 0.01 ? value.toExponential() : String(value)
}
