/**
 * @file Tokens of Microsoft Entra ID, which Azure Databricks takes: for a service principal, and for whoever ran
 * `az login`.
 */

import { proxiedFetch } from '../../../http/proxied-fetch.js'
import { OptionError } from '../../../lowrank-error.js'
import type { Settings } from '../settings.js'
import { type AccessToken, keepToken, type TokenSource } from './access-token.js'
import { azureCliToken } from './program-token.js'
import { oauthToken } from './token-endpoint.js'

/** The application that Azure Databricks is in Entra ID, in every tenant. */
const LOGIN_APPLICATION = '2ff814a6-3304-4ab8-85cb-cd0e6f879c1d'

interface Cloud {
  readonly login: string
  readonly management: string
}

/** Azure's clouds by the names of ARM_ENVIRONMENT. */
const CLOUDS: Readonly<Record<string, Cloud>> = {
  public: { login: 'https://login.microsoftonline.com/', management: 'https://management.core.windows.net/' },
  usgovernment: {
    login: 'https://login.microsoftonline.us/',
    management: 'https://management.core.usgovcloudapi.net/',
  },
  china: { login: 'https://login.chinacloudapi.cn/', management: 'https://management.core.chinacloudapi.cn/' },
}

/** Whether a host is one of Azure Databricks, the only ones that take such tokens. */
export function isAzureHost(host: string): boolean {
  return /\.(?:azuredatabricks\.net|databricks\.azure\.(?:us|cn))$/.test(new URL(host).hostname)
}

/** Headers of a service principal of Azure. */
export async function azureServicePrincipal(
  host: string,
  { values }: Settings,
  signal: AbortSignal | undefined,
): Promise<AzureHeaders> {
  const { login, management } = cloudOf(values)
  const tenant = values.azureTenantId?.value ?? (await tenantOf(host, signal))
  const clientId = values.azureClientId?.value ?? ''
  const clientSecret = values.azureClientSecret?.value ?? ''
  const ask = (resource: string, ending: AbortSignal): Promise<AccessToken> =>
    oauthToken({
      url: `${login}${tenant}/oauth2/token`,
      what: 'an access token of the service principal of Azure',
      remedy: 'check ARM_CLIENT_ID, ARM_CLIENT_SECRET and ARM_TENANT_ID',
      secrets: [clientSecret],
      form: { grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret, resource },
      signal: ending,
    })
  return azureHeaders(
    values,
    keepToken((ending) => ask(LOGIN_APPLICATION, ending)),
    keepToken((ending) => ask(management, ending)),
  )
}

/** Headers of whoever has run `az login`. */
export async function azureCli({ values }: Settings, signal: AbortSignal | undefined): Promise<AzureHeaders> {
  const { management } = cloudOf(values)
  const tenant = values.azureTenantId?.value
  const subscription = /^\/subscriptions\/([^/]+)\//.exec(values.azureWorkspaceResourceId?.value ?? '')?.[1]
  const ask = (resource: string) => keepToken((ending) => azureCliToken({ resource, subscription, tenant }, ending))
  const workspace = ask(LOGIN_APPLICATION)
  const isPerson = 'upn' in claimsOf((await workspace.token(signal)).value)
  return azureHeaders(values, workspace, isPerson ? undefined : ask(management))
}

/** Makes the headers of a request. @param rejected A token that the workspace did not take */
type AzureHeaders = (signal: AbortSignal | undefined, rejected?: string) => Promise<Record<string, string>>

function azureHeaders(values: Settings['values'], workspace: TokenSource, management?: TokenSource): AzureHeaders {
  const resourceId = values.azureWorkspaceResourceId?.value
  return async (signal, rejected) => {
    if (rejected !== undefined) workspace.reject(rejected)
    return {
      authorization: `Bearer ${(await workspace.token(signal)).value}`,
      ...(resourceId !== undefined && { 'x-databricks-azure-workspace-resource-id': resourceId }),
      ...(management && { 'x-databricks-azure-sp-management-token': (await management.token(signal)).value }),
    }
  }
}

function cloudOf({ azureEnvironment }: Settings['values']): Cloud {
  const name = azureEnvironment?.value ?? 'PUBLIC'
  const cloud = CLOUDS[name.toLowerCase()]
  if (cloud !== undefined) return cloud
  throw new OptionError(
    `[databricks] expected PUBLIC, USGOVERNMENT or CHINA for ${azureEnvironment?.source}, got ${JSON.stringify(name)}`,
  )
}

/** The tenant of a workspace: its login page leads there. @throws OptionError where it does not */
async function tenantOf(host: string, signal: AbortSignal | undefined): Promise<string> {
  const limit = AbortSignal.timeout(20_000)
  const answer = await proxiedFetch(`${host}/aad/auth`, {
    redirect: 'manual',
    signal: signal ? AbortSignal.any([signal, limit]) : limit,
  }).catch(() => undefined)
  signal?.throwIfAborted()
  await answer?.body?.cancel()
  const location = answer?.headers.get('location') ?? ''
  const [, tenant] = URL.canParse(location) ? new URL(location).pathname.split('/') : []
  if (tenant) return tenant
  throw new OptionError(
    `[databricks] expected the tenant of ${host} for azureTenantId, got none, and its login page names none; set ARM_TENANT_ID`,
  )
}

/** What a JSON web token says, unchecked. */
function claimsOf(token: string): object {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
    return typeof claims === 'object' && claims !== null ? claims : {}
  } catch {
    return {}
  }
}
