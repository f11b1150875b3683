/** @file `lowrank data split`: a data set in files by shares, groups and strata. */

import type { WriteFormat } from '../../data/writers/write-options.js'
import { text } from '../../options/rules.js'
import { countOfRows } from '../../progress/terminal.js'
import type { SplitReport } from '../../transform/split.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { checkAll } from '../usage-error.js'
import { FORMAT, OUTPUT_DIR, ROWS_ARGUMENT, SPLIT_FLAGS, SQL_TABLE } from './flags.js'
import { countLines, expectGiven, readShares, transform } from './transformation.js'

interface SplitFlags {
  readonly output?: string
  readonly split: readonly string[]
  readonly seed?: number
  readonly groupBy?: string
  readonly stratifyBy?: string
  readonly sql?: string
  readonly json?: boolean
  readonly format?: WriteFormat
}

interface Checked extends Omit<SplitFlags, 'split'> {
  readonly dataset: string
  readonly splits: Record<string, number> | undefined
}

export const command: Command<SplitFlags, Checked> = {
  summary: 'split a data set into files, without a group on both sides',
  arguments: [ROWS_ARGUMENT],
  flags: {
    output: OUTPUT_DIR,
    sql: SQL_TABLE,
    json: JSON_OBJECT,
    format: FORMAT,
    split: {
      ...SPLIT_FLAGS.split,
      otherwise: 'train=0.9 and evaluation=0.1',
      help: 'name and share of a split: train=0.9',
    },
    seed: SPLIT_FLAGS.seed,
    groupBy: SPLIT_FLAGS.groupBy,
    stratifyBy: {
      rule: text,
      otherwise: 'the shares hold on average',
      help: 'column: each of its values is divided by the shares; the data is read twice',
      flag: { name: '--stratify-by', argument: 'column' },
    },
  },
  examples: [
    { text: 'Hold out a tenth', line: 'data split rows.jsonl --output parts' },
    {
      text: 'Keep each customer on one side',
      line: 'data split rows.jsonl --output parts --group-by customer',
    },
  ],
  async check({ flags: { split, ...flags }, words: [dataset] }) {
    const [splits] = await checkAll('data split', [
      () => readShares('split', split),
      () => flags.sql ?? expectGiven('split', 'a file of rows', dataset),
      () => flags.sql ?? expectGiven('split', '--output DIR', flags.output),
    ])
    return { ...flags, splits, dataset: dataset ?? '' }
  },
  async run({ dataset, output = '', sql, json, format, splits, seed, groupBy, stratifyBy }) {
    const by = {
      ...(splits && { splits }),
      ...(seed !== undefined && { seed }),
      ...(groupBy && { groupBy }),
      ...(stratifyBy && { stratifyBy }),
    }
    if (sql !== undefined) {
      const { splitSql } = await import('../../transform/split-sql.js')
      process.stdout.write(splitSql(sql, by))
      return
    }
    const { splitRows } = await import('../../transform/split.js')
    const work = (
      onProgress: (rows: number, fraction: number | undefined) => void,
      signal: AbortSignal,
    ): Promise<SplitReport> =>
      splitRows({ dataset, outputDir: output, ...by, ...(format && { format }), onProgress, signal })
    await transform('Splitting', json, work, (report, paint) => [
      `${paint('green', 'Split')} ${countOfRows(report.read)}`,
      ...Object.values(report.splits).map(({ path, rows }) => `  ${countOfRows(rows)} in ${path}`),
      ...countLines({ 'without a group, each by itself': report.withoutGroup }, 'rows '),
    ])
  },
}
