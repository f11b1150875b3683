/**
 * @file `lowrank databricks login-check`: which workspace is asked, with which credentials, and whether it takes
 * them.
 */

import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'

interface LoginCheckFlags extends ConnectionFlags {
  readonly json?: boolean
}

export const command: Command<LoginCheckFlags> = {
  summary: 'say which workspace and credentials are used, and whether they work',
  details:
    'Credentials are named by where they come from, never shown. The exit code is 0 where the workspace takes them.',
  flags: { json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [{ text: 'Check what the environment gives', line: 'databricks login-check' }],
  check: ({ flags }) => flags,
  async run({ json, ...connection }) {
    const { connectDatabricks } = await import('../../databricks/client/connect.js')
    const { currentUser } = await import('../../databricks/client/current-user.js')
    await untilSignal(async (signal) => {
      const client = await connectDatabricks(connectionOf(connection), signal)
      const { server, authType, source, profile, warehouseId } = client
      const found = { host: server, authType, source, profile, warehouseId }
      if (!json) process.stdout.write(lines(found))
      const user = await currentUser({ databricks: client, signal })
      process.stdout.write(
        json ? `${JSON.stringify({ ...found, ...user })}\n` : lines({ 'logged in as': user.userName }),
      )
    })
  },
}

function lines(values: Readonly<Record<string, string | undefined>>): string {
  const shown = Object.entries(values).filter(([, value]) => value !== undefined)
  return shown.map(([name, value]) => `${(NAMES[name] ?? name).padEnd(14)}${value}\n`).join('')
}

const NAMES: Readonly<Record<string, string>> = {
  host: 'workspace',
  authType: 'credentials',
  source: 'from',
  warehouseId: 'warehouse',
}
