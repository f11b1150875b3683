/** @file Rows of a task with the answers of all models side by side, those that got worse first. */

import type { EvaluatedModel, EvaluatedRow, RowAnswer, TaskReport } from '../evaluate/evaluation-report.js'
import { count, difference, score } from './figures.js'
import { type Content, html, inline, type Markup } from './markup.js'
import { colorOf, modelName } from './model-names.js'
import { diffWords, type Stretch } from './word-diff.js'

/** How much of the rows a page shows. */
export interface SampleLimits {
  /** Rows of a task. */
  readonly maxSamples: number
  /** Characters of a prompt, an answer or a reference. */
  readonly maxTextLength: number
}

type Verdict = 'worse' | 'same' | 'better' | 'unknown'

interface JudgedRow {
  readonly row: EvaluatedRow
  /** How each model but the first did, by the first metric. */
  readonly verdicts: readonly Verdict[]
  /** How much the model that lost most lost; below 0 where all gained. */
  readonly loss: number
}

/** The rows with search and filters. */
export function answerRows(
  task: TaskReport,
  models: readonly EvaluatedModel[],
  limits: SampleLimits,
): Markup | undefined {
  if (task.samples.length === 0) return undefined
  const judged = task.samples.map((row) => judge(row, task, models)).sort((a, b) => b.loss - a.loss)
  const shown = judged.slice(0, limits.maxSamples)
  const others = models.slice(1)
  const metric = task.metrics[0]?.name
  const total =
    shown.length < task.rowCount
      ? `${count(shown.length)} of ${count(task.rowCount)} rows`
      : `All ${count(shown.length)} rows`
  return html`<section class="samples" aria-label="Answers of ${task.name}"><h3>Answers</h3>
<p class="small muted">${total}${others.length > 0 && metric !== undefined && html`, those first that got worse by <code>${metric}</code>`}. ${
    others.length > 0 && 'Words that the other answer does not have are marked.'
  }</p>
${controls(others)}
<div class="rows">${shown.map((each) => rowMarkup(each, models, limits))}</div></section>`
}

function controls(others: readonly EvaluatedModel[]): Markup {
  const compares = others.length > 0
  return html`<div class="controls"><label>Search<input type="search" name="search" autocomplete="off"></label>
${compares && html`<label>Show<select name="verdict"><option value="">all rows</option><option value="worse">worse</option><option value="better">better</option><option value="same">same score</option></select></label>`}
${others.length > 1 && html`<label>By<select name="model"><option value="">any model</option>${others.map(({ name }, index) => html`<option value="${index}">${name}</option>`)}</select></label>`}
${compares && html`<label>Order<select name="order"><option value="worst">worst first</option><option value="number">as in the data</option></select></label>`}
<output class="shown small muted"></output></div>`
}

function scoreOf(answer: RowAnswer | undefined, metric: string | undefined): number | null {
  if (answer === undefined || metric === undefined || !Object.hasOwn(answer.scores, metric)) return null
  return answer.scores[metric] ?? null
}

function answerOf(row: EvaluatedRow, name: string): RowAnswer | undefined {
  return Object.hasOwn(row.answers, name) ? row.answers[name] : undefined
}

function judge(row: EvaluatedRow, { metrics }: TaskReport, models: readonly EvaluatedModel[]): JudgedRow {
  const [metric] = metrics
  const [first, ...others] = models
  const before = scoreOf(first && answerOf(row, first.name), metric?.name)
  const losses = others.map(({ name }) => {
    const after = scoreOf(answerOf(row, name), metric?.name)
    if (before === null || after === null) return undefined
    return metric?.higherIsBetter === false ? after - before : before - after
  })
  const verdicts = losses.map((loss): Verdict => {
    if (loss === undefined || Number.isNaN(loss)) return 'unknown'
    return loss > 0 ? 'worse' : loss < 0 ? 'better' : 'same'
  })
  // Rows without scores come after those that stayed the same.
  const known = losses.filter((loss) => loss !== undefined && !Number.isNaN(loss)) as number[]
  return { row, verdicts, loss: known.length === 0 ? -Number.MIN_VALUE : Math.max(...known) }
}

const VERDICTS: Readonly<Record<Verdict, Content>> = {
  worse: html`<span class="tag bad">▼ worse</span>`,
  better: html`<span class="tag good">▲ better</span>`,
  same: html`<span class="tag muted">same score</span>`,
  unknown: undefined,
}

function rowMarkup({ row, verdicts }: JudgedRow, models: readonly EvaluatedModel[], limits: SampleLimits): Markup {
  const { maxTextLength } = limits
  const references = row.references ?? []
  const [first, ...others] = models
  const base = first && answerOf(row, first.name)?.text
  const cutBase = base === undefined ? undefined : cut(base, maxTextLength)
  const diffs = others.map(({ name }) => {
    const text = answerOf(row, name)?.text
    return text === undefined || cutBase === undefined
      ? undefined
      : diffWords(cutBase.text, cut(text, maxTextLength).text)
  })
  // The first answer is marked against the only other one; against several it would be marked in several ways.
  const answers = models.map((model, index) => {
    const stretches = index === 0 ? (others.length === 1 ? diffs[0]?.first : undefined) : diffs[index - 1]?.second
    return answerMarkup(row, model, index, {
      stretches,
      isSame: index > 0 && base !== undefined && answerOf(row, model.name)?.text === base,
      models,
      maxTextLength,
    })
  })
  const only = verdicts.length === 1 ? VERDICTS[verdicts[0] as Verdict] : undefined
  return html`<article class="row card" data-index="${row.index}" data-verdicts="${JSON.stringify(verdicts)}">
<header><h4>Row ${count(row.index)}</h4><span class="small muted">${inline(row.origin)}</span>${only}</header>
${block('Prompt', [row.prompt], maxTextLength)}
${references.length > 0 && block(references.length === 1 ? 'Right' : 'Right, any of', references, maxTextLength)}
<div class="answers">${answers}</div></article>`
}

/** Longer texts are folded up. */
const FOLD_BEYOND = 700

function block(label: string, texts: readonly string[], most: number): Markup {
  const body = texts.map((text) => html`<div class="text quote" dir="auto">${textMarkup(text, most)}</div>`)
  const length = texts.reduce((sum, text) => sum + text.length, 0)
  if (length <= FOLD_BEYOND) return html`<p class="label">${label}</p>${body}`
  return html`<details><summary class="small">${label}, ${count(length)} characters</summary>${body}</details>`
}

function textMarkup(text: string, most: number): Content {
  if (text === '') return html`<span class="muted">(empty)</span>`
  const { text: shown, left } = cut(text, most)
  return [shown, leftOut(left)]
}

function leftOut(left: number): Content {
  return left > 0 && html`<span class="muted"> … ${count(left)} more characters</span>`
}

/** The beginning of a text, never half of a character. */
function cut(text: string, most: number): { text: string; left: number } {
  if (text.length <= most) return { text, left: 0 }
  const code = text.charCodeAt(most - 1)
  const end = code >= 0xd800 && code < 0xdc00 ? most - 1 : most
  return { text: text.slice(0, end), left: text.length - end }
}

interface ShownAnswer {
  readonly stretches: readonly Stretch[] | undefined
  readonly isSame: boolean
  readonly models: readonly EvaluatedModel[]
  readonly maxTextLength: number
}

function answerMarkup(row: EvaluatedRow, model: EvaluatedModel, index: number, shown: ShownAnswer): Markup {
  const answer = answerOf(row, model.name)
  const { stretches, isSame, models, maxTextLength } = shown
  const head = html`<div class="head">${modelName(model.name, index)} <span class="muted">${isSame && 'same answer'}${answer?.finishReason === 'length' && ' cut at its longest'}</span></div>`
  if (answer === undefined)
    return html`<div class="answer m${colorOf(index)}">${head}
<p class="muted">not answered</p></div>`
  const { text } = answer
  const body =
    text === undefined
      ? undefined
      : html`<div class="text" dir="auto">${
          text === '' || stretches === undefined
            ? textMarkup(text, maxTextLength)
            : [marked(stretches, index), leftOut(cut(text, maxTextLength).left)]
        }</div>`
  const base = index > 0 && models[0] ? answerOf(row, models[0].name) : undefined
  const marks = Object.entries(answer.scores).map(([name, value]) => {
    const before = base && scoreOf(base, name)
    const change =
      typeof before === 'number' && value !== null && value !== before ? ` (${difference(value - before)})` : ''
    return html`<li>${name} <b>${score(value)}</b>${change}</li>`
  })
  return html`<div class="answer m${colorOf(index)}">${head}${body}${marks.length > 0 && html`<ul class="marks">${marks}</ul>`}</div>`
}

function marked(stretches: readonly Stretch[], index: number): Content {
  return stretches.map(({ text, isCommon }) =>
    isCommon ? text : index === 0 ? html`<del>${text}</del>` : html`<ins>${text}</ins>`,
  )
}
