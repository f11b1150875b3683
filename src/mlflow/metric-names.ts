/** @file The figures of events by the names that transformers gives them in MLflow. */

import { snakeCase } from '../options/spelling.js'
import type { EvaluateEvent, LogEvent } from '../train/events.js'
import { jsonNumber, keyOf } from './limits.js'

type Figures = Record<string, number | string>

/** `loss`, `learning_rate`, `grad_norm`, `epoch` and what else a log event tells. */
export function logFigures(event: LogEvent): Figures {
  const { loss, learningRate, gradNorm, epoch, lossScale, skippedSteps, tokensPerSecond, numInputTokensSeen } = event
  return {
    loss: jsonNumber(loss),
    learning_rate: jsonNumber(learningRate),
    grad_norm: jsonNumber(gradNorm),
    epoch: jsonNumber(epoch),
    tokens_per_second: jsonNumber(tokensPerSecond),
    num_input_tokens_seen: numInputTokensSeen,
    ...(lossScale !== undefined && { loss_scale: lossScale }),
    ...(skippedSteps !== undefined && { skipped_steps: skippedSteps }),
    ...named(event.figures, ''),
  }
}

/** `eval_loss` and what else an evaluation tells. */
export function evaluationFigures({ loss, perplexity, seconds, tokens, figures }: EvaluateEvent): Figures {
  return {
    eval_loss: jsonNumber(loss),
    ...(perplexity !== undefined && { eval_perplexity: jsonNumber(perplexity) }),
    eval_runtime: seconds,
    eval_tokens: tokens,
    ...named(figures, 'eval_'),
  }
}

/** Names that came before, by what they are in MLflow: the same come with every step. */
const keys = new Map<string, string>()
const MOST_KEYS = 10_000

function named(figures: Readonly<Record<string, number>> = {}, prefix: string): Figures {
  const found: Figures = {}
  for (const [name, value] of Object.entries(figures)) found[metricKey(prefix + name)] = jsonNumber(value)
  return found
}

function metricKey(name: string): string {
  const known = keys.get(name)
  if (known !== undefined) return known
  const key = keyOf(snakeCase(name))
  if (keys.size < MOST_KEYS) keys.set(name, key)
  return key
}
