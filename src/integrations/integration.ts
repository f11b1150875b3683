/**
 * @file What an integration is: options of `trainLora` that training knows nothing of, and the callbacks that they
 * become. Trackers (`reportTo`) and registries are integrations. Loads nothing of the engine.
 */

import type { OptionProblem } from '../lowrank-error.js'
import type { OptionTable } from '../options/table.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { ResolvedTrainOptions } from '../train/options.js'
import type { RunLinks } from './run-links.js'

/** Options beside those of training, and what they do to a run. */
export interface Integration<Options extends object = object> {
  /** Its options of `trainLora`, by name. */
  readonly table: OptionTable<Options>
  /**
   * What is wrong with its options together; each has passed its rule. Asks no server and reads no file: a plan calls
   * it too.
   */
  check(options: Options): readonly OptionProblem[]
  /**
   * The callbacks of a run, none where the options ask for none. What has to be found out before a run begins, as
   * whether there are credentials, is found out here: what it throws, the run rejects with.
   */
  open(options: ResolvedTrainOptions & Options, links: RunLinks): Promise<readonly TrainCallback[]>
}
