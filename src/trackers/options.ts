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

/** Where `reportTo: 'csv'` writes. */
export interface CsvOptions {
  /**
   * The file. One of another run that is there gets another name, `metrics-1.csv`.
   * @default metrics.csv in outputDir
   */
  path?: string
}

/** The options of `csv` in `trainLora`. */
export const CSV_OPTIONS = {
  path: {
    rule: path,
    otherwise: 'metrics.csv in outputDir',
    example: './metrics.csv',
    help: 'the file with a row for every log event and every evaluation',
  },
} as const satisfies OptionTable<CsvOptions>

/** Where `reportTo: 'jsonl'` writes. */
export interface JsonlOptions {
  /**
   * The file. One of another run that is there gets another name, `metrics-1.jsonl`.
   * @default metrics.jsonl in outputDir
   */
  path?: string
}

/** The options of `jsonl` in `trainLora`. */
export const JSONL_OPTIONS = {
  path: {
    rule: path,
    otherwise: 'metrics.jsonl in outputDir',
    example: './metrics.jsonl',
    help: 'the file with a line for every log event and every evaluation',
  },
} as const satisfies OptionTable<JsonlOptions>
