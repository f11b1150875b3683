/** @file The sections of a run: curves, sample answers, checkpoints, data, options, and what it warned of. */

import { basename } from 'node:path'
import { formatBytes } from '../bytes.js'
import type { Points } from './downsample.js'
import { count, duration, figure, time } from './figures.js'
import { lineChart, type Series } from './line-chart.js'
import { type Content, html, inline, type Markup } from './markup.js'
import type { Section } from './page.js'
import type { RunData, RunState } from './read-run.js'
import { answersOverTime } from './run-answers.js'
import type { LoggedStep } from './run-log-lines.js'
import { sourceTable } from './source-table.js'

/** Evaluation sets beyond these have no colour of their own, and come with the table of scores alone. */
const MOST_CURVES = 7
/** More checkpoints, or evaluations, are counted. */
const MOST_ROWS = 100

const STATES: Readonly<Record<RunState, Content>> = {
  running: html`<span class="tag">running</span>`,
  complete: html`<span class="tag good">complete</span>`,
  stopped: html`<span class="tag caution">stopped</span>`,
  failed: html`<span class="tag bad">failed</span>`,
}

/** Where a run stands, in figures below the title. */
export function runFacts(run: RunData): Markup {
  const { state, reason, step, totalSteps, seconds, best, log, status, options } = run
  const last = log.steps.at(-1)
  const speed = meanOf(log.steps, 'tokensPerSecond')
  const fact = (name: string, value: Content, more?: Content): Markup =>
    html`<div><dt>${name}</dt><dd>${value}${more !== undefined && html`<small>${more}</small>`}</dd></div>`
  const eta = last?.figures.etaSeconds
  return html`<p class="muted">${STATES[state]} <code><bdi>${run.directory}</bdi></code></p>
${reason !== undefined && html`<p class="${state === 'failed' ? 'bad' : 'caution'}" role="note">${reason}</p>`}
<dl class="facts">${fact('Step', count(step), totalSteps !== undefined && `of ${count(totalSteps)}`)}${
    last && fact('Training loss', figure(last.figures.loss), `at step ${count(last.step)}`)
  }${best && fact('Best evaluation', figure(best.value), [inline(best.metric), ` at step ${count(best.step)}`])}${
    seconds !== undefined &&
    fact(
      state === 'running' ? 'Time so far' : 'Time',
      duration(seconds),
      state === 'running' && typeof eta === 'number' && `about ${duration(eta)} left`,
    )
  }${speed !== undefined && fact('Speed', count(speed), 'tokens per second')}${
    typeof options.model === 'string' && fact('Model', inline(basename(options.model)), status?.start.device)
  }${status && fact('Trained', count(status.start.trainableParameters), `of ${count(status.start.totalParameters)} parameters`)}</dl>`
}

/** The sections of a run. */
export function runSections(run: RunData): Section[] {
  const sections: (Section | undefined)[] = [
    section('curves', 'Curves', curves(run)),
    section('evaluations', 'Evaluations', evaluationTable(run)),
    section('answers', 'Answers over time', answersOverTime(run.log.answers)),
    section('warnings', 'Warnings', warnings(run)),
    section('checkpoints', 'Checkpoints', checkpoints(run)),
    section('data', 'Data', data(run)),
    section('options', 'Options', options(run)),
  ]
  return sections.filter((each) => each !== undefined)
}

function section(id: string, title: string, body: Markup | undefined): Section | undefined {
  return body && { id, title, body }
}

function meanOf(steps: readonly LoggedStep[], name: string): number | undefined {
  const values = steps.map(({ figures }) => figures[name]).filter((value) => typeof value === 'number')
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length
}

/** A figure of the steps. */
function stepSeries(steps: readonly LoggedStep[], key: string, name: string): Series {
  return { name, color: 1, isNoisy: key !== 'learningRate', ...pointsOf(steps, key) }
}

/** A score of the evaluations. */
function scoreSeries(evaluations: readonly LoggedStep[], name: string, color = 2): Series {
  return { name, color, hasDots: true, ...pointsOf(evaluations, name) }
}

function pointsOf(steps: readonly LoggedStep[], key: string): Points {
  return { x: steps.map(({ step }) => step), y: steps.map(({ figures }) => figures[key] ?? null) }
}

/** Names of all figures of some lines, in the order in which they first came. */
function namesOf(steps: readonly LoggedStep[]): string[] {
  const names = new Set<string>()
  for (const { figures } of steps) for (const name of Object.keys(figures)) names.add(name)
  return [...names]
}

/** Figures of a step that have charts of their own, or are no curve. */
const KNOWN = new Set(['loss', 'learningRate', 'gradNorm', 'tokensPerSecond', 'numInputTokensSeen'])

const isLoss = (name: string): boolean => /^eval_(?:.+_)?loss$/.test(name)

function curves({ log }: RunData): Markup | undefined {
  const { steps, evaluations } = log
  const scores = namesOf(evaluations)
  const losses = scores.filter(isLoss)
  const others = scores.filter((name) => !isLoss(name))
  const one = (key: string, title: string, note?: string): Markup | undefined =>
    lineChart({
      id: `chart-${key.replace(/[^A-Za-z0-9]/g, '-')}`,
      title,
      ...(note !== undefined && { note }),
      series: [stepSeries(steps, key, title)],
    })
  const charts = [
    lineChart({
      id: 'chart-loss',
      title: 'Loss',
      series: [
        stepSeries(steps, 'loss', 'train'),
        ...losses.slice(0, MOST_CURVES - 1).map((name, at) => scoreSeries(evaluations, name, 2 + at)),
      ],
      isWide: true,
    }),
    one('learningRate', 'Learning rate'),
    one('gradNorm', 'Gradient norm', 'before clipping'),
    one('tokensPerSecond', 'Speed', 'tokens per second'),
    ...namesOf(steps)
      .filter((name) => !KNOWN.has(name))
      .slice(0, MOST_ROWS)
      .map((name, at) => lineChart({ id: `figure-${at}`, title: name, series: [stepSeries(steps, name, name)] })),
    ...others
      .slice(0, MOST_ROWS)
      .map((name, at) => lineChart({ id: `score-${at}`, title: name, series: [scoreSeries(evaluations, name)] })),
  ].filter((each) => each !== undefined)
  if (charts.length === 0) return undefined
  const left = losses.length - (MOST_CURVES - 1)
  return html`<div class="charts">${charts}</div>${left > 0 && html`<p class="small muted">${count(left)} more losses stand in the table below.</p>`}`
}

function evaluationTable({ log, best }: RunData): Markup | undefined {
  const { evaluations } = log
  if (evaluations.length === 0) return undefined
  const names = namesOf(evaluations)
  const shown = evaluations.slice(-MOST_ROWS)
  const left = evaluations.length - shown.length
  return html`<div class="card scroll tall" tabindex="0" role="region" aria-label="Evaluations"><table>
<thead><tr><th scope="col" class="number">Step</th>${names.map((name) => html`<th scope="col" class="number">${name}</th>`)}<th scope="col"></th></tr></thead>
<tbody>${shown.map(
    ({ step, figures }) =>
      html`<tr><th scope="row" class="number">${count(step)}</th>${names.map((name) => html`<td class="number">${figure(figures[name])}</td>`)}<td>${step === best?.step && html`<span class="tag good">best</span>`}</td></tr>`,
  )}</tbody></table></div>${left > 0 && html`<p class="small muted">The last ${shown.length} of ${count(evaluations.length)} evaluations.</p>`}`
}

function warnings({ status, notes }: RunData): Markup | undefined {
  const rows = status?.data.flatMap(({ warnings: of }) => of.map(({ message }) => message)) ?? []
  const all = [...rows, ...(status?.warnings ?? [])]
  if (all.length === 0 && notes.length === 0) return undefined
  const more = status?.moreWarnings ?? 0
  return html`${all.length > 0 && html`<ul class="card notes">${all.map((message) => html`<li>${inline(message)}</li>`)}${more > 0 && html`<li>and ${count(more)} more</li>`}</ul>`}${
    notes.length > 0 &&
    html`<h3>Of the files of this run</h3><ul class="card notes">${notes.map((note) => html`<li>${inline(note)}</li>`)}</ul>`
  }`
}

function checkpoints({ checkpoints: all, best }: RunData): Markup | undefined {
  if (all.length === 0) return undefined
  const shown = all.slice(-MOST_ROWS)
  const bestName = best?.checkpoint === undefined ? undefined : basename(best.checkpoint)
  return html`<div class="card scroll" tabindex="0" role="region" aria-label="Checkpoints"><table>
<thead><tr><th scope="col">Checkpoint</th><th scope="col" class="number">Step</th><th scope="col" class="number">Size</th><th scope="col">Saved</th><th scope="col"></th></tr></thead>
<tbody>${shown.map(
    ({ name, step, bytes, savedAt }) =>
      html`<tr><th scope="row"><code>${name}</code></th><td class="number">${count(step)}</td><td class="number">${formatBytes(bytes)}</td><td>${time(savedAt)}</td><td>${(bestName === undefined ? step === best?.step : name === bestName) && html`<span class="tag good">best</span>`}</td></tr>`,
  )}</tbody></table></div>${all.length > shown.length && html`<p class="small muted">The last ${shown.length} of ${count(all.length)} checkpoints.</p>`}`
}

const STATISTICS: readonly (readonly [string, string])[] = [
  ['rows', 'Rows read'],
  ['conversations', 'Conversations'],
  ['tokens', 'Tokens'],
  ['supervisedTokens', 'Learnt tokens'],
  ['longest', 'Longest row in tokens'],
  ['maxLength', 'Longest allowed'],
  ['truncatedRows', 'Rows that lost their end'],
  ['rowsCutToNothing', 'Rows cut to nothing'],
  ['rowsWithoutTarget', 'Rows with nothing to learn'],
  ['skippedRows', 'Rows skipped'],
]

function data({ status }: RunData): Markup | undefined {
  const all = status?.data ?? []
  if (all.length === 0) return undefined
  return html`${all.map((each) => {
    const { name } = each as { readonly name?: unknown }
    const title = each.split === 'train' ? 'Training' : typeof name === 'string' ? `Held out: ${name}` : 'Held out'
    const rows = STATISTICS.flatMap(([key, label]) => {
      const value = (each as unknown as Record<string, unknown>)[key]
      return typeof value === 'number' ? [[label, count(value)] as const] : []
    })
    return html`<div class="card"><table><caption>${title}</caption><thead hidden><tr><th scope="col">What</th><th scope="col">Value</th></tr></thead>
<tbody>${rows.map(([label, value]) => html`<tr><th scope="row" class="name">${label}</th><td>${value}</td></tr>`)}</tbody></table>
${Array.isArray(each.lineage) && each.lineage.length > 0 && sourceTable(each.lineage)}</div>`
  })}`
}

/** A value longer than this is cut, as rows that stand in the options themselves. */
const LONGEST_VALUE = 2000

function options({ options: all, status }: RunData): Markup | undefined {
  const rows = optionRows(all)
  if (rows.length === 0) return undefined
  const versions = status?.start.versions
  return html`<div class="card"><table><thead><tr><th scope="col">Option</th><th scope="col">Value</th></tr></thead>
<tbody>${rows.map(([name, value]) => html`<tr><th scope="row" class="name"><code><bdi>${name}</bdi></code></th><td><code><bdi>${value}</bdi></code></td></tr>`)}</tbody></table></div>
${versions && html`<p class="small muted">lowrank ${versions.lowrank ?? ''}, Node ${versions.node}, run ${inline(status.runId)}</p>`}`
}

/** Options with those of their parts, as `training.learningRate`. */
export function optionRows(options: Readonly<Record<string, unknown>>, prefix = ''): (readonly [string, string])[] {
  return Object.entries(options).flatMap(([name, value]): (readonly [string, string])[] => {
    const isPart = typeof value === 'object' && value !== null && !Array.isArray(value) && prefix === ''
    if (isPart) return optionRows(value as Record<string, unknown>, `${name}.`)
    const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
    const cut =
      text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}… (${count(text.length)} characters)` : text
    return [[`${prefix}${name}`, cut]]
  })
}
