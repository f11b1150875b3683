/** @file `lowrank mlflow sync`: what runs have written down for MLflow goes to the server, each call once. */

import { SYNC_MLFLOW_OPTIONS, type SyncedJournal } from '../../mlflow/sync.js'
import { createBar } from '../../progress/progress.js'
import { formatCount } from '../../progress/terminal.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'

interface SyncFlags {
  readonly trackingUri?: string
  readonly patience?: number
  readonly json?: boolean
}

interface Sync extends SyncFlags {
  readonly directory: string
}

export const command: Command<SyncFlags, Sync> = {
  summary: 'send what a run has written down for MLflow',
  details:
    'A run with reportTo: mlflow writes each call into mlflow.jsonl in its output directory before it is sent. What a ' +
    'server has already is not sent again, also where an earlier sync was killed. Credentials are those of the environment: ' +
    'MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. The exit code is 1 where the ' +
    'server has refused a call for good.',
  arguments: [{ name: 'dir', help: 'outputDir of a run that does not go on', otherwise: 'needed' }],
  flags: {
    trackingUri: SYNC_MLFLOW_OPTIONS.trackingUri,
    patience: SYNC_MLFLOW_OPTIONS.patience,
    json: JSON_OBJECT,
  },
  examples: [{ text: 'Send a run that was trained offline', line: 'mlflow sync out/mine' }],
  check({ flags, words: [directory] }) {
    if (directory !== undefined) return { ...flags, directory }
    throw new UsageError('[mlflow] expected the outputDir of a run, got nothing; write it behind the command')
  },
  async run({ directory, json, ...options }) {
    const { syncMlflow } = await import('../../mlflow/sync.js')
    const bar = createBar()
    const journals = await untilSignal((signal) =>
      syncMlflow(directory, {
        ...options,
        signal,
        onProgress: ({ done, total }) => {
          const label = { text: 'Sending', importance: 1 }
          const text = `${formatCount(done)} of ${formatCount(total)} calls`
          bar.show({ label, fraction: total === 0 ? 1 : done / total, parts: [{ text, importance: 2 }] })
        },
      }).finally(() => bar.close()),
    )
    const refused = journals.flatMap(({ failed }) => failed)
    if (refused.length > 0) process.exitCode = 1
    process.stdout.write(`${json ? JSON.stringify({ journals }) : journals.map(describe).join('\n')}\n`)
  },
}

function describe({ path, sent, failed, run }: SyncedJournal): string {
  const what = sent === 0 ? 'the server has it all' : `sent ${formatCount(sent)} ${sent === 1 ? 'call' : 'calls'}`
  const where = run === undefined ? '' : `; run ${run.runId} of experiment ${run.experimentId}`
  return [`${path}: ${what}${where}`, ...failed.map(({ message }) => `  refused: ${message}`)].join('\n')
}
