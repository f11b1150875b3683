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

/** What a run is linked to. Each tracker that a run has says so once, when it has recorded all of it. */
export interface RunLinks {
  /** Says that a tracker will tell of the run. */
  expectTracked(): (run: TrackedRun | undefined) => void
  /**
   * Waits for the trackers. It resolves once all that were expected have told, with the first run on Databricks, else
   * with the first; undefined where there is none.
   */
  tracked(): Promise<TrackedRun | undefined>
}

export function createRunLinks(): RunLinks {
  const expected: Promise<TrackedRun | undefined>[] = []
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
  }
}
