/**
 * @file What a run that goes on has logged before: a tracker that lacks some of it, as its disk was full or its process
 * was killed, takes it from log.jsonl of the run.
 */

import { join } from 'node:path'
import type { StartEvent } from '../train/events.js'
import { LOG_FILE, type LoggedEvent, readLoggedEvents } from '../train/run-log.js'

/** The log events and evaluations before the step at which a run goes on, in their order; none of one that begins. */
export async function loggedBefore({ outputDir, step }: StartEvent): Promise<readonly LoggedEvent[]> {
  return outputDir === undefined || step === 0 ? [] : await readLoggedEvents(join(outputDir, LOG_FILE), step)
}
