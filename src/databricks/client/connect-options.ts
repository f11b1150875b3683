/** @file The options of a connection to a workspace: rules and help. */

import { integer, path, type Rule, text } from '../../options/rules.js'
import type { OptionTable } from '../../options/table.js'
import type { DatabricksOptions } from './connect.js'

const SECRET: Rule = { ...text, isSecret: true }

/** The options of `connectDatabricks`. */
export const DATABRICKS_OPTIONS = {
  host: { rule: text, otherwise: 'DATABRICKS_HOST', help: 'address of the workspace' },
  profile: { rule: text, otherwise: 'DATABRICKS_CONFIG_PROFILE', help: 'profile of ~/.databrickscfg' },
  configFile: { rule: path, otherwise: '~/.databrickscfg', help: 'file of profiles' },
  authType: { rule: text, otherwise: 'the first whose settings are there', help: 'kind of credentials' },
  token: { rule: SECRET, otherwise: 'DATABRICKS_TOKEN', help: 'personal access token' },
  username: { rule: text, otherwise: 'DATABRICKS_USERNAME', help: 'name for basic authentication' },
  password: { rule: SECRET, otherwise: 'DATABRICKS_PASSWORD', help: 'password for basic authentication' },
  clientId: { rule: text, otherwise: 'DATABRICKS_CLIENT_ID', help: 'application id of a service principal' },
  clientSecret: { rule: SECRET, otherwise: 'DATABRICKS_CLIENT_SECRET', help: 'secret of the service principal' },
  accountId: { rule: text, otherwise: 'what the host says', help: 'account of the workspace' },
  oidcTokenEnv: {
    rule: text,
    otherwise: 'DATABRICKS_OIDC_TOKEN',
    help: "variable that holds an identity provider's token",
  },
  oidcTokenFilepath: {
    rule: path,
    otherwise: 'DATABRICKS_OIDC_TOKEN_FILEPATH',
    help: "file that holds an identity provider's token",
  },
  tokenAudience: {
    rule: text,
    otherwise: 'what the host names, else its token endpoint',
    help: 'whom the token of a GitHub job is for',
  },
  azureWorkspaceResourceId: {
    rule: text,
    otherwise: 'DATABRICKS_AZURE_RESOURCE_ID',
    help: 'resource id of the workspace in Azure',
  },
  azureClientId: { rule: text, otherwise: 'ARM_CLIENT_ID', help: 'service principal of Azure' },
  azureClientSecret: { rule: SECRET, otherwise: 'ARM_CLIENT_SECRET', help: 'its secret' },
  azureTenantId: { rule: text, otherwise: 'that of the login page', help: 'its tenant' },
  azureEnvironment: { rule: text, otherwise: 'PUBLIC', help: 'cloud of Azure: PUBLIC, USGOVERNMENT or CHINA' },
  metadataServiceUrl: {
    rule: text,
    otherwise: 'DATABRICKS_METADATA_SERVICE_URL',
    help: 'address of a metadata service',
  },
  databricksCliPath: { rule: path, otherwise: 'databricks on the path', help: 'the Databricks command line' },
  warehouseId: { rule: text, otherwise: 'DATABRICKS_WAREHOUSE_ID', help: 'SQL warehouse for statements' },
  rateLimit: {
    rule: integer({ min: 1, max: 10_000 }),
    otherwise: 'no limit',
    help: 'requests that may begin within a second',
  },
} as const satisfies OptionTable<DatabricksOptions>
