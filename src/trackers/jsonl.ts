/**
 * @file The JSON Lines tracker: a line for the start of a run with its options, every log event, every evaluation and
 * the end.
 *
 * 1. Every line has `event` and `time`, those of figures `step` and `epoch`; figures have transformers' names.
 * 2. JSON has no NaN and no infinite numbers: they are the texts "NaN", "Infinity" and "-Infinity".
 * 3. A run that goes on keeps the lines up to its checkpoint, and writes those behind it again. Lines that it takes
 *    from log.jsonl, as a disk did not take them, have no `time`.
 */

import { withoutSecrets } from '../errors.js'
import type { EndEvent, FailEvent, StartEvent } from '../train/events.js'
import type { LoggedEvent } from '../train/run-log.js'
import { isObject } from '../values.js'
import { AppendFile } from './append-file.js'
import { endFigures, type Figures, figuresOf } from './figures.js'
import type { TrackerFile } from './file-tracker.js'
import { putAside, replaceFile } from './replace-file.js'
import { continuedRows, textIfThere, type WrittenRow } from './rows.js'
import { samplesOf } from './samples.js'

const WHERE = 'jsonl'

/** Begins the file of a run, or goes on with it. @throws where what is there cannot be moved or replaced */
export function openJsonl(path: string, start: StartEvent, logged: readonly LoggedEvent[]): TrackerFile {
  const written = start.step === 0 ? undefined : readLines(path)
  if (written === undefined) putAside(path)
  const rows = continuedRows(start, written?.rows ?? [], logged, (event) => lineOf(event.type, event, figuresOf(event)))
  replaceFile(WHERE, path, [...(written?.starts ?? []), startLine(start), ...rows].join(''))
  return new JsonlFile(path)
}

class JsonlFile implements TrackerFile {
  readonly #file: AppendFile

  constructor(path: string) {
    this.#file = new AppendFile(path, WHERE)
  }

  record(event: LoggedEvent): void {
    const samples = event.type === 'evaluate' ? samplesOf(event) : []
    this.#add(lineOf(event.type, event, figuresOf(event), now(), samples.length > 0 ? { samples } : {}))
    this.#file.writeSoon()
  }

  flush(): void {
    this.#file.write()
  }

  end(event: EndEvent | FailEvent): void {
    if (event.type === 'end') this.#add(lineOf('end', event, endFigures(event), now(), { reason: event.reason }))
    else {
      const { code, message } = event
      this.#add(`${JSON.stringify({ event: 'fail', time: now(), code, message: withoutSecrets(message) })}\n`)
    }
    this.#file.close()
  }

  #add(line: string): void {
    this.#file.add(Buffer.from(line))
  }
}

function startLine({ runId, runName, step, options, versions, device, trainableParameters }: StartEvent): string {
  const run = { run_id: runId, ...(runName !== undefined && { run_name: runName }) }
  const about = { device, trainable_parameters: trainableParameters, versions, options }
  return `${JSON.stringify({ event: 'start', time: now(), ...run, step, ...about })}\n`
}

function lineOf(
  event: string,
  { step, epoch }: { readonly step: number; readonly epoch: number },
  figures: Figures,
  time?: string,
  more: Readonly<Record<string, unknown>> = {},
): string {
  const line: Record<string, unknown> = { event, step, epoch, ...more }
  for (const name in figures) {
    const value = figures[name] as number
    line[name] = Number.isFinite(value) ? value : String(value)
  }
  if (time !== undefined) line.time = time
  return `${JSON.stringify(line)}\n`
}

function now(): string {
  return new Date().toISOString()
}

interface Lines {
  readonly starts: readonly string[]
  readonly rows: readonly WrittenRow<string>[]
}

/** A file as this tracker writes it; undefined where there is none, or another one. The last line may be torn. */
function readLines(path: string): Lines | undefined {
  const text = textIfThere(path)
  if (text === undefined) return undefined
  const starts: string[] = []
  const rows: WrittenRow<string>[] = []
  for (const line of text.split('\n')) {
    const value = parsed(line)
    if (value === undefined) continue
    const { event, step } = value
    if (event === 'start') starts.push(`${line}\n`)
    else if (typeof event === 'string' && typeof step === 'number') rows.push({ event, step, row: `${line}\n` })
  }
  return starts.length === 0 ? undefined : { starts, rows }
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? (value as Readonly<Record<string, unknown>>) : undefined
  } catch {
    // Half a line, or the empty one behind the last.
    return undefined
  }
}
