/**
 * @file Shows a training run while it goes on: a bar below lines on a terminal, lines in a log file, JSON lines for
 * programs.
 */

import { boolean, callback, instance, number } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { TrainEvent } from '../train/events.js'
import { barOf, type EventLine, linesOf, type MovingEvent, movingLine } from './event-lines.js'
import { LossChart } from './loss-chart.js'
import { type Bar, renderBar } from './progress-bar.js'
import { createStatusLine } from './status-line.js'
import { isScreen, type Output, paintFor } from './terminal.js'
import { breakLine, harmless } from './text-width.js'

export interface ProgressOptions {
  /**
   * Where bar and lines go.
   * @default process.stderr, so that stdout holds results only
   */
  stream?: Output
  /**
   * Write every event as a line of JSON to `jsonStream`, and nothing else.
   * @default false
   */
  json?: boolean
  /**
   * Where the lines of JSON go.
   * @default process.stdout
   */
  jsonStream?: Output
  /**
   * Without a terminal: seconds between two lines of a download, of rows that are encoded or of an evaluation.
   * @default 10
   */
  intervalSeconds?: number
  /**
   * On a terminal: least seconds between two drawings of the bar.
   * @default 0.05
   */
  redrawSeconds?: number
  /**
   * On a terminal of at least 50 columns and 16 rows: a chart of the loss above the bar.
   * @default true
   */
  chart?: boolean
  /**
   * A clock in milliseconds, for tests.
   * @default performance.now
   */
  now?: () => number
}

const SECONDS = number({ min: 0 })
const STREAM = instance(
  'a stream that can be written to',
  (value) => typeof value === 'object' && value !== null && 'write' in value,
)

/** The options of `createProgress`. */
export const PROGRESS_OPTIONS = {
  stream: {
    rule: STREAM,
    otherwise: 'process.stderr, so that stdout holds results only',
    help: 'where bar and lines go',
  },
  json: { rule: boolean, default: false, help: 'write every event as a line of JSON to jsonStream, and nothing else' },
  jsonStream: { rule: STREAM, otherwise: 'process.stdout', help: 'where the lines of JSON go' },
  intervalSeconds: {
    rule: SECONDS,
    default: 10,
    help: 'without a terminal: seconds between two lines of a download, of rows that are encoded or of an evaluation',
  },
  redrawSeconds: { rule: SECONDS, default: 0.05, help: 'on a terminal: least seconds between two drawings of the bar' },
  chart: {
    rule: boolean,
    default: true,
    help: 'on a terminal of at least 50 columns and 16 rows: a chart of the loss above the bar',
  },
  now: { rule: callback, otherwise: 'performance.now', help: 'a clock in milliseconds, for tests' },
} as const satisfies OptionTable<ProgressOptions>

/** A callback of `trainLora`: give it as `callbacks: [createProgress()]`, or its `onEvent` alone. */
export interface ProgressDisplay extends TrainCallback {
  readonly onEvent: (event: TrainEvent) => void
  /** A line of the caller's own, above the bar. With `json` it goes to stderr. */
  print(text: string): void
  /** Removes the bar, whether or not the run came to its end. */
  stop(): void
}

/** Bytes for a reader who is slow to take them; beyond that events that only move a bar are left out. */
const MOST_BACKLOG = 8 * 2 ** 20

export function createProgress(options: ProgressOptions = {}): ProgressDisplay {
  const resolved = readOptions('progress', options, PROGRESS_OPTIONS)
  const { stream = process.stderr, json, jsonStream = process.stdout, intervalSeconds, now } = resolved
  if (json) return jsonDisplay(jsonStream, stream)
  return isScreen(stream) ? barDisplay(stream, resolved) : lineDisplay(stream, intervalSeconds, now)
}

function jsonDisplay(jsonStream: Output, stream: Output): ProgressDisplay {
  return {
    name: 'progress',
    onEvent: (event) => {
      const isNeeded = event.type === 'save' || event.type === 'fail' || linesOf(event).length > 0
      if (isNeeded || (jsonStream.writableLength ?? 0) < MOST_BACKLOG) jsonStream.write(`${JSON.stringify(event)}\n`)
    },
    print: (text) => void stream.write(`${harmless(text)}\n`),
    stop: () => {},
  }
}

function lineDisplay(
  stream: Output,
  intervalSeconds: number,
  now: () => number = () => performance.now(),
): ProgressDisplay {
  const paint = paintFor(stream)
  // What is moving, and when it was last told of: what takes less than the interval has no line but that of its end.
  let moving: string | undefined
  let told = 0
  const print = ({ text, style }: EventLine): void => {
    for (const line of harmless(text)
      .split('\n')
      .flatMap((line) => breakLine(line)))
      stream.write(`${style ? paint(style, line) : line}\n`)
  }
  return {
    name: 'progress',
    onEvent: (event) => {
      const lines = linesOf(event)
      for (const line of lines) print(line)
      if (lines.length > 0 || !isMoving(event)) {
        moving = undefined
        return
      }
      const begins = moving !== event.type
      const isDue = begins ? event.type === 'download' : now() - told >= intervalSeconds * 1000
      if (begins || isDue) told = now()
      if (isDue) print({ text: movingLine(event) })
      moving = event.type
    },
    print: (text) => print({ text }),
    stop: () => {},
  }
}

/** A bar alone, on a terminal; nothing elsewhere. What its label says is the work that it shows. */
export function createBar(stream: Output = process.stderr): { show(bar: Bar): void; close(): void } {
  if (!isScreen(stream)) return { show: () => {}, close: () => {} }
  const paint = paintFor(stream)
  const status = createStatusLine(stream, PROGRESS_OPTIONS.redrawSeconds.default)
  let label: string | undefined
  return {
    show(bar) {
      // Another work is seen at once, however short it is.
      if (bar.label.text !== label) status.show(undefined)
      label = bar.label.text
      status.show((columns) => renderBar(bar, columns, paint))
    },
    close: status.close,
  }
}

function barDisplay(
  stream: Output,
  { redrawSeconds, chart }: { readonly redrawSeconds: number; readonly chart: boolean },
): ProgressDisplay {
  const paint = paintFor(stream)
  const status = createStatusLine(stream, redrawSeconds)
  const print = ({ text, style }: EventLine): void =>
    status.print(harmless(text), style && ((line) => paint(style, line)))
  const loss = chart ? new LossChart() : undefined
  const show = (bar: Bar | undefined): void =>
    status.show(
      bar &&
        ((columns) =>
          [...(loss?.lines(columns, stream.getWindowSize?.()[1], paint) ?? []), renderBar(bar, columns, paint)].join(
            '\n',
          )),
    )
  // What the status returns to when rows are encoded, or held-out rows are scored.
  let below: Bar | undefined
  return {
    name: 'progress',
    onEvent: (event) => {
      const bar = barOf(event)
      if (event.type === 'step') loss?.add(event.step, event.loss)
      if (event.type === 'evaluate') loss?.addEvaluation(event.step, event.loss)
      if (event.type === 'load' || event.type === 'start' || event.type === 'step') below = bar
      if (event.type === 'end' || event.type === 'fail') below = undefined
      const lines = linesOf(event)
      // The end of what was moving: its bar goes before its line comes.
      if (!isMoving(event) || lines.length > 0) show(below)
      for (const line of lines) print(line)
      if (bar && lines.length === 0) show(bar)
    },
    print: (text) => print({ text }),
    stop: () => status.close(),
  }
}

function isMoving(event: TrainEvent): event is MovingEvent {
  return event.type === 'download' || event.type === 'prepare' || event.type === 'evaluating'
}
