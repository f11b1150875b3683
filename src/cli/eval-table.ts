/** @file The report of an evaluation as a table for a terminal: a line for each metric of each model. */

import type { EvaluationReport, Score, ScoreDifference } from '../evaluate/evaluation-report.js'
import { formatDuration, type Paint, type Style } from '../progress/terminal.js'
import { harmless, textWidth } from '../progress/text-width.js'

interface Cell {
  readonly text: string
  readonly style?: Style
  readonly isFigure?: true
}

const GAP = '  '
/** Stands behind a difference that is significant. */
const MARK = '*'

/** One line per task, metric and model; differences from the first model with their intervals. */
export function evaluationTable(report: EvaluationReport, paint: Paint): string {
  const [first] = report.models
  const percent = Math.round(report.confidence * 100)
  const others = report.models.slice(1)
  const isCompared = others.length > 0
  const head = [
    'task',
    'rows',
    'metric',
    'model',
    'score',
    `${percent} % interval`,
    ...(isCompared ? ['difference', `${percent} % interval`, 'p'] : []),
  ]
  const lines: Cell[][] = [
    head.map((text, column) => ({
      text,
      style: 'bold',
      ...(column === 1 || column > 3 ? { isFigure: true as const } : {}),
    })),
  ]
  for (const { name, rowCount, metrics, fewshot } of report.tasks) {
    const task = fewshot ? `${name} (${fewshot.numFewshot}-shot)` : name
    let isFirst = true
    for (const { name: metric, higherIsBetter, scores, differences } of metrics) {
      for (const [place, { name: model }] of report.models.entries()) {
        const score = scores[model]
        if (score === undefined) continue
        const difference = model === first?.name ? undefined : differences[model]
        lines.push([
          { text: isFirst ? task : '' },
          { text: isFirst ? String(rowCount) : '', isFigure: true },
          { text: place === 0 ? `${metric} ${higherIsBetter ? '\u2191' : '\u2193'}` : '' },
          { text: model },
          ...scoreCells(score),
          ...(isCompared ? differenceCells(difference, higherIsBetter, 1 - report.confidence) : []),
        ])
        isFirst = false
      }
    }
  }
  const note = isCompared
    ? `${MARK} differs from ${first?.name} with p below ${Number((1 - report.confidence).toPrecision(6))}. `
    : ''
  return `${aligned(lines, paint)}\n${note}\u2191 more is better, \u2193 less is better; ${formatDuration(report.seconds)}\n`
}

function scoreCells({ value, low, high }: Score): Cell[] {
  return [
    { text: figure(value), isFigure: true },
    { text: interval(low, high), style: 'dim', isFigure: true },
  ]
}

function differenceCells(difference: ScoreDifference | undefined, higherIsBetter: boolean, level: number): Cell[] {
  if (difference === undefined || difference.value === null) return [{ text: '' }, { text: '' }, { text: '' }]
  const { value, low, high, pValue } = difference
  const isSure = pValue !== null && pValue < level
  const isBetter = value > 0 === higherIsBetter
  const style: Style = isBetter ? 'green' : 'red'
  const text = `${value > 0 ? '+' : ''}${figure(value)}${isSure ? MARK : ' '}`
  return [
    { text, ...(isSure && { style }), isFigure: true },
    { text: interval(low, high, true), style: 'dim', isFigure: true },
    { text: pValue === null ? '' : pValue < 0.001 ? '<0.001' : pValue.toFixed(3), style: 'dim', isFigure: true },
  ]
}

/** Four figures behind the point below 10, fewer above. */
function figure(value: number | null): string {
  if (value === null) return 'none'
  const digits = Math.abs(value) >= 1000 ? 1 : Math.abs(value) >= 10 ? 2 : 4
  return value.toFixed(digits)
}

function interval(low: number | null, high: number | null, signed = false): string {
  if (low === null || high === null) return ''
  const one = (value: number): string => `${signed && value > 0 ? '+' : ''}${figure(value)}`
  return `${one(low)} to ${one(high)}`
}

function aligned(given: readonly (readonly Cell[])[], paint: Paint): string {
  // A function of the user may call its scores as it likes.
  const lines = given.map((line) => line.map((cell) => ({ ...cell, text: harmless(cell.text) })))
  const widths = (given[0] as readonly Cell[]).map((_, column) =>
    Math.max(...lines.map((line) => textWidth(line[column]?.text ?? ''))),
  )
  return lines
    .map((line) =>
      line
        .map(({ text, style, isFigure }, column) => {
          const space = ' '.repeat((widths[column] as number) - textWidth(text))
          const shown = style === undefined || text === '' ? text : paint(style, text)
          return isFigure ? space + shown : shown + space
        })
        .join(GAP)
        .trimEnd(),
    )
    .join('\n')
}
