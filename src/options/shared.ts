/** @file Options that several functions take, so that each has one default and one line of help. */

import { isPlainObject } from '../values.js'
import { instance, integer, number, text } from './rules.js'
import type { OptionEntry, OptionTable } from './table.js'

/** Ends what is going on. */
export const SIGNAL = {
  rule: instance('an AbortSignal', (value) => value instanceof AbortSignal),
  otherwise: 'none',
  help: "ends the work; it rejects with the signal's reason",
} as const satisfies OptionEntry<AbortSignal | undefined>

/** Seed of everything that is drawn, except the tokens of answers. */
export const SEED = {
  rule: integer({ min: 0 }),
  default: 42 as number,
  help: 'seed of what is drawn',
} as const satisfies OptionEntry<number | undefined>

/** What a plan is of: a model on disk or of the Hub, or what its config.json holds. */
export const PLANNED_MODEL = {
  rule: instance(
    'a directory, a Hub id or what config.json holds',
    (value) => text.accepts(value) || isPlainObject(value),
  ),
  isRequired: true,
  help: 'what config.json holds, or a directory, GGUF file or Hub id that says it; weights are not needed',
} as const satisfies OptionEntry<unknown>

/** What a plan is compared with. */
export interface PlanLimits {
  /**
   * Bytes that may be taken.
   * @default the memory budget, on the CPU and the process itself
   */
  memory?: number | undefined
}

/** The second argument of `planTraining` and `planGeneration`. */
export const PLAN_LIMITS = {
  memory: {
    rule: number({ above: 0 }),
    otherwise: 'the memory budget, on the CPU and the process itself',
    help: 'bytes that may be taken',
  },
} as const satisfies OptionTable<PlanLimits>
