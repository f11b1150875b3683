/** @file `reportTo`: which trackers a run reports to, as transformers names them. */

import { join, resolve } from 'node:path'
import { OptionError, type OptionProblem } from '../lowrank-error.js'
import { MLFLOW_OPTIONS, type MlflowOptions } from '../mlflow/options.js'
import { readMlflowSettings } from '../mlflow/settings.js'
import type { Rule } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import {
  CSV_OPTIONS,
  type CsvOptions,
  JSONL_OPTIONS,
  type JsonlOptions,
  TENSORBOARD_OPTIONS,
  type TensorboardOptions,
} from '../trackers/options.js'
import type { TrainCallback } from '../train/callbacks.js'
import { isPlainObject, toError } from '../values.js'
import type { Integration } from './integration.js'

/** Trackers that a run can report to. */
const TRACKERS: readonly string[] = ['tensorboard', 'mlflow', 'csv', 'jsonl']

/** Trackers that transformers knows, and what does the same here. */
const OTHERS: Readonly<Record<string, string>> = {
  all: 'which is whatever happens to be installed; name the trackers',
  ...Object.fromEntries(
    [
      'azure_ml',
      'clearml',
      'codecarbon',
      'comet_ml',
      'dagshub',
      'dvclive',
      'flyte',
      'neptune',
      'swanlab',
      'trackio',
      'wandb',
    ].map((name) => [name, 'which is real but not supported yet; give a tracker in callbacks']),
  ),
}

const NONE = 'none'

/** Which trackers a run reports to. */
export interface ReportOptions {
  /**
   * Trackers that record the run, as in transformers: 'none', 'tensorboard', 'mlflow', 'csv', 'jsonl', or a list.
   * @default 'none'
   */
  reportTo?: string | readonly string[]
  /**
   * Where `reportTo: 'tensorboard'` writes its event files; see `TensorboardOptions`.
   * @default a folder in outputDir
   */
  tensorboard?: TensorboardOptions
  /**
   * Where and what `reportTo: 'mlflow'` records; see `MlflowOptions`.
   * @default what the environment says
   */
  mlflow?: MlflowOptions
  /**
   * Where `reportTo: 'csv'` writes; see `CsvOptions`.
   * @default metrics.csv in outputDir
   */
  csv?: CsvOptions
  /**
   * Where `reportTo: 'jsonl'` writes; see `JsonlOptions`.
   * @default metrics.jsonl in outputDir
   */
  jsonl?: JsonlOptions
}

const isTracker = (name: unknown): boolean => (TRACKERS as readonly unknown[]).includes(name)

const rule: Rule = {
  expected: ["'none'", ...TRACKERS.map((name) => `'${name}'`), 'a list of trackers'].join(', '),
  accepts: (value) => value === NONE || isTracker(value) || (Array.isArray(value) && value.every(isTracker)),
  hint: (value) => {
    const [foreign] = [value].flat().filter((name) => typeof name === 'string' && Object.hasOwn(OTHERS, name))
    return foreign === undefined ? '' : `, ${OTHERS[foreign as string]}`
  },
  schema: { anyOf: [{ enum: [NONE, ...TRACKERS] }, { type: 'array', items: { enum: TRACKERS } }] },
}

export const REPORT_TO: Integration<ReportOptions> = {
  table: {
    reportTo: {
      rule,
      default: NONE,
      help: 'trackers that record the run',
      heading: 'Who is told of the run',
      flag: {
        name: '--report-to',
        argument: 'tracker',
        group: 'Who is told of the run',
        choices: ['none', ...TRACKERS],
      },
    },
    tensorboard: {
      rule: { expected: 'an object of options of TensorBoard', accepts: isPlainObject },
      help: 'where TensorBoard finds the run',
      table: TENSORBOARD_OPTIONS,
    },
    mlflow: {
      rule: { expected: 'an object of options of MLflow', accepts: isPlainObject },
      help: 'where and what MLflow records',
      table: MLFLOW_OPTIONS,
    },
    csv: {
      rule: { expected: 'an object of options of CSV', accepts: isPlainObject },
      help: 'where the rows of figures go',
      table: CSV_OPTIONS,
    },
    jsonl: {
      rule: { expected: 'an object of options of JSON Lines', accepts: isPlainObject },
      help: 'where the lines of figures go',
      table: JSONL_OPTIONS,
    },
  } as const satisfies OptionTable<ReportOptions>,
  check({ reportTo, mlflow }) {
    return reportsTo(reportTo, 'mlflow') ? problemsOf('mlflow', () => readMlflowSettings(mlflow)) : []
  },
  async open({ reportTo, outputDir, tensorboard = {}, mlflow = {}, csv = {}, jsonl = {} }, links) {
    const callbacks: TrainCallback[] = []
    if (reportsTo(reportTo, 'tensorboard')) {
      const { tensorboardCallback } = await import('../trackers/tensorboard.js')
      callbacks.push(tensorboardCallback(tensorboard, outputDir))
    }
    if (reportsTo(reportTo, 'mlflow')) {
      const { recordingCallback } = await import('../mlflow/callback.js')
      const tell = links.expectTracked()
      callbacks.push(
        recordingCallback(mlflow, (run) =>
          tell(run && { ...run, isDatabricks: run.trackingUri.startsWith('databricks') }),
        ),
      )
    }
    if (reportsTo(reportTo, 'csv') && reportsTo(reportTo, 'jsonl'))
      expectTwoFiles(csv.path ?? inside(outputDir, 'csv'), jsonl.path ?? inside(outputDir, 'jsonl'))
    if (reportsTo(reportTo, 'csv') || reportsTo(reportTo, 'jsonl')) {
      const { csvCallback, jsonlCallback } = await import('../trackers/row-trackers.js')
      if (reportsTo(reportTo, 'csv')) callbacks.push(csvCallback(csv, outputDir))
      if (reportsTo(reportTo, 'jsonl')) callbacks.push(jsonlCallback(jsonl, outputDir))
    }
    return callbacks
  },
}

function inside(outputDir: string | undefined, ending: 'csv' | 'jsonl'): string | undefined {
  return outputDir === undefined ? undefined : join(outputDir, `metrics.${ending}`)
}

/**
 * Two trackers of one file would each take the other's for that of an earlier run, and rename it.
 * @throws OptionError where both write the same
 */
function expectTwoFiles(csv: string | undefined, jsonl: string | undefined): void {
  if (csv === undefined || jsonl === undefined || resolve(csv) !== resolve(jsonl)) return
  throw new OptionError(`[train] expected different files for csv.path and jsonl.path, got ${csv} twice; rename one`)
}

function problemsOf(name: string, read: () => unknown): OptionProblem[] {
  try {
    read()
    return []
  } catch (error) {
    return [{ options: [['reportTo'], [name]], message: toError(error).message }]
  }
}

function reportsTo(reportTo: ReportOptions['reportTo'], tracker: string): boolean {
  return [reportTo].flat().includes(tracker)
}
