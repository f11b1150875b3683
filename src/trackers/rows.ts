/** @file Rows of the trackers that write a row for every log event and every evaluation, when a run goes on. */

import { readFileSync } from 'node:fs'
import { isMissing } from '../regular-file.js'
import type { StartEvent } from '../train/events.js'
import type { LoggedEvent } from '../train/run-log.js'

/** The text of a file; undefined where there is none. @throws the system's error */
export function textIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** A row that is there. */
export interface WrittenRow<Row> {
  readonly event: string
  readonly step: number
  readonly row: Row
}

/**
 * The rows of a run up to the step at which it goes on, each once and in order: those that are there, and those that
 * a disk did not take, of which log.jsonl tells.
 */
export function continuedRows<Row>(
  { step }: StartEvent,
  written: readonly WrittenRow<Row>[],
  logged: readonly LoggedEvent[],
  make: (event: LoggedEvent) => Row,
): Row[] {
  const isBefore = written.filter((each) => each.step <= step && (each.event === 'log' || each.event === 'evaluate'))
  const rows = new Map(isBefore.map((each) => [`${each.event} ${each.step}`, each.row]))
  // Without an outputDir there is no log.
  if (logged.length === 0) return [...rows.values()]
  return logged.map((event) => rows.get(`${event.type} ${event.step}`) ?? make(event))
}
