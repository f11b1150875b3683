/** @file What a simulated run makes up, beside the options of the run. Loads nothing of the engine. */

import { integer, number } from '../options/rules.js'
import { PLAN_LIMITS, type PlanLimits } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'

/** What a simulation makes up. */
export interface SimulationOptions extends PlanLimits {
  /**
   * Training rows.
   * @default 1000
   */
  rows?: number | undefined
  /**
   * Mean tokens of a row. Lengths are drawn from a log-normal distribution and cut at `maxLength`.
   * @default 256
   */
  tokensPerRow?: number | undefined
  /**
   * The loss of the first step.
   * @default 2.5
   */
  initialLoss?: number | undefined
  /**
   * The loss that the curve comes near, however long the run is.
   * @default 1.2
   */
  finalLoss?: number | undefined
  /**
   * Standard deviation of the noise of one row's loss, as a share of the loss. That of a step is smaller by the square
   * root of its rows.
   * @default 0.3
   */
  noise?: number | undefined
}

/** What `simulateTraining` makes up, beside the options of the run. */
export const SIMULATION_OPTIONS = {
  ...PLAN_LIMITS,
  rows: { rule: integer({ min: 1, max: 10_000_000 }), default: 1000, help: 'training rows' },
  tokensPerRow: { rule: number({ min: 2 }), default: 256, help: 'mean tokens of a row; lengths are log-normal' },
  initialLoss: { rule: number({ above: 0 }), default: 2.5, help: 'the loss of the first step' },
  finalLoss: { rule: number({ min: 0 }), default: 1.2, help: 'the loss that the curve comes near' },
  noise: {
    rule: number({ min: 0 }),
    default: 0.3,
    help: "standard deviation of one row's loss, as a share of the loss",
  },
} as const satisfies OptionTable<SimulationOptions>
