/** @file Makes the client of a service of its options and the environment. */

import type { RestTarget } from '../http/rest.js'
import { OptionError } from '../lowrank-error.js'
import { type AzureAccount, azureDeployments } from './azure-deployments.js'
import type { ResolvedConnection } from './connect-options.js'
import { googleCredentials } from './google-credentials.js'
import { openaiService } from './openai-service.js'
import { hostedRest, readAddress } from './requests.js'
import type { HostedService } from './service.js'
import { bearerOf, requestToken } from './tokens.js'
import { vertexService } from './vertex-service.js'

const AZURE_SCOPE = 'https://cognitiveservices.azure.com/.default'
const ARM_SCOPE = 'https://management.azure.com/.default'

/**
 * The service that options and environment name. Asks it nothing.
 * @throws OptionError where something is missing
 */
export async function openService(connection: ResolvedConnection): Promise<HostedService> {
  expectOwnOptions(connection)
  if (connection.provider === 'azure') return azure(connection)
  if (connection.provider === 'openai') return openai(connection)
  return await vertex(connection)
}

/** Options that only one of the services knows. */
const OWN: Readonly<Record<string, readonly string[]>> = {
  azure: [
    'tenantId',
    'clientId',
    'clientSecret',
    'authorityHost',
    'managementUrl',
    'subscriptionId',
    'resourceGroup',
    'accountName',
  ],
  vertex: ['project', 'location', 'credentialsFile', 'bucket', 'storageUrl'],
}

function expectOwnOptions(connection: ResolvedConnection): void {
  for (const [provider, names] of Object.entries(OWN)) {
    if (provider === connection.provider) continue
    const given = names.find((name) => connection[name as keyof ResolvedConnection] !== undefined)
    if (given !== undefined)
      throw new OptionError(
        `[hosted] expected options of ${connection.provider}, got ${given}, which ${provider} has; leave it out`,
      )
  }
  if (connection.provider === 'vertex' && connection.apiKey !== undefined)
    throw new OptionError(
      '[hosted] expected no apiKey for vertex, got one; name credentialsFile, or set GOOGLE_APPLICATION_CREDENTIALS',
    )
}

function openai({ endpoint, apiKey }: ResolvedConnection): HostedService {
  const { OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_ORG_ID, OPENAI_PROJECT_ID } = process.env
  const address = endpoint ?? (OPENAI_BASE_URL || 'https://api.openai.com/v1')
  const key = readKey(apiKey ?? OPENAI_API_KEY, apiKey === undefined ? 'OPENAI_API_KEY' : 'apiKey')
  const base = readAddress(endpoint === undefined ? 'OPENAI_BASE_URL' : 'endpoint', address)
  if (key === undefined && base === 'https://api.openai.com/v1')
    throw new OptionError('[hosted] expected a key for OpenAI in OPENAI_API_KEY, got none; set it')
  const headers = {
    ...(OPENAI_ORG_ID && { 'openai-organization': OPENAI_ORG_ID }),
    ...(OPENAI_PROJECT_ID && { 'openai-project': OPENAI_PROJECT_ID }),
  }
  const who: Readonly<Record<string, string>> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  return openaiService(hostedRest('OpenAI', base, async () => who, headers))
}

function azure(connection: ResolvedConnection): HostedService {
  const { AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY, AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP } = process.env
  const given = connection.endpoint ?? AZURE_OPENAI_ENDPOINT
  if (!given)
    throw new OptionError(
      '[hosted] expected the address of the resource in AZURE_OPENAI_ENDPOINT, got none; set it, or give endpoint',
    )
  // People paste the address with the route that clients of OpenAI want behind it.
  const base = readAddress(connection.endpoint === undefined ? 'AZURE_OPENAI_ENDPOINT' : 'endpoint', given).replace(
    /\/openai(?:\/v1)?$/,
    '',
  )
  const key = readKey(
    connection.apiKey ?? AZURE_OPENAI_API_KEY,
    connection.apiKey === undefined ? 'AZURE_OPENAI_API_KEY' : 'apiKey',
  )
  const authorize: RestTarget['authorize'] =
    key === undefined ? entra(connection, AZURE_SCOPE) : async () => ({ 'api-key': key })
  const management = readAddress(
    'managementUrl',
    connection.managementUrl ?? (process.env.LOWRANK_AZURE_MANAGEMENT_URL || 'https://management.azure.com'),
  )
  let arm: ReturnType<typeof hostedRest> | undefined
  const accountOf = (): AzureAccount => {
    const subscriptionId = connection.subscriptionId ?? AZURE_SUBSCRIPTION_ID
    const resourceGroup = connection.resourceGroup ?? AZURE_RESOURCE_GROUP
    if (!subscriptionId || !resourceGroup)
      throw new OptionError(
        '[hosted] expected subscriptionId and resourceGroup for a deployment of Azure OpenAI, got one or none; set AZURE_SUBSCRIPTION_ID and ' +
          'AZURE_RESOURCE_GROUP',
      )
    return {
      subscriptionId,
      resourceGroup,
      accountName:
        connection.accountName ?? process.env.AZURE_OPENAI_ACCOUNT ?? new URL(base).hostname.split('.')[0] ?? '',
    }
  }
  return openaiService(hostedRest('Azure OpenAI', `${base}/openai/v1`, authorize), {
    resource: hostedRest('Azure OpenAI', base, authorize),
    deployments: azureDeployments(() => {
      arm ??= hostedRest('Azure Resource Manager', management, entra(connection, ARM_SCOPE))
      return arm
    }, accountOf),
  })
}

/** Tokens of a service principal: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow */
function entra(connection: ResolvedConnection, scope: string): RestTarget['authorize'] {
  const { AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_AUTHORITY_HOST } = process.env
  const tenantId = connection.tenantId ?? AZURE_TENANT_ID
  const clientId = connection.clientId ?? AZURE_CLIENT_ID
  const clientSecret = connection.clientSecret ?? AZURE_CLIENT_SECRET
  if (!tenantId || !clientId || !clientSecret)
    throw new OptionError(
      `[hosted] expected ${scope === ARM_SCOPE ? 'a service principal for Azure Resource Manager' : 'AZURE_OPENAI_API_KEY, or a service principal'}` +
        ', got none; set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET',
    )
  const authority = readAddress(
    'authorityHost',
    connection.authorityHost ?? (AZURE_AUTHORITY_HOST || 'https://login.microsoftonline.com'),
  )
  const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret, scope }
  return bearerOf((signal) =>
    requestToken(`${authority}/${encodeURIComponent(tenantId)}/oauth2/v2.0/token`, form, [clientSecret], {
      what: `a token for ${clientId}`,
      signal,
    }),
  )
}

async function vertex(connection: ResolvedConnection): Promise<HostedService> {
  const {
    GOOGLE_CLOUD_PROJECT,
    GOOGLE_CLOUD_LOCATION,
    GOOGLE_VERTEX_BASE_URL,
    STORAGE_EMULATOR_HOST,
    LOWRANK_VERTEX_BUCKET,
  } = process.env
  const credentials = await googleCredentials(connection.credentialsFile)
  const project = connection.project ?? (GOOGLE_CLOUD_PROJECT || credentials.project)
  if (!project)
    throw new OptionError(
      '[hosted] expected a project of Google Cloud in GOOGLE_CLOUD_PROJECT, got none; set it, or give project',
    )
  const location = connection.location ?? (GOOGLE_CLOUD_LOCATION || 'us-central1')
  const own =
    location === 'global' ? 'https://aiplatform.googleapis.com' : `https://${location}-aiplatform.googleapis.com`
  const base = readAddress('endpoint', connection.endpoint ?? (GOOGLE_VERTEX_BASE_URL || own))
  const emulator =
    STORAGE_EMULATOR_HOST &&
    (/^https?:/.test(STORAGE_EMULATOR_HOST) ? STORAGE_EMULATOR_HOST : `http://${STORAGE_EMULATOR_HOST}`)
  const storage = readAddress('storageUrl', connection.storageUrl ?? (emulator || 'https://storage.googleapis.com'))
  return vertexService(
    hostedRest('Vertex AI', base, credentials.authorize),
    hostedRest('Cloud Storage', storage, credentials.authorize),
    {
      project,
      location,
      bucket: connection.bucket ?? (LOWRANK_VERTEX_BUCKET || undefined),
    },
  )
}

function readKey(given: string | undefined, name: string): string | undefined {
  const key = given?.trim()
  if (!key) return undefined
  if (/^[\x21-\x7e]+$/.test(key)) return key
  throw new OptionError(`[hosted] expected a key for ${name}, got text that cannot be sent as one; correct it`)
}
