/** @file Flags that the commands of data sets share. */

import { WRITE_OPTIONS } from '../../data/writers/write-options.js'
import { listOf, path, text } from '../../options/rules.js'
import { SEED } from '../../options/shared.js'

export const OUTPUT_FILE = {
  rule: path,
  help: 'file of the rows that are made, whose ending names the format, or / a Delta table; one that is there is replaced',
  flag: { name: '--output', argument: 'file', group: 'Output' },
} as const

export const OUTPUT_DIR = {
  rule: path,
  help: 'directory of the files, one for each split',
  flag: { name: '--output', argument: 'dir', group: 'Output' },
} as const

export const FORMAT = {
  rule: WRITE_OPTIONS.format.rule,
  otherwise: 'jsonl',
  help: 'format of the files of splits: jsonl, csv, parquet or arrow',
  flag: WRITE_OPTIONS.format.flag,
} as const

export const SQL_TABLE = {
  rule: text,
  help: 'write the same as an SQL query on this table to stdout, for DuckDB and Spark, and read no rows',
  flag: { name: '--sql', argument: 'table' },
} as const

export const SPLIT_FLAGS = {
  split: {
    rule: listOf(text, 'names and shares such as train=0.9'),
    default: [],
    flag: { name: '--split', argument: 'name=share', isRepeatable: true, group: 'The splits' },
  },
  seed: { ...SEED, help: 'another seed divides the rows in another way', flag: { name: '--seed', argument: 'number' } },
  groupBy: {
    rule: text,
    otherwise: 'equal rows stay together',
    help: 'column: rows that share its value stay together',
    flag: { name: '--group-by', argument: 'column' },
  },
} as const

export const ROWS_ARGUMENT = { name: 'rows', help: 'file or glob of rows' } as const
