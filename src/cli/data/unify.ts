/** @file `lowrank data unify`: several data sets in one schema, by a mapping file. */

import type { WriteFormat } from '../../data/writers/write-options.js'
import { listOf, path, text } from '../../options/rules.js'
import { countOfRows } from '../../progress/terminal.js'
import type { UnifyReport } from '../../transform/unify.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { checkAll, UsageError } from '../usage-error.js'
import { FORMAT, OUTPUT_FILE, SPLIT_FLAGS } from './flags.js'
import { countLines, expectGiven, ofRows, readShares, transform } from './transformation.js'

interface UnifyFlags {
  readonly output?: string
  readonly split: readonly string[]
  readonly seed?: number
  readonly groupBy?: string
  readonly sql: readonly string[]
  readonly json?: boolean
  readonly format?: WriteFormat
}

interface Checked extends Omit<UnifyFlags, 'split' | 'sql'> {
  readonly mapping: string
  readonly splits: Record<string, number> | undefined
  /** Tables by the names of sources; empty: rows are read. */
  readonly tables: Readonly<Record<string, string>>
}

export const command: Command<UnifyFlags, Checked> = {
  summary: 'make one data set of several, by a mapping file',
  arguments: [{ name: 'mapping', help: 'YAML file that says how columns of the sources become those of one schema' }],
  flags: {
    output: {
      rule: path,
      help: 'file of all rows, whose ending names the format; with --split the directory of a file for each split',
      flag: OUTPUT_FILE.flag,
    },
    json: JSON_OBJECT,
    format: FORMAT,
    sql: {
      rule: listOf(text, 'names and tables such as loans=main.default.loans'),
      default: [],
      otherwise: 'rows are read',
      help: 'table of a source: write the same as an SQL query to stdout, for DuckDB and Spark',
      flag: { name: '--sql', argument: 'name=table', isRepeatable: true },
    },
    split: {
      ...SPLIT_FLAGS.split,
      otherwise: 'one file',
      help: 'name and share of a split, of each source: train=0.9',
    },
    seed: SPLIT_FLAGS.seed,
    groupBy: SPLIT_FLAGS.groupBy,
  },
  examples: [
    { text: 'Make one file', line: 'data unify unify.yaml --output all.jsonl' },
    {
      text: 'Hold out a tenth of each source',
      line: 'data unify unify.yaml --output all --split train=0.9 --split dev=0.1',
    },
  ],
  async check({ flags: { split, sql, ...flags }, words: [mapping] }) {
    const [checkedMapping, splits, tables] = await checkAll('data unify', [
      () => expectGiven('unify', 'a mapping file', mapping),
      () => readShares('unify', split),
      () => Object.fromEntries(sql.map(readTable)),
      () => (sql.length > 0 ? '' : expectGiven('unify', '--output FILE', flags.output)),
    ])
    if (flags.format !== undefined && splits === undefined)
      throw new UsageError(
        `[data unify] expected --split with --format, got ${flags.format} alone; the ending of --output names the format of one file`,
      )
    return { ...flags, mapping: checkedMapping, splits, tables }
  },
  async run({ mapping, output = '', tables, splits, seed, groupBy, format, json }) {
    if (Object.keys(tables).length > 0) {
      const { unifySql } = await import('../../transform/unify-sql.js')
      process.stdout.write(await unifySql(mapping, tables))
      return
    }
    const { unifySources } = await import('../../transform/unify.js')
    const options = {
      mapping,
      output,
      ...(splits && { splits }),
      ...(seed !== undefined && { seed }),
      ...(groupBy && { groupBy }),
      ...(format && { format }),
    }
    const work = (
      onProgress: (rows: number, fraction: number | undefined) => void,
      signal: AbortSignal,
    ): Promise<UnifyReport> => unifySources({ ...options, onProgress, signal })
    await transform('Unifying', json, work, (report, paint) => [
      `${paint('green', 'Unified')} ${ofRows(report.written, report.read)} in ${report.output}`,
      ...Object.entries(report.sources).flatMap(([name, { read, written, skipped }]) => [
        `  ${name}: ${ofRows(written, read)}`,
        ...countLines(skipped, 'left out: ').map((line) => `  ${line}`),
      ]),
      ...Object.values(report.splits ?? {}).map(({ path: file, rows }) => `  ${countOfRows(rows)} in ${file}`),
    ])
  },
}

function readTable(given: string): readonly [string, string] {
  const [, name, table] = /^([^=]+)=(.+)$/.exec(given) ?? []
  if (name !== undefined && table !== undefined) return [name, table]
  throw new UsageError(
    `[data unify] expected a source and its table such as loans=main.default.loans for --sql, got ${given}`,
  )
}
