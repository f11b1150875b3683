/** @file Directories of trackers: made with those above them, and refused where a file system makes none. */

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { makeDirectoriesSync } from '../../src/trackers/make-directories.js'
import { temporaryDirectory } from '../support/tiny-model.js'

it('makes a directory and those above it, also where it is there', () => {
  const path = join(temporaryDirectory(), 'a', 'b')
  makeDirectoriesSync(path)
  makeDirectoriesSync(path)
  expect(statSync(path).isDirectory()).toBe(true)
})

it.runIf(process.platform === 'linux')('ends with an error below /proc, where Node.js tries for ever', () => {
  expect(() => makeDirectoriesSync('/proc/none/below')).toThrow('ENOENT')
})
