/** @file A workspace that can be asked: who it is, who asks, and with which patience. */

import { describeValue } from '../../errors.js'
import { rateLimiter } from '../../http/rate-limit.js'
import { createRest, type RestClient } from '../../http/rest.js'
import { OptionError } from '../../lowrank-error.js'
import { readOptions } from '../../options/table.js'
import { packageVersion } from '../../version.js'
import { findCredentials } from './auth/methods.js'
import { DATABRICKS_OPTIONS } from './connect-options.js'
import { type Asker, databricksError } from './errors.js'
import { findSettings } from './settings.js'

/** A Databricks workspace, and who asks it. What is left out comes from the environment, then from a profile. */
export interface DatabricksOptions {
  /**
   * Address of the workspace, such as `https://adb-1234567890123456.7.azuredatabricks.net`.
   * @default DATABRICKS_HOST
   */
  host?: string
  /**
   * Profile of `~/.databrickscfg`.
   * @default DATABRICKS_CONFIG_PROFILE; without host and credentials the file's default profile
   */
  profile?: string
  /**
   * Path of the file of profiles.
   * @default DATABRICKS_CONFIG_FILE, else `~/.databrickscfg`
   */
  configFile?: string
  /**
   * Kind of credentials: 'pat', 'basic', 'metadata-service', 'oauth-m2m', 'env-oidc', 'file-oidc', 'github-oidc',
   * 'azure-client-secret', 'azure-cli' or 'databricks-cli'.
   * @default DATABRICKS_AUTH_TYPE, else the first of these whose settings are there
   */
  authType?: string
  /**
   * Personal access token, sent to the host alone; never part of an error or a file.
   * @default DATABRICKS_TOKEN
   */
  token?: string
  /**
   * Name for basic authentication.
   * @default DATABRICKS_USERNAME
   */
  username?: string
  /**
   * Password for basic authentication.
   * @default DATABRICKS_PASSWORD
   */
  password?: string
  /**
   * Application id of a service principal.
   * @default DATABRICKS_CLIENT_ID
   */
  clientId?: string
  /**
   * Secret of the service principal, sent to the token endpoint of the host alone.
   * @default DATABRICKS_CLIENT_SECRET
   */
  clientSecret?: string
  /**
   * Account that the workspace belongs to.
   * @default DATABRICKS_ACCOUNT_ID, else what the host says
   */
  accountId?: string
  /**
   * Environment variable that holds the token of an identity provider.
   * @default DATABRICKS_OIDC_TOKEN_ENV, else 'DATABRICKS_OIDC_TOKEN'
   */
  oidcTokenEnv?: string
  /**
   * File that holds the token of an identity provider.
   * @default DATABRICKS_OIDC_TOKEN_FILEPATH
   */
  oidcTokenFilepath?: string
  /**
   * Whom the token of a job of GitHub Actions is for.
   * @default DATABRICKS_TOKEN_AUDIENCE, else what the host names, else its token endpoint
   */
  tokenAudience?: string
  /**
   * Resource id of the workspace in Azure.
   * @default DATABRICKS_AZURE_RESOURCE_ID
   */
  azureWorkspaceResourceId?: string
  /**
   * Application id of a service principal of Azure.
   * @default ARM_CLIENT_ID
   */
  azureClientId?: string
  /**
   * Its secret, sent to the login of Azure alone.
   * @default ARM_CLIENT_SECRET
   */
  azureClientSecret?: string
  /**
   * Tenant of the service principal.
   * @default ARM_TENANT_ID, else the tenant that the login page of the host leads to
   */
  azureTenantId?: string
  /**
   * Cloud of Azure: PUBLIC, USGOVERNMENT or CHINA.
   * @default ARM_ENVIRONMENT, else 'PUBLIC'
   */
  azureEnvironment?: string
  /**
   * Address of a metadata service.
   * @default DATABRICKS_METADATA_SERVICE_URL
   */
  metadataServiceUrl?: string
  /**
   * Path of the Databricks command line.
   * @default DATABRICKS_CLI_PATH, else `databricks` on the path
   */
  databricksCliPath?: string
  /**
   * SQL warehouse that statements run on.
   * @default DATABRICKS_WAREHOUSE_ID
   */
  warehouseId?: string
  /**
   * Requests that may begin within a second.
   * @default no limit; the workspace's own is met by waiting as it asks
   */
  rateLimit?: number
}

/** A workspace that can be asked. */
export interface DatabricksClient extends RestClient {
  /** Kind of credentials: `pat`, `oauth-m2m`. */
  readonly authType: string
  /** Where the credentials come from, as people know it: `DATABRICKS_TOKEN`, `profile "dev"`. */
  readonly source: string
  /** The profile that was read; undefined: none was. */
  readonly profile: string | undefined
  /** SQL warehouse that statements run on; undefined: none was named. */
  readonly warehouseId: string | undefined
}

/**
 * Finds out who asks which workspace. Options go before the environment, and that before the profile; credentials of
 * two kinds are refused unless `authType` says which count. Tokens are asked for when the first request needs one.
 * @throws OptionError for options that do not fit, or credentials that are not there; ServiceError where what gives
 * tokens does not
 */
export async function connectDatabricks(
  options: DatabricksOptions = {},
  signal?: AbortSignal,
): Promise<DatabricksClient> {
  signal?.throwIfAborted()
  const { rateLimit, ...given } = readOptions('databricks', options, DATABRICKS_OPTIONS)
  const settings = await findSettings(given)
  const { host, warehouseId } = settings.values
  if (host === undefined) {
    throw new OptionError(
      '[databricks] expected the address of a workspace for host, got none; set DATABRICKS_HOST, or name a profile of ' +
        settings.configFile,
    )
  }
  const server = originOf(host.value, host.source)
  const { authType, source, authorize } = await findCredentials(server, settings, signal)
  const asker: Asker = { server, authType, source }
  const rest = createRest({
    server,
    where: 'databricks',
    setting: ', and that DATABRICKS_HOST is right',
    headers: { 'user-agent': `lowrank/${packageVersion() ?? '0'} node/${process.versions.node}` },
    authorize: (ending, rejected) => authorize(ending, rejected?.authorization),
    errorOf: (answer, { what }) => databricksError(answer, what, asker),
    ...(rateLimit !== undefined && { admit: rateLimiter(rateLimit) }),
  })
  return { ...rest, authType, source, profile: settings.profile, warehouseId: warehouseId?.value }
}

/** `https://host` of what people give: with or without the scheme, with a path from the address bar. */
function originOf(host: string, source: string): string {
  const address = /^https?:\/\//i.test(host) ? host : `https://${host}`
  if (URL.canParse(address) && new URL(address).username === '') return new URL(address).origin
  throw new OptionError(
    `[databricks] expected the address of a workspace for ${source}, got ${describeValue(host)}; it looks like https://NAME.cloud.databricks.com`,
  )
}

/** The workspace that a call was given: one that is connected already, or how to connect. */
export async function openDatabricks(
  databricks: DatabricksOptions | DatabricksClient | undefined,
  signal: AbortSignal | undefined,
): Promise<DatabricksClient> {
  return databricks !== undefined && 'sendTo' in databricks ? databricks : await connectDatabricks(databricks, signal)
}
