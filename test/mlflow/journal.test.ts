/** @file What a journal holds after a disk that did not take its lines for a while. */

import { mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Journal, summarize } from '../../src/mlflow/journal.js'
import { temporaryDirectory } from '../support/tiny-model.js'

test('lines that could not be written are written with the next one, in their order', async () => {
  const directory = temporaryDirectory()
  const path = join(directory, 'mlflow.jsonl')
  // Nobody can write to a directory.
  mkdirSync(path)
  const journal = Journal.open(directory, undefined)
  const line = (step: number): string => `{"call":"log-metrics","timestamp":7,"step":${step},"metrics":{"loss":1}}`
  for (const step of [1, 2]) expect(() => journal.append(`${line(step)}\n`)).toThrow(/cannot write .*mlflow.jsonl/)
  expect(() => journal.done(2, undefined)).toThrow(/cannot write/)
  expect(() => journal.flush()).toThrow(/cannot write/)
  expect(journal.isComplete).toBe(false)
  rmdirSync(path)
  journal.append(`${line(3)}\n${line(4)}\n`)
  expect(journal.isComplete).toBe(true)
  journal.close()
  expect(readFileSync(path, 'utf8').split('\n')).toEqual([line(1), line(2), '{"done":2}', line(3), line(4), ''])
  expect(await summarize(path)).toMatchObject({ total: 4, done: 2, isWhole: true })
})
