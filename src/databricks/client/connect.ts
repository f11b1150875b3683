/** @file A workspace that can be asked: who it is, who asks, and with which patience. */

import { createRest, type RestClient } from '../../http/rest.js'
import { OptionError } from '../../lowrank-error.js'
import { packageVersion } from '../../version.js'
import { type Asker, databricksError } from './errors.js'

/** A Databricks workspace, and who asks it. What is left out comes from the environment. */
export interface DatabricksOptions {
  /**
   * Address of the workspace, such as `https://adb-1234567890123456.7.azuredatabricks.net`.
   * @default DATABRICKS_HOST
   */
  host?: string
  /**
   * Personal access token, sent to the host alone; never part of an error or a file.
   * @default DATABRICKS_TOKEN
   */
  token?: string
  /**
   * SQL warehouse that statements run on.
   * @default DATABRICKS_WAREHOUSE_ID
   */
  warehouseId?: string
}

/** A workspace that can be asked. */
export interface DatabricksClient extends RestClient {
  /** Kind of credentials: `pat`, `oauth-m2m`. */
  readonly authType: string
  /** SQL warehouse that statements run on; undefined: none was named. */
  readonly warehouseId: string | undefined
}

/**
 * Finds out who asks which workspace. Nothing is asked of the workspace itself.
 * @throws OptionError for options that do not fit, or credentials that are not there
 */
export async function connectDatabricks(
  options: DatabricksOptions = {},
  signal?: AbortSignal,
): Promise<DatabricksClient> {
  signal?.throwIfAborted()
  const { DATABRICKS_HOST, DATABRICKS_TOKEN, DATABRICKS_WAREHOUSE_ID } = process.env
  const host = options.host ?? DATABRICKS_HOST
  const token = options.token ?? DATABRICKS_TOKEN
  if (!host)
    throw new OptionError('[databricks] expected the address of a workspace for host, got none; set DATABRICKS_HOST')
  if (!token) throw new OptionError('[databricks] expected credentials, got none; set DATABRICKS_TOKEN')
  const server = new URL(/^https?:\/\//.test(host) ? host : `https://${host}`).origin
  const asker: Asker = { server, authType: 'pat', source: options.token === undefined ? 'DATABRICKS_TOKEN' : 'token' }
  const rest = createRest({
    server,
    where: 'databricks',
    setting: ', and that DATABRICKS_HOST is right',
    headers: { 'user-agent': `lowrank/${packageVersion() ?? '0'} node/${process.versions.node}` },
    authorize: async () => ({ authorization: `Bearer ${token}` }),
    errorOf: (answer, { what }) => databricksError(answer, what, asker),
  })
  return { ...rest, authType: asker.authType, warehouseId: options.warehouseId ?? DATABRICKS_WAREHOUSE_ID }
}

/** The workspace that a call was given: one that is connected already, or how to connect. */
export async function openDatabricks(
  databricks: DatabricksOptions | DatabricksClient | undefined,
  signal: AbortSignal | undefined,
): Promise<DatabricksClient> {
  return databricks !== undefined && 'sendTo' in databricks ? databricks : await connectDatabricks(databricks, signal)
}
