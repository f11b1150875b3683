/** @file Flags that commands about a hosted run share. */

import { HOSTED_RUN_OPTIONS } from '../../hosted/run-options.js'
import type { FlagTable } from '../command.js'
import { UsageError } from '../usage-error.js'

/** How long a command waits. */
export interface HostedWaitFlags {
  readonly pollInterval?: number
  readonly timeout?: number
}

export const HOSTED_WAIT_FLAGS = {
  pollInterval: HOSTED_RUN_OPTIONS.pollInterval,
  timeout: HOSTED_RUN_OPTIONS.timeout,
} as const satisfies FlagTable<HostedWaitFlags>

/** The word that names the folder of a run. */
export const RUN_ARGUMENT = {
  name: 'RUN',
  help: 'folder of the run: --output of lowrank hosted train',
  otherwise: 'needed',
} as const

/** @throws UsageError where it is missing */
export function expectRun(command: string, word: string | undefined): string {
  if (word !== undefined && word !== '') return word
  throw new UsageError(`[${command}] expected the folder of a run, got nothing; write it behind the command`)
}
