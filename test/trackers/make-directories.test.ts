/** @file Directories of trackers: made with those above them, refused where a file system makes none, never moved. */

import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { makeDirectoriesSync } from '../../src/trackers/make-directories.js'
import { putAside } from '../../src/trackers/replace-file.js'
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

it('puts a file of another run out of the way, and leaves a directory where it is', () => {
  const folder = temporaryDirectory()
  writeFileSync(join(folder, 'metrics.csv'), 'event\n')
  putAside(join(folder, 'metrics.csv'))
  expect(existsSync(join(folder, 'metrics-1.csv'))).toBe(true)
  mkdirSync(join(folder, 'runs'))
  putAside(join(folder, 'runs'))
  expect([existsSync(join(folder, 'runs')), existsSync(join(folder, 'runs-1'))]).toEqual([true, false])
})
