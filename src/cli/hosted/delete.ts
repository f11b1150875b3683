/** @file `lowrank hosted delete`: removes what a hosted run made at its service. */

import { DELETE_HOSTED_OPTIONS } from '../../hosted/run-options.js'
import type { Command } from '../command.js'
import { writeJson } from '../databricks/output.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { expectRun, RUN_ARGUMENT } from './flags.js'

interface DeleteFlags {
  readonly keepModel?: boolean
  readonly json?: boolean
}

export const command: Command<DeleteFlags, DeleteFlags & { readonly outputDir: string }> = {
  summary: 'delete deployment, tuned model and files of a hosted run',
  details: 'What is gone already is fine. A job that goes on is cancelled. Files on this machine stay.',
  arguments: [RUN_ARGUMENT],
  flags: { keepModel: DELETE_HOSTED_OPTIONS.keepModel, json: JSON_OBJECT },
  examples: [
    { text: 'Remove all of it', line: 'hosted delete out/tuned' },
    { text: 'Keep the model', line: 'hosted delete out/tuned --keep-model' },
  ],
  check: ({ flags, words: [run] }) => ({ ...flags, outputDir: expectRun('hosted delete', run) }),
  async run({ json, ...options }) {
    const { deleteHosted } = await import('../../hosted/verbs.js')
    const deleted = await untilSignal((signal) => deleteHosted({ ...options, signal }))
    if (json) return writeJson({ deleted })
    if (deleted.length === 0) process.stdout.write('The run made nothing that is known\n')
    for (const { kind, id, outcome } of deleted) process.stdout.write(`${outcome.padEnd(8)} ${kind} ${id}\n`)
  },
}
