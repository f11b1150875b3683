/** @file `reportTo`: which trackers a run reports to, as transformers names them. */

import { MLFLOW_OPTIONS, type MlflowOptions } from '../mlflow/options.js'
import { readMlflowSettings } from '../mlflow/settings.js'
import type { Rule } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import type { Integration } from './integration.js'

/** Trackers that a run can report to. */
const TRACKERS: readonly string[] = ['mlflow']

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
      'tensorboard',
      'trackio',
      'wandb',
    ].map((name) => [name, 'which is real but not supported yet; give a tracker in callbacks']),
  ),
}

const NONE = 'none'

/** Which trackers a run reports to. */
export interface ReportOptions {
  /**
   * Trackers that record the run, as in transformers: 'none', 'mlflow', or a list.
   * @default 'none'
   */
  reportTo?: string | readonly string[]
  /**
   * Where and what `reportTo: 'mlflow'` records; see `MlflowOptions`.
   * @default what the environment says
   */
  mlflow?: MlflowOptions
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
    mlflow: {
      rule: { expected: 'an object of options of MLflow', accepts: isPlainObject },
      help: 'where and what MLflow records',
      table: MLFLOW_OPTIONS,
    },
  } as const satisfies OptionTable<ReportOptions>,
  check({ reportTo, mlflow }) {
    if (!reportsToMlflow(reportTo)) return []
    try {
      readMlflowSettings(mlflow)
      return []
    } catch (error) {
      return [{ options: [['reportTo'], ['mlflow']], message: (error as Error).message }]
    }
  },
  async open({ reportTo, mlflow = {} }, links) {
    if (!reportsToMlflow(reportTo)) return []
    const { recordingCallback } = await import('../mlflow/callback.js')
    const tell = links.expectTracked()
    return [
      recordingCallback(mlflow, (run) =>
        tell(run && { ...run, isDatabricks: run.trackingUri.startsWith('databricks') }),
      ),
    ]
  },
}

function reportsToMlflow(reportTo: ReportOptions['reportTo']): boolean {
  return [reportTo].flat().includes('mlflow')
}
