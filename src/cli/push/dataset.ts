/** @file `lowrank push dataset`: rows of files become a table of Unity Catalog. */

import { formatBytes } from '../../bytes.js'
import type { DataSource } from '../../data/sources/open-source.js'
import { parseTableAddress } from '../../databricks/client/table-address.js'
import { PUSH_DATASET_OPTIONS, type PushDatasetOptions, type PushEvent } from '../../databricks/push/options.js'
import { createBar } from '../../progress/progress.js'
import { countOfRows } from '../../progress/terminal.js'
import type { Command } from '../command.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../databricks/connection-flags.js'
import { showStatement, WAREHOUSE_FLAGS, type WarehouseFlags } from '../databricks/warehouse-flag.js'
import { JSON_OBJECT } from '../flags.js'
import { KEY_VALUES, keyValues } from '../key-values.js'
import { PART_FLAGS, type PartFlags, partOf } from '../part-flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'

interface PushFlags extends PartFlags, WarehouseFlags, ConnectionFlags {
  readonly mode?: PushDatasetOptions['mode']
  readonly comment?: string
  readonly columnComment?: readonly string[]
  readonly columnType?: readonly string[]
  readonly tag?: readonly string[]
  readonly pushName?: string
  readonly volume?: string
  readonly keepFiles?: boolean
  readonly json?: boolean
}

interface Push extends PushFlags {
  readonly input: string
  readonly table: string
  readonly columnComments: Readonly<Record<string, string>>
  readonly columnTypes: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
}

const { mode, comment, pushName, volume, keepFiles } = PUSH_DATASET_OPTIONS
const NAME = 'push dataset'

export const command: Command<PushFlags, Push> = {
  summary: 'bring rows of files into a table of Unity Catalog',
  details:
    'Rows go as Parquet files to a volume and become visible in one commit. The same rows are appended once, so that a push ' +
    'that was killed is run again as it is.',
  arguments: [
    { name: 'IN', help: 'path, glob or Delta table of the rows, or a data set of the Hub', otherwise: 'needed' },
    { name: 'TABLE', help: 'CATALOG.SCHEMA.TABLE', otherwise: 'needed' },
  ],
  flags: {
    mode: { ...mode, flag: { ...mode.flag, group: 'Table' } },
    comment,
    columnComment: {
      rule: KEY_VALUES,
      otherwise: 'none',
      help: 'what people read about a column',
      flag: { name: '--column-comment', argument: 'column=text', isRepeatable: true },
    },
    columnType: {
      rule: KEY_VALUES,
      otherwise: 'that of the values',
      help: 'type of a column of a new table, as in day=DATE',
      flag: { name: '--column-type', argument: 'column=type', isRepeatable: true },
    },
    tag: {
      rule: KEY_VALUES,
      otherwise: 'none',
      help: 'a tag of the table',
      flag: { name: '--tag', argument: 'key=value', isRepeatable: true },
    },
    pushName,
    volume,
    keepFiles,
    ...PART_FLAGS,
    ...WAREHOUSE_FLAGS,
    json: JSON_OBJECT,
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'Make a table of a file', line: 'push dataset rows.jsonl main.default.rows --comment "For chat"' },
    {
      text: 'Append a part of a data set',
      line: "push dataset org/name a.b.c --split 'train[:1000]' --mode append",
    },
    {
      text: 'Replace a table, with tags',
      line: 'push dataset rows.parquet a.b.c --mode overwrite --tag pii=no',
    },
  ],
  check({ flags, words: [input = '', table = ''] }) {
    if (input === '' || table === '')
      throw new UsageError(
        `[${NAME}] expected IN and TABLE, got one of them or none; write: ${NAME} IN CATALOG.SCHEMA.TABLE`,
      )
    if (parseTableAddress(table).version !== undefined)
      throw new UsageError(`[${NAME}] expected a table without a version, got ${table}; leave the version out`)
    return {
      ...flags,
      input,
      table,
      columnComments: keyValues(NAME, '--column-comment', flags.columnComment),
      columnTypes: keyValues(NAME, '--column-type', flags.columnType),
      tags: keyValues(NAME, '--tag', flags.tag),
    }
  },
  async run({ input, table, columnComments, columnTypes, tags, ...flags }) {
    const { pushDataset } = await import('../../databricks/push/push-dataset.js')
    const rows = partOf(input, flags) as DataSource
    const bar = createBar()
    const given = {
      mode: flags.mode,
      comment: flags.comment,
      pushName: flags.pushName,
      volume: flags.volume,
      keepFiles: flags.keepFiles,
      warehouseId: flags.warehouse,
    }
    const pushed = await untilSignal((signal) =>
      pushDataset(rows, table, {
        ...(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as PushDatasetOptions),
        columnComments,
        columnTypes,
        tags,
        databricks: connectionOf(flags),
        onProgress: (event) => show(bar, event),
        signal,
      }).finally(() => bar.close()),
    )
    if (flags.json) process.stdout.write(`${JSON.stringify(pushed)}\n`)
    else
      process.stdout.write(
        pushed.wasThere
          ? `${pushed.table} has these ${countOfRows(pushed.rows)} already; give --push-name to append them again\n`
          : `Pushed ${countOfRows(pushed.rows)} to ${pushed.table}, version ${pushed.version}\n`,
      )
  },
}

function show(bar: ReturnType<typeof createBar>, event: PushEvent): void {
  if (event.type === 'prepare')
    bar.show({ label: { text: 'Preparing', importance: 1 }, fraction: event.fraction, parts: [] })
  else if (event.type === 'upload') {
    const text = `${formatBytes(event.bytes)} of ${formatBytes(event.totalBytes)}`
    const fraction = event.totalBytes > 0 ? event.bytes / event.totalBytes : undefined
    bar.show({ label: { text: 'Uploading', importance: 1 }, fraction, parts: [{ text, importance: 2 }] })
  } else showStatement(bar, event)
}
