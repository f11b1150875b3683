/**
 * @file A call on its way, as text: its line of the journal, and its points as a request has them. Points come many
 * times a second. Each is written as text once, and the collector of garbage looks at strings where it would copy
 * dozens of values.
 */

import type { LogMetricsCall, MlflowCall } from './calls.js'
import { jsonNumber } from './limits.js'

/** Points of one step. */
export interface Points {
  readonly step: number
  readonly keys: readonly string[]
  /** Items of the list `metrics` of a request. */
  readonly text: string
}

/** A call on its way. */
export interface QueuedCall {
  /** The call as JSON. */
  readonly line: string
  /** Absent where the call logs no points. */
  readonly points?: Points
}

/** The call as it waits. */
export function queuedCall(call: MlflowCall): QueuedCall {
  if (call.call !== 'log-metrics') return { line: JSON.stringify(call) }
  const { fields, points } = textsOf(call)
  const { timestamp, step } = call
  return { line: `{"call":"log-metrics","timestamp":${timestamp},"step":${step},"metrics":{${fields}}}`, points }
}

/** The points of a call. */
export function pointsOf(call: LogMetricsCall): Points {
  return textsOf(call).points
}

/** The call that waits. */
export function parsedCall({ line }: QueuedCall): MlflowCall {
  return JSON.parse(line) as MlflowCall
}

/** Names as JSON: the same come with every step. */
const quotedNames = new Map<string, string>()
const MOST_NAMES = 10_000
/** The last list of keys, which steps have in common. */
let lastKeys: readonly string[] = []

/** The points as the journal has them, and as a request has them. */
function textsOf({ timestamp, step, metrics }: LogMetricsCall): { readonly fields: string; readonly points: Points } {
  const end = `,"timestamp":${timestamp},"step":${step}}`
  let fields = ''
  let text = ''
  for (const key in metrics) {
    const name = quoted(key)
    const value = valueText(metrics[key] as number | string)
    fields += fields === '' ? `${name}:${value}` : `,${name}:${value}`
    text += text === '' ? `{"key":${name},"value":${value}${end}` : `,{"key":${name},"value":${value}${end}`
  }
  return { fields, points: { step, keys: keysOf(metrics), text } }
}

function valueText(value: number | string): string {
  return Number.isFinite(value) ? `${value}` : JSON.stringify(typeof value === 'number' ? jsonNumber(value) : value)
}

function quoted(key: string): string {
  const known = quotedNames.get(key)
  if (known !== undefined) return known
  const name = JSON.stringify(key)
  if (quotedNames.size < MOST_NAMES) quotedNames.set(key, name)
  return name
}

function keysOf(metrics: LogMetricsCall['metrics']): readonly string[] {
  let at = 0
  for (const key in metrics) {
    if (lastKeys[at] !== key) {
      lastKeys = Object.keys(metrics)
      return lastKeys
    }
    at++
  }
  if (at !== lastKeys.length) lastKeys = Object.keys(metrics)
  return lastKeys
}
