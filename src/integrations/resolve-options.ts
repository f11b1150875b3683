/** @file Checks and completes the options of the public `trainLora`, as the command line has them before it begins. */

import type { ResolvedTrainOptions } from '../train/options.js'
import { resolveTrainOptions } from '../train/resolve-options.js'
import { INTEGRATION_OPTIONS } from './options.js'

/** `resolveTrainOptions` with the options of integrations. @throws OptionError that tells of all that is wrong */
export function resolveAllOptions(raw: unknown): ResolvedTrainOptions {
  return resolveTrainOptions(raw, INTEGRATION_OPTIONS)
}
