/**
 * @file Calls on their way, as text: their lines of the journal, and their points as a request has them. Points come
 * many times a second. Those of some steps become text together, both texts at once, and wait as bytes: the collector
 * of garbage has nothing to look at.
 */

import { logFigures } from '../trackers/figures.js'
import type { LogEvent } from '../train/events.js'
import type { LogMetricsCall, MlflowCall } from './calls.js'
import { jsonNumber, keyOf } from './limits.js'

/** A log event whose figures are not taken out yet: it waits as it is, which takes next to no time in a step. */
export interface LoggedEvent {
  readonly call: 'log-event'
  readonly timestamp: number
  readonly event: LogEvent
  /** Figures of the machine. */
  readonly system: Readonly<Record<string, number>> | undefined
}

/** What happened. */
export type PushedCall = MlflowCall | LoggedEvent

/** Points of one step. */
export interface Points {
  readonly call: 'log-metrics'
  readonly step: number
  readonly keys: readonly string[]
  /** Where their text lies: items of the list `metrics` of a request, each with a comma behind it. */
  readonly text: { readonly bytes: Buffer }
  readonly start: number
  readonly end: number
}

/** A call on its way. */
export type QueuedCall = Exclude<MlflowCall, LogMetricsCall> | Points

/** Whether a call logs points, which may wait. */
export function hasPoints(call: PushedCall): call is LogMetricsCall | LoggedEvent {
  return call.call === 'log-event' || call.call === 'log-metrics'
}

/**
 * Makes text of calls.
 * @returns the calls as they wait, and their lines of the journal
 */
export function queuedCalls(calls: readonly PushedCall[]): { readonly queued: QueuedCall[]; readonly lines: string } {
  const queued: QueuedCall[] = []
  const text = { bytes: NOTHING }
  let lines = ''
  let points = ''
  const figuresOfCalls = calls.map((call) => (hasPoints(call) ? figuresOf(call) : {}))
  const texts = textsOf(figuresOfCalls)
  let at = 0
  let index = 0
  for (const call of calls) {
    const figures = figuresOfCalls[index++] as Values
    if (!hasPoints(call)) {
      lines += `${JSON.stringify(call)}\n`
      queued.push(call)
      continue
    }
    const { timestamp } = call
    const step = call.call === 'log-event' ? call.event.step : call.step
    const { parts, keys } = namesOf(figures)
    const end = `,"timestamp":${timestamp},"step":${step}},`
    const start = points.length
    let fields = ''
    for (const { name, point, field, isShadowed } of parts) {
      let value = texts[at++] as string
      if (isShadowed) continue
      if (value === 'null') value = nonNumber(figures[name] as number | string)
      points += point + value + end
      fields += fields === '' ? field + value : `,${field}${value}`
    }
    lines += `{"call":"log-metrics","timestamp":${timestamp},"step":${step},"metrics":{${fields}}}\n`
    queued.push({ call: 'log-metrics', step, keys, text, start, end: points.length })
  }
  // Keys and numbers are ASCII.
  if (points !== '') text.bytes = Buffer.from(points, 'latin1')
  return { queued, lines }
}

/** The points of some keys alone. */
export function pointsOfKeys({ text, start, end, ...points }: Points, keys: readonly string[]): Points {
  const items = JSON.parse(`[${text.bytes.toString('latin1', start, end - 1)}]`) as { readonly key: string }[]
  const kept = items.filter(({ key }) => keys.includes(key))
  const bytes = Buffer.from(kept.map((item) => `${JSON.stringify(item)},`).join(''), 'latin1')
  return { ...points, keys, text: { bytes }, start: 0, end: bytes.length }
}

const NOTHING = Buffer.alloc(0)

/** A name as texts have it. */
interface Part {
  readonly name: string
  /** What stands before the value in a request. */
  readonly point: string
  /** What stands before the value in a line. */
  readonly field: string
  /** Whether a later name has the same key. */
  readonly isShadowed: boolean
}

interface Names {
  readonly parts: readonly Part[]
  readonly keys: readonly string[]
}

type Values = Readonly<Record<string, number | string>>

/** The names of the last points, which the next ones have as well. */
let lastNames: Names = { parts: [], keys: [] }

function namesOf(values: Values): Names {
  const { parts } = lastNames
  let at = 0
  for (const name in values) if (parts[at++]?.name !== name) return newNames(values)
  return at === parts.length ? lastNames : newNames(values)
}

function newNames(values: Values): Names {
  const names = Object.keys(values)
  const last = new Map(names.map((name) => [keyOf(name), name]))
  const parts = names.map((name) => {
    const key = keyOf(name)
    const quoted = JSON.stringify(key)
    return { name, point: `{"key":${quoted},"value":`, field: `${quoted}:`, isShadowed: last.get(key) !== name }
  })
  lastNames = { parts, keys: [...last.keys()] }
  return lastNames
}

function figuresOf(call: LogMetricsCall | LoggedEvent): Values {
  if (call.call === 'log-metrics') return call.metrics
  const figures = logFigures(call.event)
  return call.system === undefined ? figures : { ...figures, ...call.system }
}

/**
 * All values as JSON, `null` for what is no number there. One text of them is split, as V8 makes it without its cache
 * of the texts of numbers: looking there takes longer than to write the number.
 */
function textsOf(all: readonly Values[]): string[] {
  const values: number[] = []
  for (const figures of all)
    for (const name in figures) {
      const value = figures[name]
      values.push(typeof value === 'number' ? value : Number.NaN)
    }
  return JSON.stringify(values).slice(1, -1).split(',')
}

function nonNumber(value: number | string): string {
  return JSON.stringify(typeof value === 'number' ? jsonNumber(value) : value)
}
