/**
 * @file What is done of a long transfer, so that another process goes on after this one was killed: a line of JSON for
 * the transfer, and one for each piece. A last line that was cut off counts for nothing.
 */

import { appendFile, readFile } from 'node:fs/promises'
import { writeError } from '../../../atomic-write.js'
import { isObject } from '../../../values.js'

/** What a file of lines holds. */
export interface JournalLines {
  readonly header: Readonly<Record<string, unknown>>
  readonly records: readonly Readonly<Record<string, unknown>>[]
}

/** The lines of a journal; undefined where there is none, or none that can be read. */
export async function readJournal(path: string): Promise<JournalLines | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  const whole = text?.split('\n').slice(0, -1) ?? []
  const lines: Record<string, unknown>[] = []
  for (const line of whole) {
    try {
      const parsed: unknown = JSON.parse(line)
      if (isObject(parsed)) lines.push(parsed)
    } catch {
      // Behind a line that was cut off the next one begins without a line of its own: both are lost, and no more.
    }
  }
  const [header, ...records] = lines
  return header && { header, records }
}

/** Adds a line. One write of a short line is there as a whole or not at all when the process is killed. */
export async function appendJournal(path: string, record: Readonly<Record<string, unknown>>): Promise<void> {
  try {
    await appendFile(path, `${JSON.stringify(record)}\n`, { mode: 0o600 })
  } catch (error) {
    throw writeError(path, error)
  }
}
