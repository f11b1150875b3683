/**
 * @file Files of trackers as a whole: replaced so that a reader sees the old content or the new, or put out of the way.
 */

import { closeSync, existsSync, fsyncSync, lstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { ownedName } from '../file-owner.js'
import { LowrankError } from '../lowrank-error.js'
import { toError } from '../values.js'
import { makeDirectoriesSync } from './make-directories.js'

/** Replaces a file, or makes it. @throws LowrankError where that cannot be done: the old content is there then */
export function replaceFile(where: string, path: string, text: string): void {
  const temporary = join(dirname(path), `.${ownedName(`${basename(path)}.lowrank-`)}`)
  let isMade = false
  try {
    makeDirectoriesSync(dirname(path))
    if (existsSync(path) && !lstatSync(path).isFile()) throw new LowrankError('FILE', 'it is not a regular file')
    const file = openSync(temporary, 'wx')
    isMade = true
    try {
      const bytes = Buffer.from(text)
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
  } catch (error) {
    if (isMade) rmSync(temporary, { force: true })
    throw new LowrankError(
      'FILE',
      `[${where}] cannot write ${path}: ${toError(error).message}; what it lacks is written as soon as that is possible`,
      { cause: error },
    )
  }
}

/** Gives what is there another name, `metrics-1.csv`, so that a run which begins loses nothing of the one before. */
export function putAside(path: string): void {
  // A directory holds more than a tracker wrote: writing the file tells of it.
  if (!existsSync(path) || !lstatSync(path).isFile()) return
  const ending = extname(path)
  const stem = path.slice(0, path.length - ending.length)
  let index = 1
  while (existsSync(`${stem}-${index}${ending}`)) index++
  renameSync(path, `${stem}-${index}${ending}`)
}
