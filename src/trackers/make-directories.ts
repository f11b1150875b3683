/** @file Directories of files of trackers, made at once. */

import { existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ownErrorCode } from '../regular-file.js'

/** Makes a directory and those above it; the system's error is thrown as it is. */
export function makeDirectoriesSync(path: string): void {
  let first = resolve(path)
  while (dirname(first) !== first && !existsSync(dirname(first))) first = dirname(first)
  // One level by itself: mkdirSync of all of them never ends where a file system answers ENOENT below a directory that
  // is there, as /proc does.
  try {
    mkdirSync(first)
  } catch (error) {
    if (ownErrorCode(error) !== 'EEXIST') throw error
  }
  mkdirSync(path, { recursive: true })
}
