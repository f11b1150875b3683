/** @file What a journal says after a disk that was full for a while. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { summarize } from '../../src/mlflow/journal.js'
import { temporaryDirectory } from '../support/tiny-model.js'

test('a journal that lacks calls which a server has does not count the next ones as sent', async () => {
  const path = join(temporaryDirectory(), 'mlflow.jsonl')
  const call = (step: number): string => `{"call":"log-metrics","step":${step},"metrics":{"loss":1}}\n`
  writeFileSync(path, `${call(1)}${call(2)}{"done":5}\n`)
  expect(await summarize(path)).toMatchObject({ total: 2, done: 2 })
})
