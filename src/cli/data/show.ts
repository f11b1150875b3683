/**
 * @file `lowrank data show`: rows as training sees them, with each token coloured by what is learnt. What it does is in
 * show-rows.ts.
 */

import { resolve } from 'node:path'
import { integer, text } from '../../options/rules.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { PART_FLAGS, type PartFlags } from '../part-flags.js'
import type { RunOptions } from '../run-options.js'
import { SET_FLAGS, type SetFlags } from '../train-flags.js'
import { UsageError } from '../usage-error.js'
import { ROW_SETTINGS, readRowsRun, rowsFlagFor } from './rows-run.js'

interface ShowFlags extends SetFlags, PartFlags {
  readonly rows: number
  readonly html?: string
  readonly json?: boolean
}

/** Which rows are shown, and where. */
export interface Show extends ShowFlags {
  readonly run: RunOptions
}

export const command: Command<ShowFlags, Show> = {
  summary: 'show rows as training sees them: tokens, what is learnt, lengths',
  details:
    'A token in green is learnt, one in grey is only read, one in red lies beyond --max-length. Where there are no ' +
    'colours, what is learnt stands between « and ». The figures at the end count all rows.',
  arguments: [{ name: 'file', help: 'data file or glob; or the YAML file of a run, whose dataset is shown' }],
  settings: ROW_SETTINGS,
  flags: {
    rows: {
      rule: integer({ min: 0 }),
      default: 3,
      help: 'how many rows are shown, from the first',
      flag: { name: '--rows', argument: 'count', group: 'Output' },
    },
    html: {
      rule: text,
      otherwise: 'none',
      help: 'write rows and figures into one HTML file, which needs no network',
      flag: { name: '--html', argument: 'file' },
    },
    json: { ...JSON_OBJECT, help: 'write each row, and then the figures, as a line of JSON to stdout' },
    ...PART_FLAGS,
    ...SET_FLAGS,
  },
  examples: [
    { text: 'See what a model learns of your rows', line: 'data show rows.jsonl --model Qwen/Qwen3-0.6B' },
    { text: 'See 20 rows of a run in a browser', line: 'data show run.yaml --rows 20 --html rows.html' },
  ],
  instead: rowsFlagFor,
  async check(given) {
    const run = await readRowsRun(given)
    const { html } = given.flags
    const read = [...given.words, run.options.dataset].filter((path) => typeof path === 'string')
    if (html !== undefined && read.some((path) => resolve(path) === resolve(html)))
      throw new UsageError(
        `[data show] expected a file of its own for --html, got ${html}, which is read; name another`,
      )
    return { ...given.flags, run }
  },
  async run(checked) {
    const { show } = await import('./show-rows.js')
    await show(checked)
  },
}
