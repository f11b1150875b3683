/** @file The HTML of a report: of evaluations, of a run, or of a run with its evaluations. */

import { basename } from 'node:path'
import type { EvaluationReport } from '../evaluate/evaluation-report.js'
import { OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import type { SampleLimits } from './answer-rows.js'
import { evaluationFacts, evaluationSections } from './evaluation-sections.js'
import { html, type Markup } from './markup.js'
import { pageText, type Section } from './page.js'
import { RENDER_REPORT_OPTIONS, type RenderReportOptions } from './report-options.js'
import { runFacts, runSections } from './run-sections.js'

/**
 * A report as the text of one HTML file. The file needs no network, sends nothing, and shows every text as it is: what
 * stands in rows, names and answers never becomes markup.
 *
 * @throws OptionError on unknown options, and where there is nothing to report
 */
export function renderReport(options: RenderReportOptions): string {
  const given = readOptions('report', options, RENDER_REPORT_OPTIONS)
  const { run, title, maxSamples, maxTextLength, refreshSeconds } = given
  const evaluations = [...(given.evaluations ?? []), ...(run?.evaluations.map(({ report }) => report) ?? [])]
  if (evaluations.length === 0 && !run)
    throw new OptionError('[report] expected a run or evaluations, got none; give what readRun or an evaluation gave')
  const limits: SampleLimits = { maxSamples, maxTextLength }
  const isAlone = evaluations.length === 1 && !run
  const sections = evaluations.map((report, index) => sectionsOf(report, isAlone ? undefined : index, limits))
  return pageText({
    title: title ?? titleOf(given),
    lead: run ? runFacts(run) : leadOf(evaluations),
    sections: [...(run ? runSections(run) : []), ...sections.flat()],
    refreshSeconds,
  })
}

function titleOf({ run, evaluations }: Pick<RenderReportOptions, 'run' | 'evaluations'>): string {
  if (run) return run.name ?? (basename(run.directory) || run.directory)
  const [first] = evaluations ?? []
  return `Evaluation of ${basename(first?.model ?? '')}`
}

function leadOf(evaluations: readonly EvaluationReport[]): Markup {
  const [first] = evaluations
  return first && evaluations.length === 1
    ? evaluationFacts(first)
    : html`<p class="muted">${evaluations.length} evaluations</p>`
}

/** Where it is not alone on the page, an evaluation begins with what it is of. */
function sectionsOf(report: EvaluationReport, index: number | undefined, limits: SampleLimits): Section[] {
  if (index === undefined) return evaluationSections(report, '', limits)
  const [first, ...others] = evaluationSections(report, `evaluation-${index + 1}-`, limits).map((section) => ({
    ...section,
    title: `Task ${section.title}`,
  }))
  return first === undefined ? [] : [{ ...first, body: html`${evaluationFacts(report)}${first.body}` }, ...others]
}
