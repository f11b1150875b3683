/** @file `lowrank databricks runs submit`: a run of a file's tasks, followed to its end. */

import type { RunSubmission } from '../../../databricks/jobs.js'
import type { Command } from '../../command.js'
import { readSpec } from '../../config.js'
import { JSON_OBJECT } from '../../flags.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord } from '../given.js'
import { writeJson } from '../output.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from '../waiting.js'
import { endWith, followRun, outputsOf, writeOutputs, writeRun } from './run.js'

interface SubmitFlags extends ConnectionFlags, WaitFlags {
  readonly json?: boolean
}

interface Submit extends SubmitFlags {
  readonly submission: RunSubmission
}

const NAME = 'databricks runs submit'

export const command: Command<SubmitFlags, Submit> = {
  summary: 'submit a run, follow it to its end, and write what its tasks wrote',
  details:
    'The file has the fields of runs/submit of the Jobs API in YAML or JSON: run_name, tasks, environments. Ctrl-C ends the ' +
    'wait, and the run goes on. The exit code is 1 where the run has failed. lowrank clean cancels it.',
  arguments: [{ name: 'spec', help: 'file in YAML or JSON with the tasks', otherwise: 'needed' }],
  flags: { ...WAIT_FLAGS, json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [
    { text: 'Run it, and wait', line: 'databricks runs submit nightly.yaml' },
    { text: 'Keep its id', line: 'databricks runs submit nightly.yaml --no-wait --json' },
  ],
  async check({ flags, words: [file] }) {
    const path = expectWord(NAME, 'a file with the tasks of the run', file)
    const spec = await readSpec(path, 'fields such as "run_name: nightly"')
    const { submissionOf } = await import('../../../databricks/jobs.js')
    return { ...flags, submission: submissionOf(NAME, spec) }
  },
  async run({ submission, json, noWait, ...flags }) {
    const { getRun, submitRun } = await import('../../../databricks/jobs.js')
    const databricks = connectionOf(flags)
    const { run, outputs } = await showWait(`The run ${submission.run_name}`, flags, async (here, talk) => {
      const { signal } = here
      const id = await submitRun(submission, { databricks, signal })
      if (noWait) return { run: await getRun(id, { databricks, signal }), outputs: [] }
      const ended = await followRun(id, databricks, here, talk)
      return { run: ended, outputs: await outputsOf(ended, databricks, signal) }
    })
    if (json) writeJson(noWait ? run : { ...run, outputs })
    else {
      writeOutputs(outputs)
      writeRun(run)
    }
    if (!noWait) endWith(run)
  },
}
