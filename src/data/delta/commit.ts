/**
 * @file Commits of a Delta table: a file of the log that is there whole or not at all, and that exactly one of several
 * writers makes.
 */

import { randomUUID } from 'node:crypto'
import { link, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectories, writeError } from '../../atomic-write.js'
import { ownErrorCode } from '../../regular-file.js'
import { jsonLine } from '../writers/json-value.js'
import { commitName, LOG_FOLDER } from './delta-log.js'

/**
 * Writes a commit.
 * @returns whether it was written; false where another writer has made that version
 */
export async function commit(table: string, version: number, actions: readonly object[]): Promise<boolean> {
  const log = join(table, LOG_FOLDER)
  const path = join(log, commitName(version))
  // Readers pass over names of any other form.
  const temporary = join(log, `.${commitName(version)}.${randomUUID()}.tmp`)
  try {
    await makeDirectories(log)
    const file = await open(temporary, 'wx')
    try {
      await file.writeFile(actions.map((action) => `${jsonLine(action)}\n`).join(''))
      await file.sync()
    } finally {
      await file.close()
    }
    // A link is made with all of its content, and never in place of another.
    await link(temporary, path)
    return true
  } catch (error) {
    if (ownErrorCode(error) === 'EEXIST') return false
    throw writeError(path, error)
  } finally {
    await rm(temporary, { force: true })
  }
}
