/**
 * @file The events of a run for those who iterate over it, whenever they begin and however slow they are.
 *
 * 1. Kept are all events, but of those that only tell how far something is (`download`, `prepare`, `evaluating`) the
 *    last one in a row, and of `step` the last 10,000: a long run keeps a bounded part of its steps, whose means are in
 *    its `log` events.
 * 2. A reader that keeps up gets every event. One that begins late or is slow gets what is kept when it comes to it, so
 *    that a reader that stands still does not make the run take more memory.
 * 3. A reader rests on the last event that it got. Where that is not kept any more, the reader goes back to the one
 *    before it.
 */

import type { TrainEvent } from './events.js'

interface Link {
  readonly event: TrainEvent | undefined
  next: Link | undefined
  previous: Link | undefined
}

interface Reader {
  at: Link
}

const MOST_STEPS = 10_000

export class EventLog {
  readonly #mostSteps: number
  readonly #first: Link = { event: undefined, next: undefined, previous: undefined }
  #last = this.#first
  #steps = 0
  #oldestStep: Link | undefined
  readonly #readers = new Set<Reader>()
  #waiting: (() => void)[] = []
  #outcome: { readonly failure?: { readonly error: unknown } } | undefined

  /** @param mostSteps for tests */
  constructor(mostSteps = MOST_STEPS) {
    this.#mostSteps = mostSteps
  }

  add(event: TrainEvent): void {
    const before = this.#last
    const link: Link = { event, next: undefined, previous: before }
    before.next = link
    this.#last = link
    if (isReplacedBy(before.event, event)) this.#remove(before)
    if (event.type === 'step') this.#countStep(link)
    this.#wake()
  }

  /** No more events come. @param failure what every reader gets behind the last one */
  close(failure?: { readonly error: unknown }): void {
    this.#outcome = failure ? { failure } : {}
    this.#wake()
  }

  /** All events that are kept, and those that come. @throws the failure, if there is one, behind the last event */
  async *read(): AsyncGenerator<TrainEvent, void> {
    const reader: Reader = { at: this.#first }
    this.#readers.add(reader)
    try {
      for (;;) {
        for (let next = reader.at.next; next; next = reader.at.next) {
          reader.at = next
          yield next.event as TrainEvent
        }
        if (this.#outcome?.failure) throw this.#outcome.failure.error
        if (this.#outcome) return
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
    } finally {
      this.#readers.delete(reader)
    }
  }

  #countStep(link: Link): void {
    this.#oldestStep ??= link
    this.#steps++
    if (this.#steps <= this.#mostSteps) return
    const oldest = this.#oldestStep
    let next = oldest.next
    while (next && next.event?.type !== 'step') next = next.next
    this.#oldestStep = next
    this.#steps--
    this.#remove(oldest)
  }

  #remove(link: Link): void {
    const { previous, next } = link
    if (next) next.previous = previous
    if (!previous) return
    previous.next = next
    for (const reader of this.#readers) if (reader.at === link) reader.at = previous
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

/** Whether the later of two events in a row says all that the earlier one did. */
function isReplacedBy(earlier: TrainEvent | undefined, later: TrainEvent): boolean {
  if (earlier?.type === 'prepare')
    return later.type === 'prepare' && later.split === earlier.split && later.name === earlier.name
  return (earlier?.type === 'download' || earlier?.type === 'evaluating') && later.type === earlier.type
}
