/**
 * @file A call on its way. Log events come many times a second: one waits as it is, which takes next to no time in a
 * step, and many become text together.
 */

import type { LogEvent } from '../train/events.js'
import type { LogMetricsCall, MlflowCall } from './calls.js'
import { logFigures } from './metric-names.js'

/** A log event whose figures are not taken out yet. */
export interface LoggedEvent {
  readonly call: 'log-event'
  readonly timestamp: number
  readonly event: LogEvent
  /** Figures of the machine. */
  readonly system: Readonly<Record<string, number>> | undefined
}

/** A call on its way. */
export type QueuedCall = MlflowCall | LoggedEvent

/** Whether a call logs points, which may wait and go together. */
export function hasPoints(queued: QueuedCall): queued is LogMetricsCall | LoggedEvent {
  return queued.call === 'log-event' || queued.call === 'log-metrics'
}

/** The call as journals and servers have it. */
export function callOf<Call extends MlflowCall>(queued: Call | LoggedEvent): Call | LogMetricsCall {
  if (queued.call !== 'log-event') return queued as Call
  const { timestamp, event, system } = queued as LoggedEvent
  const figures = logFigures(event)
  return {
    call: 'log-metrics',
    timestamp,
    step: event.step,
    metrics: system === undefined ? figures : { ...figures, ...system },
  }
}
