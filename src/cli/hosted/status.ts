/** @file `lowrank hosted status`: how a hosted run stands. */

import type { Command } from '../command.js'
import { writeFields, writeJson } from '../databricks/output.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { expectRun, RUN_ARGUMENT } from './flags.js'

interface StatusFlags {
  readonly json?: boolean
}

export const command: Command<StatusFlags, StatusFlags & { readonly outputDir: string }> = {
  summary: 'say how a hosted run stands',
  arguments: [RUN_ARGUMENT],
  flags: { json: JSON_OBJECT },
  examples: [{ text: 'Look at a run', line: 'hosted status out/tuned' }],
  check: ({ flags, words: [run] }) => ({ ...flags, outputDir: expectRun('hosted status', run) }),
  async run({ outputDir, json }) {
    const { hostedStatus } = await import('../../hosted/verbs.js')
    const status = await untilSignal((signal) => hostedStatus({ outputDir, signal }))
    if (json) return writeJson(status)
    const { provider, job, deployment, checkpoints } = status
    writeFields({
      Service: provider,
      Job: job?.id ?? 'none yet',
      Status: job?.serviceStatus,
      Reason: job?.error,
      Model: job?.model,
      Endpoint: job?.endpoint,
      Tokens: job?.trainedTokens?.toString(),
      Checkpoints: checkpoints.map(({ model }) => model).join(', '),
      Deployment: deployment ? `${deployment.name} (${deployment.status})` : undefined,
    })
  },
}
