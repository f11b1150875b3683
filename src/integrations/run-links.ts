/**
 * @file What the callbacks of one run tell each other: a registry links the version that it makes to the run that a
 * tracker recorded.
 */

/** The run as a tracker has recorded it. */
export interface TrackedRun {
  /** The address without credentials, `databricks` or `databricks://PROFILE`. */
  readonly trackingUri: string
  readonly isDatabricks: boolean
  readonly experimentId: string
  readonly runId: string
  /** The logged model that holds what was trained; absent where none was logged. */
  readonly modelId?: string
}

/** The version that a registry made of what was trained. */
export interface RegisteredRun {
  /** The model, without version. */
  readonly name: string
  readonly version: number
  readonly alias?: string
  /** False where the registry had the same content already. */
  readonly isNew: boolean
  /** What is worth knowing about it, a sentence each. */
  readonly warnings: readonly string[]
}

/** Where the Hub has what was trained. */
export interface PushedRun {
  readonly url: string
  readonly commit: string
}

/** What a run is linked to. Each tracker that a run has says so once, when it has recorded all of it. */
export interface RunLinks {
  /** Says that a tracker will tell of the run. */
  expectTracked(): (run: TrackedRun | undefined) => void
  /**
   * Waits for the trackers. It resolves once all that were expected have told, with the first run on Databricks, else
   * with the first; undefined where there is none.
   */
  tracked(): Promise<TrackedRun | undefined>
  /** Says what the run became. */
  tellRegistered(run: RegisteredRun): void
  /** What it has become so far. */
  registered(): RegisteredRun | undefined
  /** Says where what was trained was pushed to. */
  tellPushed(run: PushedRun): void
  pushed(): PushedRun | undefined
}

export function createRunLinks(): RunLinks {
  const expected: Promise<TrackedRun | undefined>[] = []
  let registered: RegisteredRun | undefined
  let pushed: PushedRun | undefined
  return {
    expectTracked() {
      let tell: (run: TrackedRun | undefined) => void = () => {}
      expected.push(
        new Promise((resolve) => {
          tell = resolve
        }),
      )
      return tell
    },
    async tracked() {
      const runs = (await Promise.all(expected)).filter((run) => run !== undefined)
      return runs.find(({ isDatabricks }) => isDatabricks) ?? runs[0]
    },
    tellRegistered(run) {
      registered = run
    },
    registered: () => registered,
    tellPushed(run) {
      pushed = run
    },
    pushed: () => pushed,
  }
}
