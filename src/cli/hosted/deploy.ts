/** @file `lowrank hosted deploy`: deploys the tuned model of a hosted run. */

import { DEPLOY_HOSTED_OPTIONS } from '../../hosted/run-options.js'
import type { Command } from '../command.js'
import { writeJson } from '../databricks/output.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { expectRun, HOSTED_WAIT_FLAGS, type HostedWaitFlags, RUN_ARGUMENT } from './flags.js'
import { showEvents } from './shown.js'

interface DeployFlags extends HostedWaitFlags {
  readonly deployment?: string
  readonly sku?: string
  readonly capacity?: number
  readonly modelFormat?: string
  readonly json?: boolean
}

const { deployment, sku, capacity, modelFormat } = DEPLOY_HOSTED_OPTIONS

export const command: Command<DeployFlags, DeployFlags & { readonly outputDir: string }> = {
  summary: 'deploy the tuned model of a hosted run, where its service wants that',
  details:
    'Azure OpenAI asks for a deployment, which costs while it is there. Tuned models of the others answer without one.',
  arguments: [RUN_ARGUMENT],
  flags: { deployment, sku, capacity, modelFormat, ...HOSTED_WAIT_FLAGS, json: JSON_OBJECT },
  examples: [{ text: 'Deploy it under a name', line: 'hosted deploy out/tuned --deployment support' }],
  check: ({ flags, words: [run] }) => ({ ...flags, outputDir: expectRun('hosted deploy', run) }),
  async run({ json, ...options }) {
    const { deployHosted } = await import('../../hosted/verbs.js')
    const events = showEvents('Deploying', false)
    const target = await untilSignal((signal) =>
      deployHosted({ ...options, signal, onEvent: events.onEvent }).finally(events.close),
    )
    if (json) writeJson({ target })
    else process.stdout.write(`${target} answers\n`)
  },
}
