/** @file `lowrank databricks warehouses start`: starts a SQL warehouse, or waits for one that starts already. */

import type { Command } from '../../command.js'
import { JSON_OBJECT } from '../../flags.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord } from '../given.js'
import { writeFields, writeJson } from '../output.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from '../waiting.js'

interface StartFlags extends ConnectionFlags, WaitFlags {
  readonly json?: boolean
}

interface Start extends StartFlags {
  readonly id: string
}

const NAME = 'databricks warehouses start'

export const command: Command<StartFlags, Start> = {
  summary: 'start a SQL warehouse and wait until it runs',
  details: 'Ctrl-C ends the wait, and the warehouse goes on. lowrank clean stops it, unless it ran before.',
  arguments: [{ name: 'warehouse-id', help: 'id of the SQL warehouse', otherwise: 'needed' }],
  flags: { ...WAIT_FLAGS, json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [{ text: 'Start one, and wait', line: 'databricks warehouses start 0123456789abcdef' }],
  check: ({ flags, words: [word] }) => ({ ...flags, id: expectWord(NAME, 'the id of the SQL warehouse', word) }),
  async run({ id, json, noWait, ...flags }) {
    const { startWarehouse } = await import('../../../databricks/warehouses.js')
    const warehouse = await showWait(`The SQL warehouse ${id}`, flags, (here, { made }) => {
      const own = 'lowrank databricks warehouses'
      made(`it goes on in the workspace; ${own} start ${id} waits for it, warehouses stop ${id} stops it`)
      return startWarehouse(id, { databricks: connectionOf(flags), ...here, wait: noWait !== true })
    })
    if (json) writeJson(warehouse)
    else writeFields({ id: warehouse.id, name: warehouse.name, state: warehouse.state })
  },
}
