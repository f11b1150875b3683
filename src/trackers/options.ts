/** @file The options of the trackers that write files: types, every default, and what each may be. */

import { path } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'

/** Where `reportTo: 'tensorboard'` writes. */
export interface TensorboardOptions {
  /**
   * Directory of the event files of the run. Where files of another run are there, the run gets a folder in it.
   * @default TENSORBOARD_LOGGING_DIR, else runs/DATE_HOST in outputDir, as transformers has it
   */
  loggingDir?: string
}

/** The options of `tensorboard` in `trainLora`. */
export const TENSORBOARD_OPTIONS = {
  loggingDir: {
    rule: path,
    otherwise: 'TENSORBOARD_LOGGING_DIR, else runs/DATE_HOST in outputDir',
    example: './runs/first',
    help: 'directory of the event files of the run',
  },
} as const satisfies OptionTable<TensorboardOptions>
