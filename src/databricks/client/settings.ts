/**
 * @file What is known of a workspace and of who asks it: from options, the environment and a profile, in this order.
 * Knows what each setting belongs to, and asks nobody.
 */

import { OptionError } from '../../lowrank-error.js'
import { configFilePath, findProfile } from './config-file.js'

/** Where each setting comes from besides the options: its environment variable and its key in a profile. */
const SOURCES = {
  host: { variable: 'DATABRICKS_HOST', key: 'host' },
  accountId: { variable: 'DATABRICKS_ACCOUNT_ID', key: 'account_id' },
  token: { variable: 'DATABRICKS_TOKEN', key: 'token', method: 'pat' },
  username: { variable: 'DATABRICKS_USERNAME', key: 'username', method: 'basic' },
  password: { variable: 'DATABRICKS_PASSWORD', key: 'password', method: 'basic' },
  clientId: { variable: 'DATABRICKS_CLIENT_ID', key: 'client_id', method: 'oauth' },
  clientSecret: { variable: 'DATABRICKS_CLIENT_SECRET', key: 'client_secret', method: 'oauth' },
  oidcTokenEnv: { variable: 'DATABRICKS_OIDC_TOKEN_ENV', key: 'oidc_token_env', method: 'env-oidc' },
  oidcTokenFilepath: {
    variable: 'DATABRICKS_OIDC_TOKEN_FILEPATH',
    key: 'oidc_token_filepath',
    method: 'file-oidc',
  },
  tokenAudience: { variable: 'DATABRICKS_TOKEN_AUDIENCE', key: 'token_audience' },
  azureWorkspaceResourceId: {
    variable: 'DATABRICKS_AZURE_RESOURCE_ID',
    key: 'azure_workspace_resource_id',
    method: 'azure',
  },
  azureUseMsi: { variable: 'ARM_USE_MSI', key: 'azure_use_msi', method: 'azure' },
  azureClientId: { variable: 'ARM_CLIENT_ID', key: 'azure_client_id', method: 'azure' },
  azureClientSecret: { variable: 'ARM_CLIENT_SECRET', key: 'azure_client_secret', method: 'azure' },
  azureTenantId: { variable: 'ARM_TENANT_ID', key: 'azure_tenant_id', method: 'azure' },
  azureEnvironment: { variable: 'ARM_ENVIRONMENT', key: 'azure_environment' },
  googleServiceAccount: {
    variable: 'DATABRICKS_GOOGLE_SERVICE_ACCOUNT',
    key: 'google_service_account',
    method: 'google',
  },
  googleCredentials: { variable: 'GOOGLE_CREDENTIALS', key: 'google_credentials', method: 'google' },
  metadataServiceUrl: {
    variable: 'DATABRICKS_METADATA_SERVICE_URL',
    key: 'metadata_service_url',
    method: 'metadata-service',
  },
  databricksCliPath: { variable: 'DATABRICKS_CLI_PATH', key: 'databricks_cli_path' },
  authType: { variable: 'DATABRICKS_AUTH_TYPE', key: 'auth_type' },
  warehouseId: { variable: 'DATABRICKS_WAREHOUSE_ID', key: 'warehouse_id' },
  clusterId: { variable: 'DATABRICKS_CLUSTER_ID', key: 'cluster_id' },
} as const satisfies Readonly<Record<string, Source>>

interface Source {
  readonly variable: string
  readonly key: string
  /** The way of asking that it belongs to: two ways at once are refused. */
  readonly method?: string
}

export type SettingName = keyof typeof SOURCES

/** One setting. */
export interface Setting {
  readonly value: string
  /** As people know it: `DATABRICKS_TOKEN`, `token`, `profile "dev"`. */
  readonly source: string
}

/** What was found. */
export interface Settings {
  readonly values: Readonly<Partial<Record<SettingName, Setting>>>
  /** The profile that was read; undefined: none was. */
  readonly profile: string | undefined
  /** The file that was looked at for it. */
  readonly configFile: string
}

export interface GivenSettings extends Readonly<Partial<Record<SettingName, string | undefined>>> {
  readonly profile?: string | undefined
  readonly configFile?: string | undefined
}

/**
 * Finds the settings. The file of profiles is read where a profile is named, or where neither options nor environment
 * have a host or credentials.
 * @throws OptionError for a profile that is not there, and for credentials of two kinds without `authType`
 */
export async function findSettings(given: GivenSettings): Promise<Settings> {
  const values: Partial<Record<SettingName, Setting>> = {}
  const names = Object.keys(SOURCES) as SettingName[]
  for (const name of names) {
    const { variable } = SOURCES[name]
    const option = given[name]
    const fromEnvironment = process.env[variable]
    if (option !== undefined && option !== '') values[name] = { value: option, source: name }
    else if (fromEnvironment) values[name] = { value: fromEnvironment, source: variable }
  }
  const profile = given.profile || process.env.DATABRICKS_CONFIG_PROFILE || undefined
  const configFile = configFilePath(given.configFile)
  const isSettled = names.some(
    (name) => values[name] !== undefined && (name === 'host' || methodOf(name) !== undefined),
  )
  const found = profile === undefined && isSettled ? undefined : await findProfile(profile, configFile)
  if (found !== undefined) {
    const source = `profile ${JSON.stringify(found.name)}`
    for (const name of names) {
      const value = found.values[SOURCES[name].key]
      if (value) values[name] ??= { value, source }
    }
  }
  expectOneMethod(values)
  return { values, profile: found?.name, configFile }
}

/** The environment variable of a setting, for advice. */
export function variableOf(name: SettingName): string {
  return SOURCES[name].variable
}

function methodOf(name: SettingName): string | undefined {
  const source: Source = SOURCES[name]
  return source.method
}

function expectOneMethod(values: Settings['values']): void {
  if (values.authType !== undefined) return
  const methods = new Map<string, string[]>()
  for (const name of Object.keys(values) as SettingName[]) {
    const method = methodOf(name)
    if (method === undefined) continue
    const from = values[name]?.source as string
    const text = from === name || from.startsWith('profile') ? `${name} (${from === name ? 'option' : from})` : from
    methods.set(method, [...(methods.get(method) ?? []), text])
  }
  if (methods.size <= 1) return
  const shown = [...methods].map(([method, from]) => `${method} by ${from.join(', ')}`)
  throw new OptionError(
    `[databricks] expected credentials of one kind, got those of ${methods.size}: ${shown.join('; ')}; remove one, or say ` +
      'which one counts by authType (DATABRICKS_AUTH_TYPE)',
  )
}
