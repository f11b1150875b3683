/**
 * @file The TensorBoard tracker: the events of a run as event files. Tags are those of transformers'
 * TensorBoardCallback.
 *
 * 1. An event holds all values of a log event or of an evaluation, so that none is there by half.
 * 2. A run that goes on writes a file of its own, which begins with the restart from the step behind its checkpoint:
 *    readers forget what came behind it. Where files lack something before that, as a full disk did not take it, the
 *    restart is from there, and the values are written again from log.jsonl.
 * 3. How a run was stopped or failed stands in a file of its own, which a run that goes on removes.
 */

import { rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { OptionError } from '../lowrank-error.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { EndEvent, FailEvent, StartEvent } from '../train/events.js'
import type { LoggedEvent } from '../train/run-log.js'
import { AppendFile } from './append-file.js'
import {
  ScalarEvents,
  type SESSION_STATUS,
  sessionEndValue,
  sessionStartValue,
  startEvent,
  summaryEvent,
  textValue,
  versionEvent,
} from './event-messages.js'
import { endFigures, type Figures, figuresOf } from './figures.js'
import { fileTracker, type TrackerFile } from './file-tracker.js'
import { hyperParameters } from './hyper-parameters.js'
import {
  candidates,
  END_SUFFIX,
  eventFiles,
  makeFolder,
  nextEventFile,
  RUN_ID_TAG,
  readRecorded,
  runFolder,
  runIdOf,
} from './logging-directory.js'
import type { TensorboardOptions } from './options.js'
import { samplesOf, samplesTable } from './samples.js'
import { tfRecord } from './tf-record.js'

const WHERE = 'tensorboard'
const FOLDER = 'runs'

/** Where the event files of a run go. @throws OptionError where nothing says so */
function loggingRoot({ loggingDir }: TensorboardOptions, outputDir: string | undefined): string {
  const given = loggingDir ?? (process.env.TENSORBOARD_LOGGING_DIR?.replace(/^~(?=\/|$)/, homedir()) || undefined)
  if (given !== undefined) return resolve(given)
  if (outputDir !== undefined) return join(outputDir, FOLDER)
  throw new OptionError(
    "[train] reportTo 'tensorboard' needs a directory for its event files; set outputDir, or loggingDir of tensorboard",
  )
}

/** @throws OptionError where nothing says where the event files go */
export function tensorboardCallback(options: TensorboardOptions, outputDir: string | undefined): TrainCallback {
  const root = loggingRoot(options, outputDir && resolve(outputDir))
  const isNamed = options.loggingDir !== undefined || Boolean(process.env.TENSORBOARD_LOGGING_DIR)
  return fileTracker(WHERE, (start, logged) => EventWriter.begin(start, logged, { root, isNamed }))
}

interface LoggingPlace {
  readonly root: string
  /** Whether the root itself is for the files of the run, and not a folder in it. */
  readonly isNamed: boolean
}

class EventWriter implements TrackerFile {
  readonly #directory: string
  readonly #file: AppendFile
  readonly #scalars = new ScalarEvents()

  private constructor(directory: string, file: AppendFile) {
    this.#directory = directory
    this.#file = file
  }

  static begin(event: StartEvent, logged: readonly LoggedEvent[], { root, isNamed }: LoggingPlace): EventWriter {
    const own = event.step === 0 ? undefined : candidates(root).find((path) => runIdOf(path) === event.runId)
    const isFree = isNamed && eventFiles(root).length === 0
    const directory = own ?? (isFree ? root : makeFolder(root, runFolder(event.startedAt)))
    for (const name of eventFiles(directory)) if (name.endsWith(END_SUFFIX)) rmSync(join(directory, name))
    const recorded = readRecorded(directory)
    const isThere = ({ type, step }: LoggedEvent): boolean => recorded[type].has(step)
    const lacking = logged.find((each) => !isThere(each))
    // What is behind this step comes again.
    const from = Math.min(lacking?.step ?? Number.POSITIVE_INFINITY, event.step + 1)
    const file = new AppendFile(join(directory, nextEventFile(recorded.files, Date.now())), WHERE)
    const writer = new EventWriter(directory, file)
    const isFirst = recorded.files.length === 0
    const begin = { time: now(), step: isFirst ? 0 : from }
    writer.#add(versionEvent(begin))
    // TensorBoard takes the second of these for a restart: without the first it would show steps twice.
    writer.#add(startEvent(begin))
    if (isFirst || from === 0) writer.#addIntroduction(event)
    for (const each of logged) if (isFirst || each.step >= from) writer.#addLogged(each)
    return writer
  }

  record(event: LoggedEvent): void {
    this.#addLogged(event)
    this.#file.writeSoon()
  }

  flush(): void {
    this.#file.write()
  }

  end(event: EndEvent | FailEvent): void {
    const isComplete = event.type === 'end' && event.reason === 'completed'
    if (isComplete) {
      this.#addEnd(event, 'success')
      this.#file.close()
      return
    }
    this.#file.close()
    const name = `${nextEventFile(eventFiles(this.#directory), Date.now())}${END_SUFFIX}`
    const writer = new EventWriter(this.#directory, new AppendFile(join(this.#directory, name), WHERE))
    writer.#add(versionEvent({ time: now(), step: 'step' in event ? event.step : 0 }))
    writer.#addEnd(event, 'failure')
    writer.#file.close()
  }

  #add(event: Uint8Array): void {
    this.#file.add(tfRecord(event))
  }

  /** What stands once at the beginning of a run. */
  #addIntroduction({ runId, runName, options, versions, device }: StartEvent): void {
    const time = now()
    const about = { run: runName ?? runId, device, lowrank: versions.lowrank, node: versions.node }
    const parameters = sessionStartValue(hyperParameters(options), time)
    const texts: [tag: string, text: string][] = [
      [RUN_ID_TAG, runId],
      ['args', fenced({ ...about, ...options })],
    ]
    for (const [tag, text] of texts) this.#add(summaryEvent({ time, step: 0 }, [textValue(tag, text)]))
    this.#add(summaryEvent({ time, step: 0 }, [parameters]))
  }

  #addLogged(event: LoggedEvent): void {
    const samples = event.type === 'evaluate' ? samplesOf(event) : []
    // They come first: where the figures are there, they are there too.
    if (samples.length > 0)
      this.#add(summaryEvent({ time: now(), step: event.step }, [textValue('eval/samples', samplesTable(samples))]))
    const figures = figuresOf(event)
    this.#add(this.#scalars.event({ time: now(), step: event.step }, tagged(figures)))
  }

  #addEnd(event: EndEvent | FailEvent, status: keyof typeof SESSION_STATUS): void {
    const time = now()
    const step = event.type === 'end' ? event.step : 0
    const figures = event.type === 'end' ? endFigures(event) : {}
    if (Object.keys(figures).length > 0) this.#add(this.#scalars.event({ time, step }, tagged(figures)))
    this.#add(summaryEvent({ time, step }, [sessionEndValue(status, time)]))
  }
}

/** Tags of figures: `eval_loss` is `eval/loss`, all else is of training. */
function* tagged(figures: Figures): Generator<[tag: string, value: number]> {
  for (const name in figures) yield [tagOf(name), figures[name] as number]
}

const tags = new Map<string, string>()

function tagOf(name: string): string {
  const known = tags.get(name)
  if (known !== undefined) return known
  const tag = name.startsWith('eval_') ? `eval/${name.slice('eval_'.length)}` : `train/${name}`
  tags.set(name, tag)
  return tag
}

/** JSON as Markdown shows it unchanged. */
function fenced(value: unknown): string {
  return `\`\`\`json\n${JSON.stringify(value, null, 2)}\n\`\`\``
}

function now(): number {
  return Date.now() / 1000
}
