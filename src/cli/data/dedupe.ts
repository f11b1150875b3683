/** @file `lowrank data dedupe`: a data set without rows that are there twice. */

import { formatBytes } from '../../bytes.js'
import { boolean, integer, listOf, number, path, text } from '../../options/rules.js'
import { formatCount } from '../../progress/terminal.js'
import type { DedupeReport } from '../../transform/dedupe.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { checkAll } from '../usage-error.js'
import { OUTPUT_FILE, ROWS_ARGUMENT, SQL_TABLE } from './flags.js'
import { countLines, expectGiven, ofRows, transform } from './transformation.js'

interface DedupeFlags {
  readonly output?: string
  readonly removed?: string
  readonly sql?: string
  readonly key?: string
  readonly json?: boolean
  readonly columns?: readonly string[]
  readonly exact?: boolean
  readonly ignoreCase?: boolean
  readonly threshold?: number
  readonly shingleSize?: number
  readonly evaluation?: string
  readonly ngramSize?: number
  readonly memory?: string
}

interface Checked extends DedupeFlags {
  readonly dataset: string
}

export const command: Command<DedupeFlags, Checked> = {
  summary: 'leave out rows that are there twice, nearly twice, or in an evaluation set',
  arguments: [ROWS_ARGUMENT],
  flags: {
    output: OUTPUT_FILE,
    removed: {
      rule: path,
      help: 'file for the rows that are left out, with why',
      flag: { name: '--removed', argument: 'file' },
    },
    sql: { ...SQL_TABLE, help: 'write an SQL query for equal rows of this table to stdout, and read no rows' },
    key: {
      rule: text,
      help: 'with --sql: column whose smallest value says which of several equal rows stays',
      flag: { name: '--key', argument: 'column' },
    },
    json: JSON_OBJECT,
    columns: {
      rule: listOf(text, 'names of columns', { minItems: 1 }),
      otherwise: 'all, an id among them',
      help: 'columns whose texts count',
      flag: { name: '--columns', argument: 'names', group: 'What is left out' },
    },
    exact: { rule: boolean, help: 'equal rows alone, none that are near', flag: { name: '--exact' } },
    ignoreCase: { rule: boolean, help: 'A equals a', flag: { name: '--ignore-case' } },
    threshold: {
      rule: number({ above: 0, max: 1 }),
      otherwise: '0.8',
      help: 'Jaccard similarity to a row that stays from which a row is left out',
      flag: { name: '--threshold', argument: 'share' },
    },
    shingleSize: {
      rule: integer({ min: 1 }),
      otherwise: '5',
      help: 'words of a run, of which similarity is a share',
      flag: { name: '--shingle-size', argument: 'count' },
    },
    evaluation: {
      rule: text,
      otherwise: 'none',
      help: 'file of an evaluation set: rows that share a run of words with it are left out',
      flag: { name: '--evaluation', argument: 'file' },
    },
    ngramSize: {
      rule: integer({ min: 1 }),
      otherwise: '13',
      help: 'words of a run that gives a row of the evaluation set away',
      flag: { name: '--ngram-size', argument: 'count' },
    },
    memory: {
      rule: text,
      otherwise: '2GiB',
      help: 'memory that the indexes may take',
      flag: { name: '--memory', argument: 'size' },
    },
  },
  examples: [
    {
      text: 'Leave out rows whose prompts are nearly the same',
      line: 'data dedupe rows.jsonl --columns prompt --output clean.jsonl',
    },
    {
      text: 'Leave out what the evaluation asks',
      line: 'data dedupe rows.jsonl --evaluation dev.jsonl --output new.jsonl',
    },
  ],
  async check({ flags, words: [dataset] }) {
    const { sql, key, columns, output } = flags
    await checkAll(
      'data dedupe',
      sql === undefined
        ? [() => expectGiven('dedupe', 'a file of rows', dataset), () => expectGiven('dedupe', '--output FILE', output)]
        : [
            () => expectGiven('dedupe', '--key COLUMN with --sql', key),
            () => expectGiven('dedupe', '--columns NAMES with --sql', columns?.join()),
          ],
    )
    return { ...flags, dataset: dataset ?? '' }
  },
  async run({ dataset, output = '', sql, key = '', json, exact, ...flags }) {
    if (sql !== undefined) {
      const { dedupeSql } = await import('../../transform/dedupe-sql.js')
      process.stdout.write(dedupeSql(sql, { columns: flags.columns ?? [], key }))
      return
    }
    const { dedupeRows } = await import('../../transform/dedupe.js')
    const options = { dataset, output, ...flags, ...(exact && { threshold: false as const }) }
    const work = (
      onProgress: (rows: number, fraction: number | undefined) => void,
      signal: AbortSignal,
    ): Promise<DedupeReport> => dedupeRows({ ...options, onProgress, signal })
    await transform('Looking for duplicates', json, work, (report, paint) => [
      `${paint('green', 'Kept')} ${ofRows(report.written, report.read)} in ${report.output}`,
      ...countLines({
        'equal to one that stays': report.equal,
        'near to one that stays': report.near,
        'in the evaluation set': report.contaminated,
      }),
      `  ${formatCount(report.compared)} pairs compared, ${formatBytes(report.memory)} of indexes`,
    ])
  },
}
