/**
 * @file What an evaluation adds to a model card: results for its `model-index`, and a table with intervals for people.
 */

import { basename } from 'node:path'
import type { SourceLineage } from '../data/sources/row-source.js'
import { code, markdownTable, plain } from '../hub/card-text.js'
import { type IndexedResult, indexedMetric } from '../hub/model-index.js'
import { OptionError } from '../lowrank-error.js'
import type { EvaluatedModel, EvaluationReport, Score, TaskReport } from './evaluation-report.js'

/** A data set as `model-index` names it. */
type IndexedDataset = IndexedResult['dataset']

/** Tasks of the Hub that ours are, by words in their type. */
const HUB_TASKS = [
  [/classif/i, 'text-classification', 'Text Classification'],
  [/choice/i, 'multiple-choice', 'Multiple Choice'],
] as const

/** Which model of a report a card is about. */
export interface CardSubject {
  /** Its name in the report. Default: the one model behind the first, or the only one. */
  readonly model?: string | undefined
}

/** The data set of a table or of files: its id on the Hub, or the names of the files without their directories. */
export function indexedDataset(lineage: readonly SourceLineage[], otherwise: string): IndexedDataset {
  const hub = lineage.map(({ location }) => /^hf:\/\/datasets\/([^@]+)@([^/]+)\//.exec(location))
  const [first] = hub
  if (first && hub.every((found) => found?.[1] === first[1])) {
    const [, id = '', commit = ''] = first
    return { type: id, name: id, ...(/^[0-9a-f]{40}$/.test(commit) && { revision: commit }) }
  }
  const names = [...new Set(lineage.map(({ location }) => lastName(location)))]
  const name = names.length === 0 ? otherwise : names.length === 1 ? (names[0] as string) : `${names[0]} and more`
  return { type: name, name }
}

/** The id on the Hub of each data set that rows came from. */
export function hubDatasets(lineage: readonly SourceLineage[]): string[] {
  return [...new Set(lineage.flatMap(({ location }) => /^hf:\/\/datasets\/([^@]+)@/.exec(location)?.slice(1, 2) ?? []))]
}

/** The last name of a path, which is all that cards show of one; the whole name of a table. */
export function lastName(location: string): string {
  return location.startsWith('uc://') ? location.slice('uc://'.length) : basename(location)
}

/** What the model made of each task, for `model-index`. */
export function reportResults(report: EvaluationReport, subject: CardSubject = {}): IndexedResult[] {
  const { name } = subjectOf(report, subject)
  return report.tasks.map((task) => {
    const dataset = indexedDataset(task.lineage, task.name)
    const isNamed = dataset.name !== task.name
    const [, type, taskName] = HUB_TASKS.find(([words]) => words.test(task.type)) ?? [
      undefined,
      'text-generation',
      'Text Generation',
    ]
    return {
      task: { type, name: taskName },
      dataset: isNamed ? { ...dataset, name: `${task.name} (${dataset.name})` } : dataset,
      metrics: task.metrics.flatMap((metric) => indexedMetric(metric.name, metric.scores[name]?.value) ?? []),
    }
  })
}

/** The section of a card: every score with its interval, beside those of the first model. */
export function reportSection(report: EvaluationReport, subject: CardSubject = {}): string {
  const { name } = subjectOf(report, subject)
  const [first] = report.models
  const isCompared = first !== undefined && first.name !== name
  const percent = `${Number((100 * report.confidence).toFixed(2))} %`
  const head = isCompared
    ? ['Task', 'Rows', 'Metric', plain(first.name), plain(name), 'Difference', 'p']
    : ['Task', 'Rows', 'Metric', plain(name)]
  const rows = report.tasks.flatMap((task) =>
    task.metrics.map((metric) => rowOf(task, metric, first, name, isCompared)),
  )
  return `## Evaluation

${markdownTable(head, rows)}

In brackets: the ${percent} interval. An arrow says which way is better.${isCompared ? ' p is two-sided.' : ''}
`
}

function rowOf(
  task: TaskReport,
  metric: TaskReport['metrics'][number],
  first: EvaluatedModel | undefined,
  name: string,
  isCompared: boolean,
): string[] {
  const { scores, differences, higherIsBetter } = metric
  const cells = [code(task.name), String(task.rowCount), `${code(metric.name)} ${higherIsBetter ? '↑' : '↓'}`]
  const own = scored(scores[name])
  if (!isCompared || first === undefined) return [...cells, own]
  const difference = differences[name]
  const pValue = difference?.pValue
  return [
    ...cells,
    scored(scores[first.name]),
    own,
    scored(difference, true),
    pValue === undefined || pValue === null ? '-' : pValue < 0.0001 ? '< 0.0001' : pValue.toFixed(4),
  ]
}

function scored(score: Pick<Score, 'value' | 'low' | 'high'> | undefined, isSigned = false): string {
  if (score === undefined || score.value === null) return '-'
  const { value, low, high } = score
  const sign = isSigned && value > 0 ? '+' : ''
  return `${sign}${figure(value)}${low === null || high === null ? '' : ` (${figure(low)} to ${figure(high)})`}`
}

/** Four digits behind the point, and no more than are known of large numbers. */
function figure(value: number): string {
  return Number.isFinite(value) ? value.toFixed(Math.abs(value) >= 1000 ? 1 : 4) : '-'
}

function subjectOf({ models }: EvaluationReport, { model }: CardSubject): EvaluatedModel {
  const others = models.length > 1 ? models.slice(1) : models
  const found = model === undefined ? others[0] : models.find(({ name }) => name === model)
  const isClear = model !== undefined || others.length === 1
  if (found !== undefined && isClear) return found
  throw new OptionError(
    `[card] expected the name of one model of the report for model, got ${model === undefined ? 'none' : JSON.stringify(model)}; it has ${models.map(({ name }) => JSON.stringify(name)).join(', ')}`,
  )
}
