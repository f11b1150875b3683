/** @file The warehouse on which a command runs statements, and what is shown while it works. */

import type { StatementEvent } from '../../databricks/client/statement-options.js'
import { text } from '../../options/rules.js'
import type { createBar } from '../../progress/progress.js'
import { formatDuration } from '../../progress/terminal.js'
import { harmless } from '../../progress/text-width.js'
import type { FlagTable } from '../command.js'

/** Where statements run. */
export interface WarehouseFlags {
  readonly warehouse?: string
}

export const WAREHOUSE_FLAGS = {
  warehouse: {
    rule: text,
    otherwise: 'DATABRICKS_WAREHOUSE_ID, else the first usable one',
    help: 'id or name of the SQL warehouse',
    flag: { name: '--warehouse', argument: 'name', group: 'Statements' },
  },
} as const satisfies FlagTable<WarehouseFlags>

/** Shows what a statement waits for. A warehouse that nobody named is told on stderr, as it may cost money. */
export function showStatement(bar: ReturnType<typeof createBar>, event: StatementEvent): void {
  if (event.type === 'warehouse') {
    const start = event.state === 'RUNNING' ? '' : `, ${event.state.toLowerCase()}: it starts, which takes a while`
    bar.close()
    process.stderr.write(`Warehouse ${harmless(event.name)} (${event.id})${start}\n`)
  } else if (event.type === 'statement') {
    const label = event.state === 'PENDING' ? 'Waiting for the warehouse' : 'Running'
    bar.show({
      label: { text: label, importance: 1 },
      fraction: undefined,
      parts: [{ text: formatDuration(event.seconds), importance: 2 }],
    })
  } else {
    const fraction = event.totalRows > 0 ? event.rows / event.totalRows : undefined
    bar.show({ label: { text: 'Fetching', importance: 1 }, fraction, parts: [] })
  }
}
