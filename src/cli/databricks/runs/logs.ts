/** @file `lowrank databricks runs logs`: what the tasks of a run wrote, once it has ended. */

import type { Command } from '../../command.js'
import { JSON_OBJECT } from '../../flags.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord } from '../given.js'
import { writeJson } from '../output.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from '../waiting.js'
import { endWith, followRun, outputsOf, RUN_ID, writeOutputs } from './run.js'

interface LogsFlags extends ConnectionFlags, Omit<WaitFlags, 'noWait'> {
  readonly json?: boolean
}

interface Logs extends LogsFlags {
  readonly id: string
}

const NAME = 'databricks runs logs'
const { timeout, pollInterval } = WAIT_FLAGS

export const command: Command<LogsFlags, Logs> = {
  summary: 'wait until a run has ended, and write what its tasks wrote',
  details:
    'The workspace gives the logs of a task once it has ended, and keeps them for 60 days. Logs go to stdout, errors of ' +
    'tasks to stderr. The exit code is 1 where the run has failed.',
  arguments: [{ name: RUN_ID.argument, help: RUN_ID.help, otherwise: 'needed' }],
  flags: { timeout, pollInterval, json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [{ text: 'See why it failed', line: 'databricks runs logs 1001' }],
  check: ({ flags, words: [word] }) => ({ ...flags, id: expectWord(NAME, `the ${RUN_ID.help}`, word) }),
  async run({ id, json, ...flags }) {
    const databricks = connectionOf(flags)
    const { run, outputs } = await showWait(`The run ${id}`, flags, async (here, talk) => {
      const ended = await followRun(id, databricks, here, talk)
      return { run: ended, outputs: await outputsOf(ended, databricks, here.signal) }
    })
    if (json) writeJson({ ...run, outputs })
    else writeOutputs(outputs)
    endWith(run)
  },
}
