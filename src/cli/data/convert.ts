/** @file `lowrank data convert`: rows of files in one format become a file in another. */

import type { DataSource } from '../../data/sources/open-source.js'
import { isTablePath, WRITE_OPTIONS, type WriteFormat, writerFor } from '../../data/writers/write-options.js'
import { listOf, text } from '../../options/rules.js'
import { createBar } from '../../progress/progress.js'
import { countOfRows } from '../../progress/terminal.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { PART_FLAGS, type PartFlags, partOf } from '../part-flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'

interface ConvertFlags extends PartFlags {
  readonly format?: WriteFormat
  readonly partitionBy?: readonly string[]
  readonly json?: boolean
}

interface Checked extends ConvertFlags {
  readonly input: string
  readonly output: string
}

export const command: Command<ConvertFlags, Checked> = {
  summary: 'write the rows of files in another format',
  arguments: [
    { name: 'IN', help: 'path or glob of the rows, in any format that lowrank reads', otherwise: 'needed' },
    {
      name: 'OUT',
      help: 'the file, whose ending names its format; with / at its end, a Delta table',
      otherwise: 'needed',
    },
  ],
  flags: {
    format: WRITE_OPTIONS.format,
    partitionBy: {
      rule: listOf(text, 'names of columns', { minItems: 1 }),
      otherwise: 'none',
      help: 'columns by whose values the rows of a Delta table lie in files of their own',
      flag: { name: '--partition-by', argument: 'names' },
    },
    ...PART_FLAGS,
    json: { ...JSON_OBJECT, flag: { ...JSON_OBJECT.flag, group: 'Output' } },
  },
  instead: (flag) => (flag === 'output' ? 'the path of OUT behind IN, without a flag' : undefined),
  examples: [
    { text: 'Make a Parquet file of JSON Lines', line: 'data convert rows.jsonl rows.parquet' },
    { text: 'Make JSON Lines of all Parquet files of a folder', line: "data convert 'shards/*.parquet' rows.jsonl" },
    {
      text: 'Make a file of a part of a data set of the Hub',
      line: "data convert org/name rows.jsonl --split 'train[:1000]'",
    },
    { text: 'Make a Delta table, a folder for each day', line: 'data convert rows.jsonl table/ --partition-by day' },
  ],
  check({ flags, words: [input = '', output = ''] }) {
    if (input === '' || output === '') throw new UsageError('[data convert] expected IN and OUT, got one path or none')
    if (!isTablePath(output)) writerFor(output, flags.format)
    if (isTablePath(output) ? flags.format !== undefined : flags.partitionBy !== undefined)
      throw new UsageError(
        isTablePath(output)
          ? `[data convert] expected no --format for the Delta table ${output}, got ${flags.format}`
          : `[data convert] expected the folder of a Delta table for --partition-by, got ${output}; end it with /`,
      )
    return { ...flags, input, output }
  },
  async run({ input, output, format, partitionBy, json, ...part }) {
    const rows = partOf(input, part) as DataSource
    const { writeRows } = await import('../../data/writers/write-rows.js')
    const bar = createBar()
    const onFraction = (fraction: number): void =>
      bar.show({ label: { text: 'Converting', importance: 1 }, fraction, parts: [] })
    const write = async (signal: AbortSignal): Promise<{ readonly path: string; readonly rows: number }> => {
      if (!isTablePath(output)) return await writeRows(rows, output, { ...(format && { format }), onFraction, signal })
      const { writeDelta } = await import('../../data/delta/write-delta.js')
      const options = { mode: 'overwrite', ...(partitionBy && { partitionBy }), onFraction, signal } as const
      return await writeDelta(rows, output, options)
    }
    const written = await untilSignal((signal) => write(signal).finally(() => bar.close()))
    const done = `Wrote ${countOfRows(written.rows)} to ${written.path}.`
    process.stdout.write(`${json ? JSON.stringify(written) : done}\n`)
  },
}
