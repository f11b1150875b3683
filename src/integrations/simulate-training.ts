/** @file The public simulateTraining: it takes the options of integrations too, which change nothing of it. */

import { expectObject } from '../errors.js'
import { type Simulation, simulateTraining as simulateRun } from '../train/simulate.js'
import type { SimulationOptions } from '../train/simulation-options.js'
import { INTEGRATION_OPTIONS } from './options.js'
import type { PlanOptions } from './plan-training.js'

/**
 * Simulates a run from its options alone: no weights are read, no row is read, and nothing is trained. Steps, epochs,
 * learning rates and tokens are those that `trainLora` has for rows of such lengths, and memory is planned as
 * `planTraining` does. The loss is made up: `finalLoss + (initialLoss - finalLoss) / sqrt(1 + u / 10)` where u is the
 * sum of the learning rates so far divided by the highest, with noise. It is for looking at schedules, logs and
 * trackers, and forecasts nothing.
 * @param options those of `trainLora`; `dataset` and `outputDir` are ignored.
 * @param simulation what is made up: rows, their tokens, the loss.
 * @throws OptionError on unknown options and on those that `trainLora` refuses.
 */
export async function simulateTraining(options: PlanOptions, simulation: SimulationOptions = {}): Promise<Simulation> {
  expectObject('simulate', 'options', options)
  return await simulateRun(options, simulation, INTEGRATION_OPTIONS)
}
