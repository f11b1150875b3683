/** @file The options of a run as hyperparameters: one number, text or switch by one dotted name. */

import { isPlainObject } from '../values.js'
import type { HyperParameter } from './event-messages.js'

/** Characters of one value: they stand in the cell of a table. */
const LONGEST = 200
/** Options that say who is told of the run, and nothing of what is trained. */
const LEFT_OUT: ReadonlySet<string> = new Set(['reportTo', 'mlflow', 'tensorboard', 'csv', 'jsonl', 'outputDir'])

/** `{ lora: { r: 8 } }` becomes `lora.r` = 8; lists are JSON, and what is null is not there. */
export function hyperParameters(options: Readonly<Record<string, unknown>>): Map<string, HyperParameter> {
  const found = new Map<string, HyperParameter>()
  const add = (path: string, value: unknown): void => {
    if (value === undefined || value === null) return
    if (isPlainObject(value)) for (const [name, inner] of Object.entries(value)) add(`${path}.${name}`, inner)
    else if (typeof value === 'number' || typeof value === 'boolean') found.set(path, value)
    else {
      const whole = typeof value === 'string' ? value : JSON.stringify(value)
      found.set(path, whole.length > LONGEST ? `${whole.slice(0, LONGEST - 1)}…` : whole)
    }
  }
  for (const [name, value] of Object.entries(options)) if (!LEFT_OUT.has(name)) add(name, value)
  return found
}
