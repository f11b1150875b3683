/**
 * @file The pairs of one row: questions are drafted, judged and made better, then their answers. Asks through an
 * `Asker`, and knows nothing of files.
 */

import type { Asker } from './generate-asker.js'
import type { Filling, Prompts, Step } from './generate-prompts.js'
import type { StepValues } from './generate-replies.js'
import type { Columns } from './input.js'

/** What is asked of pairs. */
export interface PairOptions {
  readonly pairsPerRow: number
  /** The score that question and answer must have; 0: nothing is judged. */
  readonly threshold: number
  /** Times that a question or an answer is made better. */
  readonly maxRounds: number
}

/** A question and its answer. */
export interface Pair {
  readonly question: string
  readonly answer: string
  readonly reasoning: string
  readonly model: string
  /** What the judge gave; null where nothing is judged. */
  readonly questionScore: number | null
  readonly answerScore: number | null
}

/** What became of a row: its pairs and what was dropped, or why it has none. */
export type RowPairs =
  | { readonly pairs: readonly Pair[]; readonly dropped: readonly string[]; readonly improved: number }
  | { readonly skipped: string }

/** A text that passed, or why it was dropped. */
type Refined =
  | { readonly values: Partial<StepValues>; readonly model: string; readonly score: number | null }
  | { readonly failure: string }

/** A row, and how to ask about it. */
interface Row {
  readonly asker: Asker
  readonly prompts: Prompts
  readonly columns: Columns
  readonly text: string
  /** What errors call it. */
  readonly name: string
  readonly options: PairOptions
}

/** Makes the pairs of a row. */
export async function pairsOfRow(row: Row): Promise<RowPairs> {
  const { pairsPerRow } = row.options
  const draft = await ask(row, 'question', { count: pairsPerRow })
  if ('failure' in draft) return { skipped: draft.failure }
  const questions = new Map<string, string>()
  const dropped: string[] = []
  for (const question of draft.values.questions ?? []) {
    const same = question.toLowerCase()
    // Some models write more than they are asked for: these count for nothing.
    if (questions.has(same)) dropped.push('repeated question')
    else if (questions.size < pairsPerRow) questions.set(same, question)
  }
  let improved = 0
  const onImproved = (): void => {
    improved++
  }
  const made = await Promise.all(
    [...questions.values()].map((question) => pairOf(row, question, draft.model, onImproved)),
  )
  const pairs: Pair[] = []
  for (const result of made) {
    if ('failure' in result) dropped.push(result.failure)
    else pairs.push(result)
  }
  return { pairs, dropped, improved }
}

async function pairOf(
  row: Row,
  question: string,
  model: string,
  onImproved: () => void,
): Promise<Pair | { readonly failure: string }> {
  const asked = await refine(row, 'Question', { values: { question }, model }, {}, onImproved)
  if ('failure' in asked) return asked
  const fixed = { question: asked.values.question ?? question }
  const draft = await ask(row, 'answer', fixed)
  if ('failure' in draft) return draft
  const answered = await refine(row, 'Answer', draft, fixed, onImproved)
  if ('failure' in answered) return answered
  const { answer = '', reasoning = '' } = answered.values
  return {
    ...fixed,
    answer,
    reasoning,
    model: answered.model,
    questionScore: asked.score,
    answerScore: answered.score,
  }
}

/** Judges a draft, and makes it better until it passes, at most so many times. */
async function refine(
  row: Row,
  what: 'Question' | 'Answer',
  draft: { readonly values: Partial<StepValues>; readonly model: string },
  fixed: Partial<Filling>,
  onImproved: () => void,
): Promise<Refined> {
  const { threshold, maxRounds } = row.options
  if (threshold === 0) return { ...draft, score: null }
  let current = draft
  for (let round = 0; ; round++) {
    const { question, answer } = current.values
    const filling = { ...fixed, ...(what === 'Question' ? { question: question ?? '' } : { answer: answer ?? '' }) }
    const judged = await ask(row, `judge${what}`, filling)
    if ('failure' in judged) return judged
    const { score = 0, feedback = '' } = judged.values
    if (score >= threshold) return { ...current, score }
    if (round === maxRounds) return { failure: `${what.toLowerCase()} below the threshold` }
    const better = await ask(row, `improve${what}`, { ...filling, feedback })
    if ('failure' in better) return better
    onImproved()
    current = better
  }
}

function ask(
  { asker, prompts, columns, text, name }: Row,
  step: Step,
  filling: Partial<Filling>,
): ReturnType<Asker['ask']> {
  return asker.ask(step, prompts.messages(step, columns, { text, ...filling }), name)
}
