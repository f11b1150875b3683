/** @file The public planTraining: it takes the options of integrations too, which need no memory. */

import { expectObject } from '../errors.js'
import type { PlanLimits } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'
import {
  PLAN_TRAINING_OPTIONS,
  type PlanRunOptions,
  planTraining as planRun,
  type TrainingPlan,
} from '../train/plan.js'
import { INTEGRATION_OPTIONS } from './options.js'
import { type HubPushOptions, PUSH_TO_HUB } from './push-to-hub.js'
import { REGISTER_AS, type RegisterOptions } from './register-as.js'
import { REPORT_TO, type ReportOptions } from './report-to.js'

/** Options of `trainLora`, those about data and output left out or ignored. */
export interface PlanOptions extends PlanRunOptions, ReportOptions, RegisterOptions, HubPushOptions {}

/** The options of `planTraining`. */
export const PLAN_OPTIONS = {
  ...PLAN_TRAINING_OPTIONS,
  ...REPORT_TO.table,
  ...REGISTER_AS.table,
  ...PUSH_TO_HUB.table,
} as const satisfies OptionTable<PlanOptions>

/**
 * Finds the memory of a training run without weights and without training: the run's own commands go to a device that
 * computes nothing. Every row is taken as `maxLength` tokens long. A plan for device 'cuda' needs the engine with CUDA,
 * and no GPU: without one, the budget is what the host's memory makes.
 * @param options those of `trainLora`.
 * @param limits `memory`: bytes that the run may take; default: the memory budget, on the CPU and the process itself.
 * @throws on options and configs that `trainLora` and `loadModel` refuse.
 */
export async function planTraining(options: PlanOptions, limits: PlanLimits = {}): Promise<TrainingPlan> {
  expectObject('plan', 'options', options)
  return await planRun(options, limits, INTEGRATION_OPTIONS)
}
