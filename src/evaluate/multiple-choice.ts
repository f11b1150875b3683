/**
 * @file Tasks that choose among texts: the choice that the model finds likeliest behind the prompt, as
 * lm-evaluation-harness scores `multiple_choice`.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { type RowOrigin, rowError } from '../data/row-origin.js'
import { describeValue } from '../errors.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isObject } from '../values.js'
import { type AskedRow, askRows, type QuestionRow, shownRow } from './ask-rows.js'
import { type RowColumns, type RowTemplate, readRowTemplate } from './row-template.js'
import { placeOfLargest, type ScoredChoice, scoreChoices } from './score-choices.js'
import { meanMetric, meanOf, type PreparedTask } from './task.js'
import type { ChoiceMetricName, ResolvedMultipleChoiceTask } from './task-options.js'

/** What the log probability of a choice is divided by, for each metric. */
const LENGTHS: Readonly<Record<ChoiceMetricName, (choice: string, scored: ScoredChoice) => number>> = {
  acc: () => 1,
  acc_norm: (choice) => Array.from(choice).length,
  acc_bytes: (choice) => Buffer.byteLength(choice),
  acc_tokens: (_, { tokens }) => tokens,
}

/** Tokens that a choice may take behind the longest prompt. */
const LONGEST_CHOICE = 128
const CHOICE_COLUMNS = ['choices', 'options', 'endings'] as const
const TEXT_COLUMNS = ['prompt', 'question', 'ctx'] as const
const TARGET_COLUMNS = ['answer', 'answerKey', 'label', 'gold'] as const

/** The choices of a row, and the place of the right one. */
interface RightChoice {
  readonly choices: readonly string[]
  readonly right: number
}

interface ChoiceRow extends RightChoice {
  readonly row: AskedRow
}

/** @throws DataError for rows without choices, and for answers that are none of them */
export async function prepareMultipleChoice(
  name: string,
  task: ResolvedMultipleChoiceTask,
  { config }: CausalLM,
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
): Promise<PreparedTask> {
  const { docToChoice, metrics } = task
  const sources = typeof docToChoice === 'string' ? [docToChoice] : docToChoice
  const templates = sources?.map((source) => readRowTemplate(name, 'docToChoice', source))
  const positions = config.maxPositionEmbeddings
  const limits = {
    positions,
    answerTokens: Math.min(LONGEST_CHOICE, Math.floor(positions / 2)),
    needsReference: true,
    textColumns: TEXT_COLUMNS,
    targetColumns: TARGET_COLUMNS,
  }
  const found = await askRows(name, tokenizer, task, limits, signal, {
    refine: (row, origin) => choicesOf(name, row, templates, origin),
    exampleAnswer: ({ choices, right }) => choices[right],
  })
  const { lineage, warnings, fewshot } = found
  const rows = found.rows.map(({ asked, refined }): ChoiceRow => ({ row: asked, ...refined }))
  return {
    name,
    type: task.type,
    rows: rows.map(({ row, choices, right }) => ({ ...shownRow(row), references: [choices[right] as string] })),
    lineage,
    warnings,
    ...(fewshot && { fewshot }),
    async answer(model) {
      const scores = await scoreChoices(
        name,
        model,
        rows.map(({ row }) => row),
        rows.map(({ choices }) => choices),
      )
      return {
        metrics: metrics.map((metric) => meanMetric(metric, true)),
        rows: rows.map(({ choices, right }, index) => {
          const scored = scores[index] as readonly ScoredChoice[]
          const chosen = metrics.map((metric) => chosenBy(metric, choices, scored))
          return {
            text: choices[chosen[0] as number] as string,
            statistics: chosen.map((place) => meanOf(Number(place === right))),
          }
        }),
      }
    },
  }
}

function chosenBy(metric: ChoiceMetricName, choices: readonly string[], scored: readonly ScoredChoice[]): number {
  return placeOfLargest(
    scored.map((choice, place) => choice.logProb / LENGTHS[metric](choices[place] as string, choice)),
  )
}

/** The choices of a row, and which one its target names. */
function choicesOf(
  where: string,
  { columns, origin, target }: QuestionRow,
  templates: readonly RowTemplate[] | undefined,
  place: RowOrigin,
): RightChoice {
  const { texts, labels } = templates
    ? listed(templates.map((template) => template(columns, place)))
    : listed([columnOf(columns)])
  if (texts === undefined || texts.length < 2)
    throw rowError(
      place,
      `[${where}] expected at least two choices in ${origin}, got ${texts === undefined ? 'none' : texts.length}; name their column with docToChoice`,
    )
  const right = placeOfTarget(target, texts, labels)
  if (right !== undefined) return { choices: texts, right }
  throw rowError(
    place,
    `[${where}] expected the number, from 0, the letter or the text of one of ${texts.length} choices in ${origin}, got ${describeValue(target)}; see docToTarget`,
  )
}

function columnOf(columns: RowColumns): unknown {
  const name = CHOICE_COLUMNS.find((column) => columns.has(column))
  return name === undefined ? undefined : columns.get(name)
}

interface Choices {
  readonly texts: readonly string[] | undefined
  /** What rows call the choices, as A, B, C. */
  readonly labels?: readonly string[]
}

/** A list of texts; several columns with a text each; or `{ text: [...], label: [...] }`, as ARC has it. */
function listed(values: readonly unknown[]): Choices {
  const [first] = values
  if (values.length > 1) return { texts: values.map(String) }
  if (Array.isArray(first)) return { texts: first.map(String) }
  const given: Record<string, unknown> = first instanceof Map ? Object.fromEntries(first) : isObject(first) ? first : {}
  const { text, label } = given
  if (!Array.isArray(text)) return { texts: undefined }
  return { texts: text.map(String), ...(Array.isArray(label) && { labels: label.map(String) }) }
}

function placeOfTarget(
  target: unknown,
  texts: readonly string[],
  labels: readonly string[] | undefined,
): number | undefined {
  const value: unknown = Array.isArray(target) ? target[0] : target
  const given = String(value).trim()
  const place = (found: number): number | undefined =>
    Number.isInteger(found) && found >= 0 && found < texts.length ? found : undefined
  const named = labels?.indexOf(given) ?? -1
  if (named >= 0) return place(named)
  // Choices may be numbers as well; a number that is no text counts them.
  if (typeof value === 'number' || typeof value === 'bigint') return place(Number(value))
  if (/^\d+$/.test(given) && !texts.includes(given)) return place(Number(given))
  const exact = texts.findIndex((text) => text.trim() === given)
  if (exact >= 0) return exact
  return /^[A-Z]$/i.test(given) ? place(given.toUpperCase().charCodeAt(0) - 65) : undefined
}
