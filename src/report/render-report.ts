/** @file The HTML of a report: of evaluations, of a run, or of a run with its evaluations. */

import { basename } from 'node:path'
import type { EvaluationReport } from '../evaluate/evaluation-report.js'
import { OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import type { SampleLimits } from './answer-rows.js'
import { evaluationFacts, evaluationSections } from './evaluation-sections.js'
import { html } from './markup.js'
import { pageText, type Section } from './page.js'
import { RENDER_REPORT_OPTIONS, type RenderReportOptions } from './report-options.js'

/**
 * A report as the text of one HTML file. The file needs no network, sends nothing, and shows every text as it is: what
 * stands in rows, names and answers never becomes markup.
 *
 * @throws OptionError on unknown options, and where there is nothing to report
 */
export function renderReport(options: RenderReportOptions): string {
  const {
    evaluations = [],
    title,
    maxSamples,
    maxTextLength,
    refreshSeconds,
  } = readOptions('report', options, RENDER_REPORT_OPTIONS)
  if (evaluations.length === 0)
    throw new OptionError('[report] expected evaluations, got none; give a report of evaluate')
  const limits: SampleLimits = { maxSamples, maxTextLength }
  const [first] = evaluations as readonly [EvaluationReport]
  const sections = evaluations.flatMap((report, index) => sectionsOf(report, index, evaluations.length, limits))
  return pageText({
    title: title ?? `Evaluation of ${basename(first.model)}`,
    lead:
      evaluations.length === 1 ? evaluationFacts(first) : html`<p class="muted">${evaluations.length} evaluations</p>`,
    sections,
    refreshSeconds,
  })
}

function sectionsOf(report: EvaluationReport, index: number, of: number, limits: SampleLimits): Section[] {
  if (of === 1) return evaluationSections(report, '', limits)
  const prefix = `evaluation-${index + 1}-`
  const [first, ...others] = evaluationSections(report, prefix, limits)
  if (first === undefined) return []
  return [{ ...first, body: html`${evaluationFacts(report)}${first.body}` }, ...others]
}
