/** @file `lowrank databricks whoami`: whom the credentials stand for. */

import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'

interface WhoamiFlags extends ConnectionFlags {
  readonly json?: boolean
}

export const command: Command<WhoamiFlags> = {
  summary: 'say whom the credentials of a workspace stand for',
  flags: { json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [{ text: 'Ask the workspace of a profile', line: 'databricks whoami --profile dev' }],
  check: ({ flags }) => flags,
  async run({ json, ...connection }) {
    const { currentUser } = await import('../../databricks/client/current-user.js')
    const user = await untilSignal((signal) => currentUser({ databricks: connectionOf(connection), signal }))
    process.stdout.write(`${json ? JSON.stringify(user) : user.userName}\n`)
  },
}
