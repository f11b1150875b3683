/** @file Answers to sample prompts, which come with an evaluation, as trackers show them. */

import type { EvaluateEvent } from '../train/events.js'

/** A model's answer to a sample prompt. */
interface Answer {
  readonly prompt: string
  readonly text: string
  readonly finishReason: string
}

/** The answers of an evaluation; none where no sample prompts were asked. */
export function samplesOf(event: EvaluateEvent & { readonly samples?: readonly Answer[] }): readonly Answer[] {
  return event.samples ?? []
}

/** Answers as a table of Markdown. */
export function samplesTable(samples: readonly Answer[]): string {
  const rows = samples.map(({ prompt, text }) => `| ${cell(prompt)} | ${cell(text)} |`)
  return ['| prompt | answer |', '|---|---|', ...rows].join('\n')
}

/** Answers as a table of pandas, which MLflow's `load_table` reads: its orientation is 'split'. */
export function samplesFrame(step: number, samples: readonly Answer[]): string {
  const data = samples.map(({ prompt, text, finishReason }) => [step, prompt, text, finishReason])
  return JSON.stringify({ columns: ['step', 'prompt', 'answer', 'finish_reason'], data })
}

/** A text that stays in its cell and is shown as it is. */
function cell(text: string): string {
  return text.replace(/[\\`*_[\]<>|&]/g, (character) => `&#${character.charCodeAt(0)};`).replace(/\r\n|\r|\n/g, '<br>')
}
