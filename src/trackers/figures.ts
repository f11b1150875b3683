/** @file The figures of events by the names that transformers gives them in its logs, as every tracker has them. */

import { snakeCase } from '../options/spelling.js'
import type { EndEvent, EvaluateEvent, LogEvent } from '../train/events.js'

/** Figures by name; they may be NaN or infinite. */
export type Figures = Record<string, number>

/** `loss`, `learning_rate`, `grad_norm`, `epoch` and what else a log event tells. */
export function logFigures(event: LogEvent): Figures {
  const { lossScale, skippedSteps } = event
  const figures: Figures = {
    loss: asNumber(event.loss),
    learning_rate: asNumber(event.learningRate),
    grad_norm: asNumber(event.gradNorm),
    epoch: asNumber(event.epoch),
    tokens_per_second: asNumber(event.tokensPerSecond),
    num_input_tokens_seen: event.numInputTokensSeen,
  }
  if (lossScale !== undefined) figures.loss_scale = lossScale
  if (skippedSteps !== undefined) figures.skipped_steps = skippedSteps
  addNamed(figures, event.figures, '')
  for (const layer in event.gradNorms) figures[`grad_norm/${layer}`] = asNumber(event.gradNorms[layer] as number)
  addMemory(figures, event.memory)
  return figures
}

/** `eval_loss` and what else an evaluation tells. */
export function evaluationFigures(event: EvaluateEvent): Figures {
  const { perplexity, metrics = {} } = event
  const figures: Figures = {}
  // Tasks alone have no loss.
  if (event.metrics === undefined || Number.isFinite(event.loss)) figures.eval_loss = asNumber(event.loss)
  if (perplexity !== undefined) figures.eval_perplexity = asNumber(perplexity)
  figures.eval_runtime = event.seconds
  figures.eval_tokens = event.tokens
  addNamed(figures, event.figures, 'eval_')
  const told = new Set(Object.keys(event.figures ?? {}).map((name) => `eval_${name}`))
  for (const name in metrics) if (!told.has(name)) figures[name] = asNumber(metrics[name] as number | null)
  return figures
}

/** The figures of either. */
export function figuresOf(event: LogEvent | EvaluateEvent): Figures {
  return event.type === 'log' ? logFigures(event) : evaluationFigures(event)
}

/** `train_loss` and `train_runtime` of the whole run; nothing where it made no step. */
export function endFigures({ loss, seconds }: EndEvent): Figures {
  return loss === undefined ? {} : { train_loss: asNumber(loss), train_runtime: seconds }
}

function addMemory(figures: Figures, memory: LogEvent['memory']): void {
  if (memory === undefined) return
  figures.memory_process_rss = memory.processRss
  figures.memory_device_live = memory.deviceLive
  figures.memory_device_peak = memory.devicePeak
}

/** What an event was that is read from a file: JSON has null for what is no finite number. */
function asNumber(value: number | null): number {
  return value ?? Number.NaN
}

/** Names that came before, as logs have them: the same come with every step. */
const spelled = new Map<string, string>()
const MOST_NAMES = 10_000

function addNamed(to: Figures, named: Readonly<Record<string, number>> | undefined, prefix: string): void {
  if (named === undefined) return
  for (const name in named) to[prefix + spelledName(name)] = asNumber(named[name] as number)
}

function spelledName(name: string): string {
  const known = spelled.get(name)
  if (known !== undefined) return known
  const spelling = snakeCase(name)
  if (spelled.size < MOST_NAMES) spelled.set(name, spelling)
  return spelling
}
