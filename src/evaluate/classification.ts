/**
 * @file Tasks that tell classes apart: by how likely the model finds each label behind the prompt, or by the label that
 * its answer names.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { type RowOrigin, rowError } from '../data/row-origin.js'
import { describeValue, listNames } from '../errors.js'
import { generateTexts } from '../generation/generate-texts.js'
import { DataError } from '../lowrank-error.js'
import { classificationMetrics } from '../metrics/classification.js'
import { classificationReport, labelsOf } from '../metrics/classification-report.js'
import type { ClassifiedRow } from '../metrics/classified-row.js'
import { expectOptions } from '../options/table.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isPlainObject } from '../values.js'
import { type AskedRow, askRows, type QuestionRow, shownRow } from './ask-rows.js'
import { readLabel } from './read-label.js'
import { placeOfLargest, scoreChoices } from './score-choices.js'
import type { AnsweredRow, AskedModel, PreparedTask, TaskAnswers, TaskMetric } from './task.js'
import { GENERATION_TABLE, type ResolvedClassificationTask } from './task-options.js'

/** Metrics where none are asked for. */
const USUAL_METRICS = ['accuracy', 'f1_macro', 'f1_micro', 'f1_weighted', 'precision_macro', 'recall_macro'] as const
/** Metrics that need the probability of each label. */
const OF_PROBABILITIES: ReadonlySet<string> = new Set(['log_loss', 'brier_score', 'ece'])
/** Tokens of the longest answer: a label, and a few words round it. */
const USUAL_ANSWER = 16

/** A row and its label. */
interface LabelledRow {
  readonly row: AskedRow
  readonly label: string
}

/** What a model made of a row. */
interface Classified extends ClassifiedRow {
  readonly text: string
  readonly finishReason?: 'stop' | 'length'
}

/** @throws DataError for rows whose label is none of `labels`, and where there are fewer than two */
export async function prepareClassification(
  name: string,
  task: ResolvedClassificationTask,
  { config }: CausalLM,
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
): Promise<PreparedTask> {
  const { method, generation } = task
  expectOptions(name, generation, GENERATION_TABLE)
  const answerTokens = method === 'generation' ? (generation.maxNewTokens ?? USUAL_ANSWER) : USUAL_ANSWER
  const limits = {
    positions: config.maxPositionEmbeddings,
    answerTokens,
    needsReference: true,
    textColumns: ['text'],
    targetColumns: ['label'],
  }
  const found = await askRows(name, tokenizer, task, limits, signal, {
    refine: (row, origin) => labelOf(name, row, task.labels, origin),
    exampleAnswer: (label) => label,
  })
  const { lineage, warnings, fewshot } = found
  const labelled = found.rows.map(({ asked, refined }): LabelledRow => ({ row: asked, label: refined }))
  const labels = labelsOfTask(name, task.labels, labelled)
  const asked = task.metrics ?? [...USUAL_METRICS, ...(method === 'likelihood' ? (['log_loss', 'ece'] as const) : [])]
  if (method === 'generation') expectNoProbabilities(name, asked)
  const metrics = classificationMetrics({ labels, metrics: asked })
  return {
    name,
    type: task.type,
    rows: labelled.map(({ row, label }) => ({ ...shownRow(row), references: [label] })),
    lineage,
    warnings,
    ...(fewshot && { fewshot }),
    async answer(model) {
      const classified =
        method === 'likelihood'
          ? await byLikelihood(name, model, labelled, labels)
          : await byGeneration(model, labelled, labels, { maxNewTokens: USUAL_ANSWER, ...generation })
      return answersOf(classified, labels, metrics)
    },
  }
}

/** The label of a row as the report calls it: a number may stand for the label of that place. */
function labelOf(
  where: string,
  { target, origin }: QuestionRow,
  labels: ResolvedClassificationTask['labels'],
  place: RowOrigin,
): string {
  const given: unknown = Array.isArray(target) ? target[0] : target
  const text = String(given).trim()
  if (labels === undefined) return text
  const known: Readonly<Record<string, string>> = isPlainObject(labels)
    ? (labels as Readonly<Record<string, string>>)
    : Object.fromEntries((labels as readonly string[]).map((label) => [label, label]))
  if (Object.hasOwn(known, text)) return known[text] as string
  const number = Number(text)
  const named = Array.isArray(labels) && Number.isInteger(number) ? (labels as readonly string[])[number] : undefined
  if (named !== undefined) return named
  throw rowError(
    place,
    `[${where}] expected one of the labels ${listNames(Object.keys(known))} in ${origin}, got ${describeValue(given)}; add it to labels`,
  )
}

function labelsOfTask(
  where: string,
  given: ResolvedClassificationTask['labels'],
  rows: readonly LabelledRow[],
): readonly string[] {
  const labels =
    given === undefined ? labelsOf(rows.map(({ label }) => ({ label, predicted: null }))) : Object.values(given)
  if (labels.length >= 2) return labels
  throw new DataError(
    `[${where}] expected at least two labels, got ${listNames(labels)}; check docToTarget, or give labels`,
  )
}

function expectNoProbabilities(where: string, metrics: readonly string[]): void {
  const asked = metrics.find((metric) => OF_PROBABILITIES.has(metric))
  if (asked === undefined) return
  throw new DataError(
    `[${where}] expected metrics of labels alone with method 'generation', got ${asked}, which needs probabilities; use method: 'likelihood'`,
  )
}

/** Probabilities are those of the labels among each other. */
async function byLikelihood(
  where: string,
  asked: AskedModel,
  rows: readonly LabelledRow[],
  labels: readonly string[],
): Promise<Classified[]> {
  const scores = await scoreChoices(
    where,
    asked,
    rows.map(({ row }) => row),
    rows.map(() => labels),
  )
  return scores.map((choices, index) => {
    const logProbs = choices.map(({ logProb }) => logProb)
    const predicted = labels[placeOfLargest(logProbs)] as string
    return { label: (rows[index] as LabelledRow).label, predicted, text: predicted, probabilities: softmax(logProbs) }
  })
}

function softmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits)
  const powers = logits.map((logit) => Math.exp(logit - largest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

async function byGeneration(
  { model, tokenizer, batchSize, signal, onRows }: AskedModel,
  rows: readonly LabelledRow[],
  labels: readonly string[],
  generation: ResolvedClassificationTask['generation'],
): Promise<Classified[]> {
  let done = 0
  const prompts = rows.map(({ row }) => row.ids)
  const options = { ...generation, batchSize, onText: () => onRows(++done), ...(signal && { signal }) }
  const answers = await generateTexts(model, tokenizer, prompts, options)
  return answers.map(({ text, finishReason }, index) => {
    const { label } = rows[index] as LabelledRow
    return { label, predicted: readLabel(text, labels), text, finishReason }
  })
}

function answersOf(
  classified: readonly Classified[],
  labels: readonly string[],
  metrics: ReturnType<typeof classificationMetrics>,
): TaskAnswers {
  const { confusion, answersWithoutLabel } = classificationReport(classified, { labels })
  const rows = classified.map(({ text, finishReason, ...row }): AnsweredRow => {
    const statistics = metrics.map((metric) => metric.statistics(row))
    return { text, ...(finishReason && { finishReason }), statistics }
  })
  const message = `${answersWithoutLabel} of ${rows.length} answers name no label, and count as wrong`
  return {
    metrics: metrics.map(({ name, higherIsBetter, score }): TaskMetric => {
      const isOfRow = name === 'accuracy' || name === 'log_loss' || name === 'brier_score'
      return { name, higherIsBetter, score, ...(isOfRow && { scoreRow: score }) }
    }),
    rows,
    confusion,
    ...(answersWithoutLabel > 0 && { warnings: [{ code: 'withoutLabel', rows: answersWithoutLabel, message }] }),
  }
}
