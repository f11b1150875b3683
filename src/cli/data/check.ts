/** @file `lowrank data check`: what is wrong with rows, before training. What it does is in check-rows.ts. */

import { stat } from 'node:fs/promises'
import { describeValue } from '../../errors.js'
import { path } from '../../options/rules.js'
import type { OptionTable } from '../../options/table.js'
import { TRAIN_LORA_OPTIONS } from '../../train/options.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { PART_FLAGS, type PartFlags } from '../part-flags.js'
import type { RunOptions } from '../run-options.js'
import { SET_FLAGS, type SetFlags } from '../train-flags.js'
import { UsageError } from '../usage-error.js'
import { ROW_SETTINGS, readRowsRun, rowsFlagFor } from './rows-run.js'

interface CheckFlags extends SetFlags, PartFlags {
  readonly json?: boolean
  readonly fix?: string
}

/** Which rows are checked. */
export interface Check extends CheckFlags {
  readonly run: RunOptions
}

/** The options of a run that decide what a row becomes, and the rows that must not be learnt. */
const SETTINGS = {
  model: ROW_SETTINGS.model,
  revision: ROW_SETTINGS.revision,
  evalDataset: TRAIN_LORA_OPTIONS.evalDataset,
  training: ROW_SETTINGS.training,
} as const satisfies OptionTable

export const command: Command<CheckFlags, Check> = {
  summary: 'find what is wrong with rows before training',
  details:
    'Each rule has an entry in docs/data-check.md. The exit code is 1 where a rule of severity error found something, ' +
    'and 0 where only warnings did. With --eval-dataset, rows that it shares with the data are found too.',
  arguments: [{ name: 'file', help: 'data file or glob; or the YAML file of a run, whose dataset is checked' }],
  settings: SETTINGS,
  flags: {
    fix: {
      rule: path,
      otherwise: 'nothing is written',
      help: 'write the rows into this new file, whose ending names the format, without what can be mended without guessing',
      flag: { name: '--fix', argument: 'file', group: 'Output' },
    },
    json: { ...JSON_OBJECT, help: 'write all findings as one JSON object to stdout' },
    ...PART_FLAGS,
    ...SET_FLAGS,
  },
  examples: [
    {
      text: 'Check rows, also against those of the evaluation',
      line: 'data check rows.jsonl --model model --eval-dataset dev.jsonl',
    },
    {
      text: 'Write a copy without what can be mended without guessing',
      line: 'data check rows.jsonl --model model --fix mended.jsonl',
    },
    { text: 'Check the rows of a run', line: 'data check run.yaml' },
  ],
  instead: rowsFlagFor,
  async check(given) {
    const { fix } = given.flags
    // A path typed wrong must not cost somebody's rows; a folder is a table, or refused when it is opened.
    if (fix !== undefined && (await stat(fix).catch(() => undefined))?.isFile())
      throw new UsageError(
        `[data check] expected a new file for --fix, got ${describeValue(fix)}, which exists; give another path, or remove it`,
      )
    return { ...given.flags, run: await readRowsRun(given) }
  },
  async run(checked) {
    const { check } = await import('./check-rows.js')
    await check(checked)
  },
}
