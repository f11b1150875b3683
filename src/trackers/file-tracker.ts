/**
 * @file What trackers that write files have in common: a file that cannot be begun is tried again while the run goes
 * on, and gets then what came before.
 */

import { LowrankError } from '../lowrank-error.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { EndEvent, FailEvent, StartEvent, TrainEvent } from '../train/events.js'
import type { LoggedEvent } from '../train/run-log.js'
import { toError } from '../values.js'
import { loggedBefore } from './logged-events.js'

/** Writes the events of one run. What a disk does not take it keeps, and throws why. */
export interface TrackerFile {
  record(event: LoggedEvent): void
  /** Writes what waits. */
  flush(): void
  end(event: EndEvent | FailEvent): void
}

/**
 * Begins the files of a run, or goes on with them.
 * @param logged what the run has logged before: files may have it, or lack some of it
 */
export type OpenTracker = (start: StartEvent, logged: readonly LoggedEvent[]) => TrackerFile

/** Milliseconds between two tries to begin files. */
const RETRY_PACE = 1000

/** A tracker. Its warnings are what it throws: the run goes on. */
export function fileTracker(name: string, open: OpenTracker): TrainCallback {
  let run: TrackedRun | undefined
  const begin = async (start: StartEvent): Promise<void> => {
    run = new TrackedRun(name, open, start, [...(await loggedBefore(start))])
    run.tryOpen()
  }
  return {
    name,
    onEvent(event) {
      if (event.type === 'start') return begin(event)
      const told = run
      if (event.type === 'end' || event.type === 'fail') run = undefined
      told?.tell(event)
      return undefined
    },
  }
}

class TrackedRun {
  readonly #name: string
  readonly #open: OpenTracker
  readonly #start: StartEvent
  /** What the files get when they are begun. */
  readonly #logged: LoggedEvent[]
  #file: TrackerFile | undefined
  #triedAt = Number.NEGATIVE_INFINITY

  constructor(name: string, open: OpenTracker, start: StartEvent, logged: LoggedEvent[]) {
    this.#name = name
    this.#open = open
    this.#start = start
    this.#logged = logged
  }

  tryOpen(): void {
    this.#triedAt = performance.now()
    try {
      this.#file = this.#open(this.#start, this.#logged)
    } catch (error) {
      if (error instanceof LowrankError) throw error
      const { message } = toError(error)
      throw new LowrankError(
        'FILE',
        `[${this.#name}] cannot begin its files: ${message}; that is tried again while the run goes on`,
        { cause: error },
      )
    }
    this.#logged.length = 0
    this.#file.flush()
  }

  tell(event: TrainEvent): void {
    const isLogged = event.type === 'log' || event.type === 'evaluate'
    const isEnd = event.type === 'end' || event.type === 'fail'
    if (this.#file === undefined) {
      if (isLogged) this.#logged.push(event)
      if (isEnd || (isLogged && performance.now() - this.#triedAt >= RETRY_PACE)) this.tryOpen()
    } else if (isLogged) this.#file.record(event)
    if (event.type === 'evaluate' || event.type === 'save') this.#file?.flush()
    if (isEnd) this.#file?.end(event)
  }
}
