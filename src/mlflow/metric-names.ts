/** @file The figures of events by the names that transformers gives them in MLflow, as JSON can hold them. */

import { evaluationFigures as evaluationNumbers, type Figures, logFigures as logNumbers } from '../trackers/figures.js'
import type { EvaluateEvent, LogEvent } from '../train/events.js'
import { jsonNumber, keyOf } from './limits.js'

type Metrics = Record<string, number | string>

/** `loss`, `learning_rate`, `grad_norm`, `epoch` and what else a log event tells. */
export function logFigures(event: LogEvent): Metrics {
  return metricsOf(logNumbers(event))
}

/** `eval_loss` and what else an evaluation tells. */
export function evaluationFigures(event: EvaluateEvent): Metrics {
  return metricsOf(evaluationNumbers(event))
}

/** Names that came before, by what they are in MLflow: the same come with every step. */
const keys = new Map<string, string>()
const MOST_KEYS = 10_000

function metricsOf(figures: Figures): Metrics {
  const metrics: Metrics = {}
  for (const name in figures) metrics[metricKey(name)] = jsonNumber(figures[name] as number)
  return metrics
}

function metricKey(name: string): string {
  const known = keys.get(name)
  if (known !== undefined) return known
  const key = keyOf(name)
  if (keys.size < MOST_KEYS) keys.set(name, key)
  return key
}
