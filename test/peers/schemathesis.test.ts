/** @file schemathesis asks our server what its published description allows and does not allow: no 500, no surprise. */

import { expect, it } from 'vitest'
import { serve } from '../../src/serve/node-server.js'
import { serveScripted } from '../serve/served.js'
import { cases } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

/** What a body that fits a schema may still be refused for, as a model that is not there, is no fault. */
const CHECKS = 'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance'

describeWithPython('schemathesis', () => {
  // It leaves a folder of its own where it runs.
  const directory = temporaryDirectory()
  const PROGRAM = `import os; os.chdir(${JSON.stringify(directory)}); from schemathesis.cli import schemathesis; schemathesis()`

  it('finds no answer that the description does not have', async () => {
    const server = await serve(serveScripted('one two', { maxNewTokens: 20 }).handler, { port: 0 })
    try {
      const { code, stdout, stderr } = await runPython([
        ...['-c', PROGRAM, 'run', `${server.url}/openapi.json`],
        ...['--checks', CHECKS, '--max-examples', String(cases(25, 400)), '--seed', '7', '--no-color'],
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
