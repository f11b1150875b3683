/** @file `lowrank clean`: removes what lowrank made in a Databricks workspace. */

import { boolean } from '../options/rules.js'
import type { Command } from './command.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './databricks/connection-flags.js'
import { JSON_OBJECT } from './flags.js'
import { untilSignal } from './until-signal.js'

interface CleanFlags extends ConnectionFlags {
  readonly dryRun?: boolean
  readonly all?: boolean
  readonly json?: boolean
}

export const command: Command<CleanFlags> = {
  summary: 'remove what lowrank made in a Databricks workspace',
  details:
    'Runs are cancelled, serving endpoints and clusters deleted, warehouses stopped, as a record on this machine has ' +
    'them. What is gone already is fine. Ends with 1 where something could not be removed.',
  flags: {
    dryRun: {
      rule: boolean,
      help: 'only list what would be removed',
      flag: { name: '--dry-run', group: 'Removal' },
    },
    all: {
      rule: boolean,
      help: 'remove results too: registered versions and models, tables, files of volumes',
      flag: { name: '--all' },
    },
    json: JSON_OBJECT,
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'See what is there', line: 'clean --dry-run' },
    { text: 'Remove what costs money', line: 'clean' },
  ],
  check: ({ flags }) => flags,
  async run({ dryRun, all, json, ...connection }) {
    const { clean } = await import('../databricks/clean.js')
    const { connectDatabricks } = await import('../databricks/client/connect.js')
    const client = await connectDatabricks(connectionOf(connection))
    const resources = await untilSignal((signal) =>
      clean({
        databricks: client,
        signal,
        ...(dryRun && { dryRun }),
        ...(all && { all }),
        onProgress: ({ outcome, kind, name, id, reason }) => {
          if (json) return
          const shown = id === undefined || id === name ? name : `${name} (${id})`
          process.stdout.write(`${outcome.padEnd(8)} ${kind} ${shown}${reason === undefined ? '' : `: ${reason}`}\n`)
        },
      }),
    )
    const elsewhere = await countElsewhere(client.server)
    if (json) process.stdout.write(`${JSON.stringify({ resources, elsewhere })}\n`)
    else {
      if (resources.length === 0) process.stdout.write('Nothing of this machine is left in the workspace\n')
      for (const [host, count] of Object.entries(elsewhere))
        process.stderr.write(`The record has ${count} more of ${host}: clean them with its profile or host\n`)
    }
    if (resources.some(({ outcome }) => outcome === 'failed')) process.exitCode = 1
  },
}

/** How many things the record has of each other workspace. */
async function countElsewhere(server: string): Promise<Readonly<Record<string, number>>> {
  const { listResources } = await import('../databricks/resources.js')
  const counts: Record<string, number> = {}
  for (const { host } of await listResources()) if (host !== server) counts[host] = (counts[host] ?? 0) + 1
  return counts
}
