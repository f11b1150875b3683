/** @file What a run answered to the same prompts as it went on. */

import { count } from './figures.js'
import { html, type Markup } from './markup.js'
import type { SampleAnswer } from './run-log-lines.js'
import { diffWords } from './word-diff.js'

/** More prompts are counted. */
const MOST_PROMPTS = 20
/** The first answer to each prompt and the last ones. */
const MOST_ANSWERS = 12
const LONGEST_TEXT = 4000

/** The answers by prompt, each with the words marked that the one before did not have. */
export function answersOverTime(answers: readonly SampleAnswer[]): Markup | undefined {
  const byPrompt = new Map<string, SampleAnswer[]>()
  for (const answer of answers) {
    const own = byPrompt.get(answer.prompt)
    if (own) own.push(answer)
    else byPrompt.set(answer.prompt, [answer])
  }
  if (byPrompt.size === 0) return undefined
  const prompts = [...byPrompt].slice(0, MOST_PROMPTS)
  return html`<p class="small muted">Marked: words that the answer before did not have.</p>
${prompts.map(([prompt, own]) => {
  const shown = own.length <= MOST_ANSWERS ? own : [...own.slice(0, 1), ...own.slice(1 - MOST_ANSWERS)]
  return html`<article class="card"><p class="label">Prompt</p><div class="text quote" dir="auto">${prompt.slice(0, LONGEST_TEXT)}</div>
${shown.map((answer, at) => answerMarkup(answer, shown[at - 1]))}
${own.length > shown.length && html`<p class="small muted">${count(own.length - shown.length)} answers between the first and the others are left out.</p>`}</article>`
})}
${byPrompt.size > MOST_PROMPTS && html`<p class="small muted">The first ${MOST_PROMPTS} of ${count(byPrompt.size)} prompts.</p>`}`
}

function answerMarkup({ step, text }: SampleAnswer, before: SampleAnswer | undefined): Markup {
  const shown = text.slice(0, LONGEST_TEXT)
  const left = text.length - shown.length
  const stretches = before
    ? diffWords(before.text.slice(0, LONGEST_TEXT), shown).second
    : [{ text: shown, isCommon: true }]
  return html`<p class="label">Step ${count(step)}</p><div class="text" dir="auto">${
    text === ''
      ? html`<span class="muted">(empty)</span>`
      : stretches.map((each) => (each.isCommon ? each.text : html`<ins>${each.text}</ins>`))
  }${left > 0 && html`<span class="muted"> … ${count(left)} more characters</span>`}</div>`
}
