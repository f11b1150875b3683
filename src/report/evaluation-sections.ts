/** @file The sections of an evaluation: scores with their intervals, what differs, confusion matrices, and answers. */

import type {
  ConfusionMatrix,
  EvaluatedModel,
  EvaluationReport,
  ReportedMetric,
  Score,
  ScoreDifference,
  TaskReport,
} from '../evaluate/evaluation-report.js'
import { answerRows, type SampleLimits } from './answer-rows.js'
import { count, difference, duration, figure, pValue, score, time } from './figures.js'
import { html, inline, type Markup } from './markup.js'
import { colorOf, modelName } from './model-names.js'
import type { Section } from './page.js'
import { sourceTable } from './source-table.js'

/** More labels make a table that nobody reads. */
const MOST_LABELS = 30

/**
 * The sections of a report.
 * @param prefix stands before the ids of this report in its page
 */
export function evaluationSections(report: EvaluationReport, prefix: string, limits: SampleLimits): Section[] {
  return report.tasks.map((task, index) => ({
    id: `${prefix}task-${index + 1}`,
    title: task.name,
    body: taskBody(task, report, limits),
  }))
}

/** What was evaluated, in figures below the title. */
export function evaluationFacts(report: EvaluationReport): Markup {
  const rows = report.tasks.reduce((sum, { rowCount }) => sum + rowCount, 0)
  return html`<p class="muted">${inline(report.model)}, ${time(report.startedAt)}, ${duration(report.seconds)}</p>
<dl class="facts">${report.models.map((model, index) => modelFact(model, index))}
<div><dt>Tasks</dt><dd>${report.tasks.length}<small>${count(rows)} rows</small></dd></div>
<div><dt>Intervals</dt><dd>${figure(report.confidence * 100)} %<small>confidence, by bootstrap</small></dd></div></dl>`
}

function modelFact({ name, adapter }: EvaluatedModel, index: number): Markup {
  return html`<div><dt>${index === 0 ? 'Compared with' : 'Model'}</dt><dd>${modelName(name, index)}<small>${adapter ?? 'without an adapter'}</small></dd></div>`
}

function taskBody(task: TaskReport, report: EvaluationReport, limits: SampleLimits): Markup {
  return html`<p class="muted small">${inline(task.type)}, ${count(task.rowCount)} rows, ${task.fewshot ? `${count(task.fewshot.numFewshot)} examples before each, ` : ''}${duration(task.seconds)}</p>
${task.warnings && task.warnings.length > 0 && html`<ul class="card notes caution">${task.warnings.map(({ message }) => html`<li>${inline(message)}</li>`)}</ul>`}
${task.metrics.map((metric) => metricTable(metric, report))}
${task.confusion && confusionTables(task, report)}
${task.lineage.length > 0 && html`<details class="card"><summary>Rows of this task</summary>${sourceTable(task.lineage)}</details>`}
${answerRows(task, report.models, limits)}`
}

function metricTable(metric: ReportedMetric, { models, confidence }: EvaluationReport): Markup {
  const domain = domainOf(metric)
  const rows = models.map(({ name }, index) => {
    const own = Object.hasOwn(metric.scores, name) ? metric.scores[name] : undefined
    const other = Object.hasOwn(metric.differences, name) ? metric.differences[name] : undefined
    return html`<tr><th scope="row">${modelName(name, index)}</th>
<td class="gauge">${gauge(own, domain, colorOf(index))}</td>
<td class="number"><b>${score(own?.value)}</b><small>${intervalText(own)}</small></td>
<td class="number">${index === 0 ? html`<span class="muted">–</span>` : differenceText(other, metric.higherIsBetter, confidence)}</td></tr>`
  })
  const first = models[0]?.name ?? ''
  return html`<div class="card"><table class="scores"><caption><code>${metric.name}</code> <span class="muted small">${
    metric.higherIsBetter ? 'higher is better' : 'lower is better'
  }</span></caption>
<thead><tr><th scope="col">Model</th><th scope="col" class="gauge">Score, ${figure(domain.low)} to ${figure(domain.high)}</th><th scope="col" class="number">Value</th><th scope="col" class="number">From ${inline(first)}</th></tr></thead>
<tbody>${rows}</tbody></table></div>`
}

interface Domain {
  readonly low: number
  readonly high: number
}

/** The axis of a metric's bars: 0 to 1 or to 100 where all scores lie there, as of shares and of BLEU. */
function domainOf({ name, scores, higherIsBetter }: ReportedMetric): Domain {
  const values = Object.values(scores).flatMap(({ value, low, high }) =>
    [value, low, high].filter((each): each is number => each !== null && Number.isFinite(each)),
  )
  const high = Math.max(0, ...values)
  const low = Math.min(0, ...values)
  if (low === 0 && high <= 1 && higherIsBetter) return { low: 0, high: 1 }
  if (low === 0 && high <= 100 && /bleu|chrf|rouge/i.test(name)) return { low: 0, high: 100 }
  return { low, high: high === low ? 1 : high }
}

function gauge(own: Score | undefined, { low, high }: Domain, color: number): Markup | undefined {
  const value = own?.value ?? null
  if (value === null || !Number.isFinite(value)) return undefined
  const place = (at: number): number => Math.min(100, Math.max(0, (100 * (at - low)) / (high - low)))
  const percent = (at: number): string => `${place(at).toFixed(2)}%`
  const [from, to] = [Math.min(0, value), Math.max(0, value)]
  const label = `${score(value)} on an axis from ${figure(low)} to ${figure(high)}`
  const whisker =
    own?.low !== null && own?.low !== undefined && own.high !== null
      ? html`<line class="whisker" x1="${percent(own.low)}" x2="${percent(own.high)}" y1="11" y2="11"/>${[
          own.low,
          own.high,
        ].map((end) => html`<line class="whisker" x1="${percent(end)}" x2="${percent(end)}" y1="7" y2="15"/>`)}`
      : undefined
  return html`<svg class="m${color}" width="100%" height="22" role="img" aria-label="${label}"><rect class="track" width="100%" y="4" height="14" rx="2"/><rect class="fill" x="${percent(from)}" width="${(place(to) - place(from)).toFixed(2)}%" y="4" height="14" rx="2"/>${whisker}</svg>`
}

function intervalText(own: Score | undefined): string {
  if (own === undefined) return 'not computed'
  return own.low === null || own.high === null ? 'no interval' : `${score(own.low)} to ${score(own.high)}`
}

/** Better or worse only where the interval leaves 0 out: else it may be chance. */
function differenceText(other: ScoreDifference | undefined, higherIsBetter: boolean, confidence: number): Markup {
  if (other === undefined || other.value === null) return html`<span class="muted">–</span>`
  const { value, low, high, pValue: p } = other
  const isCertain = low !== null && high !== null ? low > 0 || high < 0 : p !== null && p < 1 - confidence
  const isBetter = value > 0 === higherIsBetter
  const verdict = !isCertain
    ? html`<span class="muted">no clear difference</span>`
    : isBetter
      ? html`<span class="good">▲ better</span>`
      : html`<span class="bad">▼ worse</span>`
  const interval = low === null || high === null ? '' : `${difference(low)} to ${difference(high)}`
  return html`<b>${difference(value)}</b><small>${interval}</small><small>${verdict}${p !== null && html` ${pValue(p)}`}</small>`
}

function confusionTables({ confusion = {}, name: task }: TaskReport, { models }: EvaluationReport): Markup {
  const tables = models.flatMap(({ name }, index) => {
    const matrix = Object.hasOwn(confusion, name) ? confusion[name] : undefined
    return matrix ? [confusionTable(matrix, name, index, task)] : []
  })
  return html`<h3>Confusion</h3><p class="small muted">Rows are what is right, columns what was answered. Outlined: right answers.</p>${tables}`
}

function confusionTable({ labels, rows }: ConfusionMatrix, name: string, index: number, task: string): Markup {
  const shown = labels.slice(0, MOST_LABELS)
  const width = Math.min(MOST_LABELS, labels.length)
  const hasOthers = rows.some((row) => row.length > labels.length)
  const line = (row: readonly number[], label: string, at: number): Markup => {
    const total = row.reduce((sum, value) => sum + value, 0)
    const cells = [...row.slice(0, width), ...(hasOthers ? [row[labels.length] ?? 0] : [])]
    return html`<tr><th scope="row" title="${label}">${inline(label)}</th>${cells.map((value, column) => {
      const share = total === 0 ? 0 : value / total
      const heat = value === 0 ? '' : ` h${Math.min(5, 1 + Math.floor(share * 5))}`
      return html`<td class="${column === at ? 'hit' : ''}${heat}">${count(value)}</td>`
    })}</tr>`
  }
  return html`<div class="card m${colorOf(index)}"><div class="scroll" tabindex="0" role="region" aria-label="Confusion of ${name} on ${task}"><table class="heat"><caption>${modelName(name, index)}</caption>
<thead><tr><th scope="col">right \\ answered</th>${shown.map((label) => html`<th scope="col" title="${label}">${inline(label)}</th>`)}${hasOthers && html`<th scope="col">no label</th>`}</tr></thead>
<tbody>${shown.map((label, at) => line(rows[at] ?? [], label, at))}</tbody></table></div>
${labels.length > MOST_LABELS && html`<p class="small muted">The first ${MOST_LABELS} of ${labels.length} labels are shown.</p>`}</div>`
}
