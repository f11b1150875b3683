/**
 * @file run.json of a run: whether it goes on, ended or failed, its options and rows, and what it warned of. It is what
 * `lowrank report` and `lowrank runs` know of a run beside its log. It cannot end the run.
 *
 * 1. It is written first when the run begins: what fails before that leaves the file of an earlier run as it was.
 * 2. A run that was killed leaves the state 'running'. Whether that is still true, the lock of the directory tells.
 */

import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { isPlainObject, toError } from '../values.js'
import type { DataEvent, EndEvent, FailEvent, StartEvent, TrainEvent } from './events.js'

export const RUN_FILE = 'run.json'

/** One process that worked on a run, from its start or a checkpoint on. */
export interface RunSession {
  readonly startedAt: string
  readonly fromStep: number
  /** When it was last heard of. */
  readonly updatedAt: string
  readonly step: number
  readonly state: 'running' | 'completed' | 'aborted' | 'failed'
}

/** What run.json holds. */
export interface RunStatus {
  readonly version: 1
  readonly runId: string
  /** Those before a resume first. */
  readonly sessions: readonly RunSession[]
  readonly start: Omit<StartEvent, 'type'>
  readonly data: readonly Omit<DataEvent, 'type'>[]
  /** The first hundred of all that was warned of in the last session. */
  readonly warnings: readonly string[]
  /** More of them, which are not there. */
  readonly moreWarnings?: number
  readonly end?: Omit<EndEvent, 'type'>
  readonly fail?: Omit<FailEvent, 'type'>
}

const MOST_WARNINGS = 100

/** Follows a run and keeps its file up to date. */
export class RunStatusFile {
  readonly #path: string
  readonly #warn: (message: string) => void
  #start: StartEvent | undefined
  #step = 0
  readonly #data: Omit<DataEvent, 'type'>[] = []
  readonly #warnings: string[] = []
  #moreWarnings = 0
  #earlier: Promise<readonly RunSession[] | undefined> | undefined
  #end: EndEvent | undefined
  #fail: FailEvent | undefined
  #writing: Promise<void> | undefined
  #isDue = false
  #hasFailed = false

  /** @param warn is told once where the file cannot be written; the run goes on */
  constructor(directory: string, warn: (message: string) => void) {
    this.#path = join(directory, RUN_FILE)
    this.#warn = warn
  }

  /** Never throws. */
  see(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        this.#start = event
        this.#step = event.step
        break
      case 'data': {
        const { type: _, ...data } = event
        this.#data.push(data)
        break
      }
      case 'warning':
        if (this.#warnings.length < MOST_WARNINGS) this.#warnings.push(event.message)
        else this.#moreWarnings++
        break
      case 'log':
        this.#step = event.step
        return
      case 'evaluate':
        this.#step = event.step
        break
      case 'save':
        // What a program saves behind the end, when the directory may be another run's.
        if (event.kind !== 'checkpoint') return
        this.#step = event.step
        break
      case 'end':
        this.#step = event.step
        this.#end = event
        break
      case 'fail':
        this.#fail = event
        break
      default:
        return
    }
    this.#schedule()
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /** Events that come during a write share the next one. */
  #schedule(): void {
    if (this.#start === undefined || this.#hasFailed) return
    this.#isDue = true
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  async #write(): Promise<void> {
    try {
      const earlier = await this.#sessions()
      while (earlier && this.#isDue) {
        this.#isDue = false
        await writeFileAtomic(this.#path, `${JSON.stringify(this.#status(earlier), null, 2)}\n`)
      }
    } catch (error) {
      this.#giveUp(toError(error).message)
    }
  }

  /** The sessions of the same run before this one; undefined where another file of that name is there. */
  async #sessions(): Promise<readonly RunSession[] | undefined> {
    this.#earlier ??= (async () => {
      const bytes = await readRegularFileIfThere(this.#path, { where: 'train' })
      if (bytes === undefined) return []
      const status = parseRunStatus(bytes.toString())
      if (status) return status.runId === this.#start?.runId ? status.sessions : []
      this.#giveUp('another file of that name is there; give yours another name to have what lowrank report shows')
      return undefined
    })()
    return await this.#earlier
  }

  #giveUp(reason: string): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#warn(`[train] ${this.#path} was not written: ${reason}; the run goes on`)
  }

  #status(earlier: readonly RunSession[]): RunStatus {
    const { type: _, ...start } = this.#start as StartEvent
    const session: RunSession = {
      startedAt: start.startedAt,
      fromStep: start.step,
      updatedAt: new Date().toISOString(),
      step: this.#step,
      state: this.#fail ? 'failed' : (this.#end?.reason ?? 'running'),
    }
    return {
      version: 1,
      runId: start.runId,
      sessions: [...earlier, session],
      start,
      data: this.#data,
      warnings: this.#warnings,
      ...(this.#moreWarnings > 0 && { moreWarnings: this.#moreWarnings }),
      ...(this.#end && { end: withoutType(this.#end) }),
      ...(this.#fail && { fail: withoutType(this.#fail) }),
    }
  }
}

function withoutType<Event extends TrainEvent>({ type: _, ...event }: Event): Omit<Event, 'type'> {
  return event
}

/** What a text of run.json says; undefined where it is none that a run wrote. */
export function parseRunStatus(text: string): RunStatus | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isPlainObject(value)) return undefined
    const { version, runId, sessions, start, data, warnings } = value
    const isOwn =
      version === 1 &&
      typeof runId === 'string' &&
      Array.isArray(sessions) &&
      sessions.every((session) => isPlainObject(session) && Number.isSafeInteger(session.step)) &&
      isPlainObject(start) &&
      isPlainObject(start.options) &&
      Array.isArray(data) &&
      data.every(isPlainObject) &&
      Array.isArray(warnings) &&
      warnings.every((warning) => typeof warning === 'string')
    return isOwn ? (value as unknown as RunStatus) : undefined
  } catch {
    // Not JSON.
    return undefined
  }
}
