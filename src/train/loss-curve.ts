/** @file The loss of a run in a few characters and a short table, for its card. */

import { markdownTable } from '../hub/card-text.js'
import type { EvaluateEvent, LogEvent } from './events.js'

const BARS = '▁▂▃▄▅▆▇█'
const MOST_COLUMNS = 60
const MOST_ROWS = 12

/** The section of the card; undefined for a run that logged nothing. */
export function lossSection(events: readonly (LogEvent | EvaluateEvent)[]): string | undefined {
  const logs = events.filter((event) => event.type === 'log')
  const evaluations = events.filter((event) => event.type === 'evaluate')
  if (logs.length === 0) return undefined
  const lines = [
    ['Training loss', logs],
    ['Held-out loss', evaluations],
  ] as const
  const curves = lines.flatMap(([name, points]) => {
    const line = sparkline(points.map(({ loss }) => loss))
    return line === undefined ? [] : [`${name.padEnd(13)}  ${line}`]
  })
  const drawn = curves.length === 0 ? '' : `\`\`\`text\n${curves.join('\n')}\n\`\`\`\n\n`
  return `## Loss

${drawn}${lossTable(logs, evaluations)}
`
}

/**
 * A curve in one line, from the first value to the last; what is not finite leaves a gap. Undefined for fewer than two
 * values.
 */
export function sparkline(values: readonly (number | null)[]): string | undefined {
  // A loss that is not finite is null in a log.
  const finite = values.filter((value) => value !== null && Number.isFinite(value))
  if (finite.length < 2) return undefined
  const columns = Math.min(MOST_COLUMNS, values.length)
  const means = Array.from({ length: columns }, (_, column) => {
    const start = Math.floor((column * values.length) / columns)
    const end = Math.floor(((column + 1) * values.length) / columns)
    const known = values.slice(start, end).filter((value) => value !== null && Number.isFinite(value)) as number[]
    return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0) / known.length
  })
  const known = means.filter((mean) => mean !== undefined)
  const low = Math.min(...known)
  const high = Math.max(...known)
  const bar = (mean: number | undefined): string => {
    if (mean === undefined) return ' '
    const height = high === low ? 0 : (mean - low) / (high - low)
    return BARS.charAt(Math.min(BARS.length - 1, Math.floor(height * BARS.length)))
  }
  const shown = (value: number | null | undefined): string => figure(value ?? null)
  return `${shown(values[0])} ${means.map(bar).join('')} ${shown(values.at(-1))}`
}

/** Where held-out rows were scored each such step is a row, as in the cards of transformers; else each log event. */
function lossTable(logs: readonly LogEvent[], evaluations: readonly EvaluateEvent[]): string {
  if (evaluations.length > 0) {
    const rows = spread(evaluations).map(({ step, epoch, loss }) => {
      const log = logs.filter((entry) => entry.step <= step).at(-1)
      return [String(step), epoch.toFixed(2), figure(log?.loss ?? null), figure(loss)]
    })
    return markdownTable(['Step', 'Epoch', 'Training loss', 'Held-out loss'], rows)
  }
  const rows = spread(logs).map(({ step, epoch, loss, learningRate }) => [
    String(step),
    epoch.toFixed(2),
    figure(loss),
    learningRate.toPrecision(3),
  ])
  return markdownTable(['Step', 'Epoch', 'Training loss', 'Learning rate'], rows)
}

/** As many of them as a table has rows, the first and the last among them. */
export function spread<T>(all: readonly T[]): T[] {
  if (all.length <= MOST_ROWS) return [...all]
  return Array.from({ length: MOST_ROWS }, (_, row) => all[Math.round((row * (all.length - 1)) / (MOST_ROWS - 1))] as T)
}

function figure(value: number | null): string {
  return value === null || !Number.isFinite(value) ? '-' : value.toFixed(4)
}
