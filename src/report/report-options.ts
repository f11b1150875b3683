/** @file The options of a report. */

import type { EvaluationReport } from '../evaluate/evaluation-report.js'
import { instance, integer, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import type { RunData } from './read-run.js'

/** What a report shows. */
export interface RenderReportOptions {
  /**
   * A run as `readRun` gives it, with the evaluations that lie in its directory.
   * @default none
   */
  readonly run?: RunData
  /**
   * What `evaluate` gave, once or several times.
   * @default none
   */
  readonly evaluations?: readonly EvaluationReport[]
  /**
   * The heading.
   * @default made of the name of the run or of the model
   */
  readonly title?: string
  /**
   * Rows of a task that are shown with their answers.
   * @default 200
   */
  readonly maxSamples?: number
  /**
   * Characters of a prompt, a reference or an answer that are shown.
   * @default 4000
   */
  readonly maxTextLength?: number
  /**
   * Seconds after which an open page reads its file again, as of a run that goes on.
   * @default never
   */
  readonly refreshSeconds?: number
}

export const RENDER_REPORT_OPTIONS = {
  run: {
    rule: instance('a run as readRun gives it', (value) => isPlainObject(value) && isPlainObject(value.log)),
    otherwise: 'none',
    help: 'a run as readRun gives it, with the evaluations in its directory',
  },
  evaluations: {
    rule: instance(
      'a list of evaluation reports',
      (value) => Array.isArray(value) && value.every((entry) => isPlainObject(entry) && Array.isArray(entry.tasks)),
    ),
    otherwise: 'none',
    help: 'what evaluate gave, once or several times',
  },
  title: { rule: text, otherwise: 'made of the name of the run or of the model', help: 'the heading' },
  maxSamples: { rule: integer({ min: 0 }), default: 200, help: 'rows of a task that are shown with their answers' },
  maxTextLength: {
    rule: integer({ min: 1 }),
    default: 4000,
    help: 'characters of a prompt, a reference or an answer that are shown',
  },
  refreshSeconds: {
    rule: integer({ min: 1 }),
    otherwise: 'never',
    help: 'seconds after which an open page reads its file again',
  },
} as const satisfies OptionTable<RenderReportOptions>
