/** @file Tells whether rows are read from the file that they are written to. Opens none. */

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { isTablePath } from './write-options.js'

/** What a file is whatever it is called; undefined where it is not there. */
export async function fileId(path: string): Promise<string | undefined> {
  const there = await stat(path).catch(() => undefined)
  return there === undefined ? undefined : `${there.dev}:${there.ino}`
}

/**
 * Refuses rows of files that are to be written: rows would be lost, and a second run would read what the first wrote.
 *
 * @returns Takes the file of each row. It throws OptionError where that is one of `outputs`.
 */
export function refuseInputs(outputs: readonly string[]): (file: string | undefined) => Promise<void> {
  const ids = Promise.all(outputs.map(fileId))
  let last: string | undefined
  return async (file) => {
    if (file === undefined || file === last) return
    last = file
    const id = await fileId(file)
    const index = id === undefined ? -1 : (await ids).indexOf(id)
    const output = outputs.find((path, at) => at === index || isWithin(path, file))
    if (output === undefined) return
    throw new OptionError(
      `[data] expected a file that no rows are read from for output, got ${describeValue(output)}; write to another path`,
    )
  }
}

/** Whether a file belongs to a Delta table. */
function isWithin(path: string, file: string): boolean {
  return isTablePath(path) && `${resolve(file)}/`.startsWith(`${resolve(path)}/`)
}
