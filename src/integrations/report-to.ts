/** @file `reportTo`: which trackers a run reports to, as transformers names them. */

import type { OptionProblem } from '../lowrank-error.js'
import type { Rule } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import type { Integration } from './integration.js'

/** Trackers that a run can report to. */
const TRACKERS = [] as const satisfies readonly string[]

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
      'mlflow',
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
   * Trackers that record the run, as in transformers: 'none', or a list.
   * @default 'none'
   */
  reportTo?: string | readonly string[]
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
    },
  } as const satisfies OptionTable<ReportOptions>,
  check: (): readonly OptionProblem[] => [],
  open: async () => [],
}
