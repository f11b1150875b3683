/** @file Where the event files of a run lie, and what those that are there have of it. */

import { mkdirSync, readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { errorCode, isMissing } from '../regular-file.js'
import { readEvent } from './event-messages.js'
import { makeDirectoriesSync } from './make-directories.js'
import { readTfRecords } from './tf-record.js'

/** The text of an event file that says which run it is of. */
export const RUN_ID_TAG = 'run_id'
/** Ends the name of a file that a run which goes on removes: what it says of the end was not the last word. */
export const END_SUFFIX = '.end'

const EVENT_FILE = /^events\.out\.tfevents\.(\d+)\./

/** What the event files of a directory have. */
export interface RecordedEvents {
  readonly runId: string | undefined
  /** Names of the files, in the order in which TensorBoard reads them. */
  readonly files: readonly string[]
  /** Steps whose values of log events, or of evaluations, readers show. */
  readonly log: ReadonlySet<number>
  readonly evaluate: ReadonlySet<number>
}

/** The folder of a run that begins, as transformers names it: `Jan31_12-00-00_host`. */
export function runFolder(startedAt: string): string {
  const date = new Date(startedAt)
  const month = date.toLocaleString('en-US', { month: 'short' })
  const two = (value: number): string => String(value).padStart(2, '0')
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join('-')
  return `${month}${two(date.getDate())}_${time}_${hostname()}`
}

/** Names of the event files of a directory in order; none where it is not there. */
export function eventFiles(directory: string): string[] {
  return listed(directory)
    .filter((name) => EVENT_FILE.test(name))
    .sort()
}

/** Directories of runs below a directory, and itself. */
export function candidates(root: string): string[] {
  return [root, ...listed(root).map((name) => join(root, name))].filter((path) => eventFiles(path).length > 0)
}

/** The id of the run that event files are of; undefined where they do not say. */
export function runIdOf(directory: string): string | undefined {
  for (const name of eventFiles(directory))
    for (const record of readTfRecords(join(directory, name))) {
      const id = readEvent(record).texts.get(RUN_ID_TAG)
      if (id !== undefined) return id
      // It stands at the beginning.
      if (readEvent(record).tags.some((tag) => /\/(?:loss|runtime)$/.test(tag))) return undefined
    }
  return undefined
}

/** Reads all event files of a directory as TensorBoard does: a restart takes back what came behind its step. */
export function readRecorded(directory: string): RecordedEvents {
  const files = eventFiles(directory)
  const log = new Set<number>()
  const evaluate = new Set<number>()
  let runId: string | undefined
  for (const name of files)
    for (const record of readTfRecords(join(directory, name))) {
      const { step, isRestart, tags, texts } = readEvent(record)
      runId ??= texts.get(RUN_ID_TAG)
      if (isRestart)
        for (const steps of [log, evaluate]) for (const other of steps) if (other >= step) steps.delete(other)
      if (tags.includes('train/loss')) log.add(step)
      if (tags.includes('eval/runtime')) evaluate.add(step)
    }
  return { runId, files, log, evaluate }
}

/**
 * A name that comes behind those that are there: TensorBoard reads the files of a directory in the order of their
 * names, and never goes back.
 */
export function nextEventFile(files: readonly string[], now: number): string {
  const last = Number(EVENT_FILE.exec(files.at(-1) ?? '')?.[1] ?? 0)
  const seconds = Math.max(Math.floor(now / 1000), last + 1)
  return `events.out.tfevents.${String(seconds).padStart(10, '0')}.${hostname()}.${process.pid}.0`
}

/** Makes a folder that is not there yet: `name`, `name-1`. @returns its path */
export function makeFolder(root: string, name: string): string {
  makeDirectoriesSync(root)
  for (let index = 0; ; index++) {
    const path = join(root, index === 0 ? name : `${name}-${index}`)
    try {
      mkdirSync(path)
      return path
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
    }
  }
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (isMissing(error) || errorCode(error) === 'ENOTDIR') return []
    throw error
  }
}
