/**
 * @file Every option of the public `trainLora`: those of training, and those of the integrations. Loads nothing of the
 * engine.
 */

import type { OptionTable } from '../options/table.js'
import type { MoreOptions, TrainRunOptions } from '../train/options.js'
import { TRAIN_LORA_OPTIONS } from '../train/options.js'
import type { Integration } from './integration.js'
import { type HubPushOptions, PUSH_TO_HUB } from './push-to-hub.js'
import { REGISTER_AS, type RegisterOptions } from './register-as.js'
import { REPORT_TO, type ReportOptions } from './report-to.js'

/** What becomes callbacks, in this order. */
export const INTEGRATIONS: readonly Integration[] = [REPORT_TO, REGISTER_AS, PUSH_TO_HUB]

/** Options of `trainLora`. Those of `HubOptions` count where the model is one of the Hub. */
export interface TrainLoraOptions extends TrainRunOptions, ReportOptions, RegisterOptions, HubPushOptions {}

/** The options of `trainLora`. */
export const TRAIN_OPTIONS = {
  ...TRAIN_LORA_OPTIONS,
  ...REPORT_TO.table,
  ...REGISTER_AS.table,
  ...PUSH_TO_HUB.table,
} as const satisfies OptionTable<TrainLoraOptions>

/** The options of the integrations, as the options of a run are checked with them. */
export const INTEGRATION_OPTIONS: MoreOptions = {
  table: Object.assign({}, ...INTEGRATIONS.map(({ table }) => table)),
  check: (options) => INTEGRATIONS.flatMap((integration) => integration.check(options)),
}
