/**
 * @file Work of a rendering that may be interrupted. Most of it ends at once and is plain functions, which give their
 * result; where one has taken long enough it gives a `Pause`, in which the rest of its work waits.
 */

import { runAtOnce, type Steps } from '../../turns.js'

/** The rest of work that was interrupted. */
export class Pause<T> {
  readonly rest: Steps<T>

  constructor(rest: Steps<T>) {
    this.rest = rest
  }
}

/** A result, or a pause before it. */
export type Pausing<T> = T | Pause<T>

/**
 * Goes on with a result, now or after the pause. What `work` needs beside it is handed through, so that nothing has to
 * be made for work that does not pause.
 */
export function after<T, U, A, B, C>(
  result: Pausing<T>,
  work: (result: T, a: A, b: B, c: C) => Pausing<U>,
  a: A,
  b: B,
  c: C,
): Pausing<U> {
  return result instanceof Pause ? new Pause(continued(result.rest as Steps<T>, work, a, b, c)) : work(result, a, b, c)
}

function* continued<T, U, A, B, C>(
  rest: Steps<T>,
  work: (result: T, a: A, b: B, c: C) => Pausing<U>,
  a: A,
  b: B,
  c: C,
): Steps<U> {
  return yield* stepsOf(work(yield* rest, a, b, c))
}

/** Work that may pause, as steps. */
export function* stepsOf<T>(result: Pausing<T>): Steps<T> {
  return result instanceof Pause ? yield* result.rest as Steps<T> : result
}

/** The result of work that is not interrupted here. */
export function atOnce<T>(result: Pausing<T>): T {
  return result instanceof Pause ? runAtOnce(result.rest as Steps<T>) : result
}
