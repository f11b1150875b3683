/** @file log.jsonl as a report reads it: while its run goes on, with a last line that is cut, and from any version. */

import { isPlainObject } from '../values.js'

/** What a line says of a step. Figures by their names; null where one is no finite number. */
export interface LoggedStep {
  readonly step: number
  readonly epoch: number | null
  readonly figures: Readonly<Record<string, number | null>>
}

/** An answer to a prompt that a run asks at each evaluation. */
export interface SampleAnswer {
  readonly step: number
  readonly prompt: string
  readonly text: string
}

/** What a log says. */
export interface RunLogLines {
  /** Means of the steps since the last: loss, learningRate, gradNorm and so on, by step. */
  readonly steps: readonly LoggedStep[]
  /** Scores of the evaluations, as transformers names them: eval_loss, eval_NAME_loss, eval_TASK_METRIC. */
  readonly evaluations: readonly LoggedStep[]
  readonly answers: readonly SampleAnswer[]
  /** Lines that say nothing that is understood, but for a last one that is being written. */
  readonly badLines: number
}

const POSITION = new Set(['step', 'totalSteps', 'epoch', 'etaSeconds', 'skippedSteps'])
/** What an evaluation cost, which is none of its scores. */
const EFFORT = new Set(['seconds', 'tokens', 'rows'])

/** Reads the text of a log. Lines that were written twice, as after a resume, count once: the last one holds. */
export function readLogLines(text: string): RunLogLines {
  const steps = new Map<number, LoggedStep>()
  const evaluations = new Map<number, LoggedStep>()
  const answers = new Map<string, SampleAnswer>()
  let badLines = 0
  const lines = text.split('\n')
  lines.forEach((line, at) => {
    if (line.trim() === '') return
    const event = parsed(line)
    if (event === undefined) {
      // A process that was killed leaves half a line, and one that writes may be half way through its line.
      if (at < lines.length - 1) badLines++
      return
    }
    const { type, step, epoch } = event
    const place = { step, epoch: typeof epoch === 'number' ? epoch : null }
    if (type === 'log') steps.set(step, { ...place, figures: stepFigures(event) })
    else {
      evaluations.set(step, { ...place, figures: evaluationFigures(event) })
      for (const answer of answersOf(event)) answers.set(`${step} ${answer.prompt}`, answer)
    }
  })
  const inOrder = (by: Map<number, LoggedStep>): LoggedStep[] => [...by.values()].sort((a, b) => a.step - b.step)
  return {
    steps: inOrder(steps),
    evaluations: inOrder(evaluations),
    answers: [...answers.values()].sort((a, b) => a.step - b.step),
    badLines,
  }
}

interface Line extends Record<string, unknown> {
  readonly type: 'log' | 'evaluate'
  readonly step: number
}

function parsed(line: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (!isPlainObject(value) || !Number.isSafeInteger(value.step)) return undefined
    return value.type === 'log' || value.type === 'evaluate' ? (value as Line) : undefined
  } catch {
    // Not JSON.
    return undefined
  }
}

function stepFigures(event: Line): Record<string, number | null> {
  const memory = Object.entries(numbersOf(event.memory, new Set())).map(([name, value]) => [`memory ${name}`, value])
  return { ...numbersOf(event, POSITION), ...numbersOf(event.figures, new Set()), ...Object.fromEntries(memory) }
}

/** Early versions have no `metrics`: then the scores stand on the line itself. */
function evaluationFigures(event: Line): Record<string, number | null> {
  if (isPlainObject(event.metrics)) {
    const scores = numbersOf(event.metrics, new Set())
    return typeof event.perplexity === 'number' ? { eval_perplexity: event.perplexity, ...scores } : scores
  }
  const own = { ...numbersOf(event, new Set([...POSITION, ...EFFORT])), ...numbersOf(event.figures, new Set()) }
  return Object.fromEntries(Object.entries(own).map(([name, value]) => [`eval_${name}`, value]))
}

/** The numbers of an object, and nulls, which stand for numbers that are not finite. */
function numbersOf(value: unknown, leftOut: ReadonlySet<string>): Record<string, number | null> {
  if (!isPlainObject(value)) return {}
  const numbers = Object.entries(value).filter(
    (entry): entry is [string, number | null] =>
      (typeof entry[1] === 'number' || entry[1] === null) && !leftOut.has(entry[0]),
  )
  return Object.fromEntries(numbers)
}

function answersOf({ step, samples }: Line): SampleAnswer[] {
  if (!Array.isArray(samples)) return []
  return samples.flatMap((sample) => {
    if (!isPlainObject(sample) || typeof sample.prompt !== 'string' || typeof sample.text !== 'string') return []
    return [{ step, prompt: sample.prompt, text: sample.text }]
  })
}
