/** @file Flags that say which Databricks workspace is asked, for all commands that ask one. */

import type { DatabricksOptions } from '../../databricks/client/connect.js'
import { text } from '../../options/rules.js'
import type { FlagTable } from '../command.js'

/** Which workspace. */
export interface ConnectionFlags {
  readonly profile?: string
  readonly host?: string
}

export const CONNECTION_FLAGS = {
  profile: {
    rule: text,
    otherwise: 'DATABRICKS_CONFIG_PROFILE, else the environment',
    help: 'profile of ~/.databrickscfg',
    flag: { name: '--profile', argument: 'name', group: 'Workspace' },
  },
  host: {
    rule: text,
    otherwise: 'DATABRICKS_HOST, else that of the profile',
    help: 'address of the workspace',
    flag: { name: '--host', argument: 'url' },
  },
} as const satisfies FlagTable<ConnectionFlags>

/** What was typed, as options of `connectDatabricks`. */
export function connectionOf({ profile, host }: ConnectionFlags): DatabricksOptions {
  return { ...(profile !== undefined && { profile }), ...(host !== undefined && { host }) }
}
