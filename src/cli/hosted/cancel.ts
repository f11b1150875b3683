/** @file `lowrank hosted cancel`: cancels the job of a hosted run. */

import type { Command } from '../command.js'
import { writeJson } from '../databricks/output.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { expectRun, RUN_ARGUMENT } from './flags.js'

interface CancelFlags {
  readonly json?: boolean
}

export const command: Command<CancelFlags, CancelFlags & { readonly outputDir: string }> = {
  summary: 'cancel the job of a hosted run',
  arguments: [RUN_ARGUMENT],
  flags: { json: JSON_OBJECT },
  examples: [{ text: 'Stop paying for it', line: 'hosted cancel out/tuned' }],
  check: ({ flags, words: [run] }) => ({ ...flags, outputDir: expectRun('hosted cancel', run) }),
  async run({ outputDir, json }) {
    const { cancelHosted } = await import('../../hosted/verbs.js')
    const job = await untilSignal((signal) => cancelHosted({ outputDir, signal }))
    if (json) writeJson(job)
    else process.stdout.write(`The job ${job.id}: ${job.serviceStatus}\n`)
  },
}
