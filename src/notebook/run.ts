/** @file What notebooks show of runs, in types of their own: `trainLora` gives such, and so may others. */

/** An event of a run; see TrainEvent of lowrank. */
export interface RunEvent {
  readonly type: string
  readonly step?: number
  readonly totalSteps?: number
  readonly loss?: number
  readonly tokensPerSecond?: number
}

/** A run to draw: what `await trainLora()` gives. */
export interface DrawnRun {
  readonly history: readonly RunEvent[]
}

/** A run that goes on, as `trainLora` starts one. */
export interface FollowedRun<Result> extends PromiseLike<Result>, AsyncIterable<RunEvent> {}
