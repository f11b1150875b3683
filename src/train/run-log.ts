/**
 * @file log.jsonl of a run: a line for every log event and every evaluation. A run that goes on from a checkpoint
 * continues the log after the lines up to it; what cannot be written stays in memory for the next try.
 *
 * Log events that come within 50 ms are written together: a write for each took 4 % of a run of a thousand steps a
 * second. Evaluations are written at once, as is what waits when a checkpoint is made, the run ends or the process
 * does. A signal that ends the process takes the lines of the last 50 ms at most, and never one of before a checkpoint.
 */

import { closeSync, fstatSync, ftruncateSync, writeSync } from 'node:fs'
import { writeFileAtomic } from '../atomic-write.js'
import { openForAppending, readRegularFile } from '../regular-file.js'
import type { EvaluateEvent, LogEvent, SampledAnswer } from './events.js'

export const LOG_FILE = 'log.jsonl'

/** The file of the answers to sample prompts: a line for each evaluation. */
export const SAMPLES_FILE = 'samples.jsonl'

/** A line of samples.jsonl. */
export interface SampledLine {
  readonly type: 'samples'
  readonly step: number
  readonly epoch: number
  readonly samples: readonly SampledAnswer[]
}

export type LoggedEvent = LogEvent | EvaluateEvent

/** Milliseconds between two writes of log events. */
const WRITE_PACE = 50

export class RunLog<Line extends LoggedEvent | SampledLine = LoggedEvent> {
  readonly #path: string
  readonly #warn: (message: string) => void
  /** What is known to be complete; a write that was cut short left more. */
  #bytes: number
  #waiting = ''
  /** Lines that are no text yet. */
  #late: Line[] = []
  #timer: NodeJS.Timeout | undefined
  #writtenAt = Number.NEGATIVE_INFINITY
  readonly #flush = (): void => this.flush()
  #hasWarned = false
  /** All lines by type and step: an evaluation that is made again after a resume is not logged again. */
  readonly #lines: Map<string, Line>

  private constructor(path: string, bytes: number, lines: Map<string, Line>, warn: (message: string) => void) {
    this.#path = path
    this.#bytes = bytes
    this.#lines = lines
    this.#warn = warn
  }

  /**
   * Begins the log with the lines of another one up to a step.
   * @param from the log of the run that is continued, where one is
   * @param warn is told once when the log cannot be written; the run goes on
   */
  static async open<Line extends LoggedEvent | SampledLine = LoggedEvent>(
    path: string,
    { from, step }: { from: string | undefined; step: number },
    warn: (message: string) => void,
  ): Promise<RunLog<Line>> {
    const lines: Map<string, Line> = from === undefined ? new Map() : await linesUpTo<Line>(from, step)
    const text = [...lines.values()].map((line) => `${JSON.stringify(line)}\n`).join('')
    try {
      await writeFileAtomic(path, text)
      return new RunLog(path, Buffer.byteLength(text), lines, warn)
    } catch (error) {
      const log = new RunLog(path, 0, lines, warn)
      log.#waiting = text
      log.#fail(error)
      return log
    }
  }

  /** The last line of a type, before a resume too. */
  last<Type extends Line['type']>(type: Type): Extract<Line, { type: Type }> | undefined {
    let last: Line | undefined
    for (const line of this.#lines.values()) if (line.type === type) last = line
    return last as Extract<Line, { type: Type }> | undefined
  }

  /** All lines in order, of before a resume too. */
  events(): Line[] {
    return [...this.#lines.values()]
  }

  /** Never throws. */
  append(event: Line): void {
    const key = keyOf(event)
    if (this.#lines.has(key)) return
    this.#lines.set(key, event)
    this.#late.push(event)
    // A busy process has no turn for timers: the clock decides as well.
    if (event.type !== 'log' || performance.now() - this.#writtenAt >= WRITE_PACE) this.flush()
    else if (this.#timer === undefined) {
      this.#timer = setTimeout(this.#flush, WRITE_PACE).unref()
      process.once('exit', this.#flush)
    }
  }

  /** Writes what waits, and what an earlier try could not. Never throws. */
  flush(): void {
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer)
      this.#timer = undefined
      process.off('exit', this.#flush)
    }
    for (const line of this.#late) this.#waiting += `${JSON.stringify(line)}\n`
    this.#late = []
    if (this.#waiting === '') return
    this.#writtenAt = performance.now()
    try {
      const file = openForAppending(this.#path)
      try {
        const { size } = fstatSync(file)
        if (size !== this.#bytes) ftruncateSync(file, Math.min(size, this.#bytes))
        const bytes = Buffer.from(this.#waiting)
        for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
        this.#bytes = Math.min(size, this.#bytes) + bytes.length
        this.#waiting = ''
      } finally {
        closeSync(file)
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    this.#warn(
      `[train] ${this.#path} cannot be written: ${(error as Error).message}; the run goes on, and writes it as soon as that is possible`,
    )
  }
}

/** The log events and evaluations of a log up to a step, in their order; none where there is no log. */
export async function readLoggedEvents(path: string, step: number): Promise<LoggedEvent[]> {
  return [...(await linesUpTo<LoggedEvent>(path, step)).values()]
}

/** What the whole lines of a log say of steps up to `step`; nothing where there is no log. */
async function linesUpTo<Line extends LoggedEvent | SampledLine>(
  path: string,
  step: number,
): Promise<Map<string, Line>> {
  const lines = new Map<string, Line>()
  const text = (await readRegularFile(path, { where: 'train' }).catch(() => undefined))?.toString() ?? ''
  for (const line of text.split('\n')) {
    const event = parsed<Line>(line)
    if (event && event.step <= step && !lines.has(keyOf(event))) lines.set(keyOf(event), event)
  }
  return lines
}

/**
 * What a line says; undefined for half a line, as a process leaves that was killed, and for what is no line of a log.
 */
function parsed<Line extends LoggedEvent | SampledLine>(line: string): Line | undefined {
  try {
    const value = JSON.parse(line) as Line | null
    if (
      (value?.type === 'log' || value?.type === 'evaluate' || value?.type === 'samples') &&
      Number.isSafeInteger(value.step)
    )
      return value
  } catch {
    // Not JSON.
  }
  return undefined
}

function keyOf({ type, step }: LoggedEvent | SampledLine): string {
  return `${type} ${step}`
}
