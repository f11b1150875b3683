/** @file Who asks, as the workspace sees it. */

import { isObject } from '../../values.js'
import { type DatabricksClient, type DatabricksOptions, openDatabricks } from './connect.js'

/** Whom the credentials stand for. */
export interface CurrentUser {
  /** An e-mail address, or the application id of a service principal. */
  readonly userName: string
  readonly displayName: string | undefined
  readonly id: string | undefined
}

/** Options of {@link currentUser}. */
export interface CurrentUserOptions {
  /**
   * The workspace: how to connect, or a client that `connectDatabricks` gave.
   * @default the environment and ~/.databrickscfg say
   */
  databricks?: DatabricksOptions | DatabricksClient
  /**
   * Ends the request with its reason.
   * @default none
   */
  signal?: AbortSignal
}

/**
 * Asks the workspace whom the credentials stand for.
 * @throws OptionError, ServiceError; the reason of the signal
 */
export async function currentUser({ databricks, signal }: CurrentUserOptions = {}): Promise<CurrentUser> {
  const client = await openDatabricks(databricks, signal)
  const me = await client.json<unknown>({
    path: '/api/2.0/preview/scim/v2/Me',
    what: 'the user of the credentials',
    signal,
  })
  const { userName, displayName, id } = isObject(me) ? me : {}
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
  return { userName: text(userName) ?? '', displayName: text(displayName), id: text(id) }
}
