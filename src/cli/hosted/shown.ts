/** @file What hosted commands show of events: a bar on a terminal, lines elsewhere, JSON for programs. */

import type { HostedEvent } from '../../hosted/events.js'
import { renderBar } from '../../progress/progress-bar.js'
import { createStatusLine } from '../../progress/status-line.js'
import { formatFigure, isScreen, paintFor } from '../../progress/terminal.js'
import { harmless } from '../../progress/text-width.js'

/** Shows events while something goes on. */
export interface ShownEvents {
  readonly onEvent: (event: HostedEvent) => void
  close(): void
}

const REDRAW_SECONDS = 0.05

/** @param json Whether each event is a line of JSON on stdout. */
export function showEvents(what: string, json: boolean): ShownEvents {
  const { stderr, stdout } = process
  if (json) return { onEvent: (event) => void stdout.write(`${JSON.stringify(event)}\n`), close: () => {} }
  if (!isScreen(stderr)) {
    return {
      onEvent: (event) => {
        const line = lineOf(event)
        if (line !== undefined) stderr.write(`${harmless(line)}\n`)
      },
      close: () => {},
    }
  }
  const status = createStatusLine(stderr, REDRAW_SECONDS)
  const paint = paintFor(stderr)
  const begin = performance.now()
  let state = 'checking rows'
  let fraction: number | undefined
  const draw = (): void => {
    const seconds = Math.floor((performance.now() - begin) / 1000)
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
    const bar = {
      label: { text: what, importance: 3 },
      fraction,
      parts: [
        { text: state, importance: 2 },
        { text: time, importance: 1 },
      ],
    }
    status.show((columns) => renderBar(bar, columns, paint))
  }
  const timer = setInterval(draw, 1000).unref()
  return {
    onEvent: (event) => {
      const line = lineOf(event)
      if (line !== undefined) status.print(harmless(line))
      if (event.type === 'status') state = `${event.of} ${event.serviceStatus}`
      const total = event.type === 'figures' ? event.figures.total_steps : undefined
      if (event.type === 'figures' && total !== undefined && total > 0) fraction = Math.min(1, event.step / total)
      draw()
    },
    close: () => {
      clearInterval(timer)
      status.close()
    },
  }
}

/** Undefined: it is told where the command ends. */
function lineOf(event: HostedEvent): string | undefined {
  switch (event.type) {
    case 'warning':
      return `Warning: ${event.message}`
    case 'plan': {
      const { train, validation, trainedTokens, cost } = event
      const held = validation ? `, ${validation.rows} to evaluate with` : ''
      const tokens = trainedTokens === null ? `${train.tokens} tokens a pass` : `${trainedTokens} tokens in all`
      const price = cost === null ? 'no price was given' : `about ${formatFigure(cost)} by the price given`
      return `Rows: ${train.rows}${held}; ${tokens} (${train.tokensAre}); ${price}`
    }
    case 'upload':
      return `${event.isReused ? 'Found' : 'Uploaded'} ${event.id} (${event.bytes} bytes)`
    case 'status':
      return `The ${event.of} ${event.id}: ${event.serviceStatus}`
    case 'message':
      return event.message
    case 'figures':
      return `Step ${event.step}: ${Object.entries(event.figures)
        .filter(([name]) => name !== 'total_steps')
        .map(([name, value]) => `${name} ${formatFigure(value)}`)
        .join(', ')}`
    case 'checkpoint':
      return `Checkpoint ${event.step === null ? event.id : `at step ${event.step}`}: ${event.model}`
    case 'end':
    case 'fail':
      return undefined
    default:
      return event satisfies never
  }
}
