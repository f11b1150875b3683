/** @file `lowrank data convert`: rows of files in one format become a file in another. */

import { WRITE_OPTIONS, type WriteFormat, writerFor } from '../../data/writers/write-options.js'
import { createBar } from '../../progress/progress.js'
import { formatCount } from '../../progress/terminal.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'

interface ConvertFlags {
  readonly format?: WriteFormat
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
    { name: 'OUT', help: 'the file, whose ending names its format', otherwise: 'needed' },
  ],
  flags: { format: WRITE_OPTIONS.format, json: JSON_OBJECT },
  examples: [
    { text: 'Make a Parquet file of JSON Lines', line: 'data convert rows.jsonl rows.parquet' },
    { text: 'Make JSON Lines of all Parquet files of a folder', line: "data convert 'shards/*.parquet' rows.jsonl" },
  ],
  check({ flags, words: [input = '', output = ''] }) {
    if (input === '' || output === '') throw new UsageError('[data convert] expected IN and OUT, got one path or none')
    writerFor(output, flags.format)
    return { ...flags, input, output }
  },
  async run({ input, output, format, json }) {
    const { writeRows } = await import('../../data/writers/write-rows.js')
    const bar = createBar()
    const onFraction = (fraction: number): void =>
      bar.show({ label: { text: 'Converting', importance: 1 }, fraction, parts: [] })
    const written = await untilSignal((signal) =>
      writeRows(input, output, { ...(format && { format }), onFraction, signal }).finally(() => bar.close()),
    )
    const text = `Wrote ${formatCount(written.rows)} ${written.rows === 1 ? 'row' : 'rows'} to ${written.path}.`
    process.stdout.write(`${json ? JSON.stringify(written) : text}\n`)
  },
}
