/** @file schemathesis asks our server what its published description allows and does not allow: no 500, no surprise. */

import { expect, it } from 'vitest'
import { serve } from '../../src/serve/node-server.js'
import { serveScripted } from '../serve/served.js'
import { cases } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

/**
 * Every check but one: that a body which fits the schema is taken. A schema cannot say what else is asked of one, and
 * the server names the field each time: a text that holds a JSON object (arguments of calls), fields that need each
 * other (`top_logprobs` needs `logprobs`), a prompt that fits the context, a JSON schema that a grammar can hold, a
 * conversation that the chat template takes.
 */
const WITHOUT = 'positive_data_acceptance'
const KEY = 'a-key-of-the-test'

describeWithPython('schemathesis', () => {
  // It leaves a folder of its own where it runs.
  const directory = temporaryDirectory()
  const PROGRAM = `import os; os.chdir(${JSON.stringify(directory)}); from schemathesis.cli import schemathesis; schemathesis()`

  it('finds no answer that the description does not have', async () => {
    const server = await serve(serveScripted('one two', { maxNewTokens: 20, apiKeys: [KEY] }).handler, { port: 0 })
    try {
      const { code, stdout, stderr } = await runPython([
        ...['-c', PROGRAM, 'run', `${server.url}/openapi.json`],
        ...['--header', `Authorization: Bearer ${KEY}`],
        ...['--exclude-checks', WITHOUT, '--max-examples', String(cases(25, 400)), '--seed', '7', '--no-color'],
        ...['--phases', 'examples,coverage,fuzzing', '--generation-database', 'none'],
      ])
      expect({ code, stdout: code === 0 ? '' : stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' })
      const [, generated, passed] = /(\d+) generated, (\d+) passed/.exec(stdout) ?? []
      expect(Number(generated)).toBeGreaterThan(500)
      expect(passed).toBe(generated)
      // Else it would only have seen what refuses.
      expect(stdout).not.toContain('repeatedly returned 404')
    } finally {
      await server.close(AbortSignal.abort())
    }
  })
})
