/** @file An Azure OpenAI resource on the loopback interface, with Entra ID and the deployments of Resource Manager. */

import { randomBytes } from 'node:crypto'
import { errorOf, type HostedServiceOptions, openaiRoutes } from './openai.js'
import { expectOnly, type HostedCall, type HostedRoute, type LoopbackHosted, Refusal, startHosted } from './server.js'

interface Deployment {
  readonly name: string
  readonly body: Record<string, unknown>
  asked: number
}

/**
 * An Azure OpenAI resource with Entra ID and Resource Manager on one address.
 * @returns with AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY, the service principal and the account in `env`
 */
export async function startAzureOpenAi(options: HostedServiceOptions = {}): Promise<LoopbackHosted> {
  const key = randomBytes(16).toString('hex')
  const secret = randomBytes(16).toString('hex')
  const [tenant, client] = ['11111111-2222-3333-4444-555555555555', '66666666-7777-8888-9999-000000000000']
  const [subscription, group, account] = ['aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', 'models', 'loopback']
  const tokens = new Map<string, string>()
  const paid: string[] = []
  const deployments = new Map<string, Deployment>()
  const expectToken = ({ headers }: HostedCall, scope: string): void => {
    const [, token = ''] = /^Bearer (.+)$/.exec(headers.authorization ?? '') ?? []
    if (tokens.get(token) !== scope)
      throw new Refusal(401, 'InvalidAuthenticationToken', 'The access token is invalid or has expired.')
  }
  const authorize = (call: HostedCall): void => {
    if (call.headers['api-key'] === undefined && call.headers.authorization !== `Bearer ${key}`)
      expectToken(call, 'https://cognitiveservices.azure.com/.default')
    else if (call.headers['api-key'] !== key && call.headers.authorization !== `Bearer ${key}`)
      throw new Refusal(401, '401', 'Access denied due to invalid subscription key or wrong API endpoint.')
  }
  const login: HostedRoute = {
    method: 'POST',
    path: /^\/([^/]+)\/oauth2\/v2\.0\/token$/,
    handle: ({ groups, body }) => {
      const form = new URLSearchParams(body.toString())
      if (
        groups[0] !== tenant ||
        form.get('client_id') !== client ||
        form.get('client_secret') !== secret ||
        form.get('grant_type') !== 'client_credentials'
      )
        throw new Refusal(
          401,
          'invalid_client',
          `AADSTS7000215: Invalid client secret provided: ${form.get('client_secret')}`,
        )
      const token = randomBytes(24).toString('hex')
      tokens.set(token, form.get('scope') ?? '')
      return { json: { token_type: 'Bearer', expires_in: 3599, access_token: token } }
    },
  }
  const base = `/subscriptions/${subscription}/resourceGroups/${group}/providers/Microsoft.CognitiveServices/accounts/${account}/deployments/`
  const arm = (method: string, handle: HostedRoute['handle']): HostedRoute => ({
    method,
    path: new RegExp(`^${base.replaceAll('.', '\\.')}([^/]+)$`),
    authorize: (call) => {
      expectToken(call, 'https://management.azure.com/.default')
      if (!/^\d{4}-\d\d-\d\d/.test(call.query.get('api-version') ?? ''))
        throw new Refusal(
          400,
          'MissingApiVersionParameter',
          'The api-version query parameter (?api-version=) is required for all requests.',
        )
    },
    handle,
  })
  const shown = ({ name, body, asked }: Deployment): object => ({
    id: `${base}${name}`,
    name,
    type: 'Microsoft.CognitiveServices/accounts/deployments',
    ...body,
    properties: { ...(body.properties as object), provisioningState: asked > 1 ? 'Succeeded' : 'Creating' },
  })
  const found = ({ groups }: HostedCall): Deployment => {
    const deployment = deployments.get(groups[0] ?? '')
    if (deployment === undefined)
      throw new Refusal(404, 'DeploymentNotFound', `The deployment ${groups[0]} does not exist.`)
    return deployment
  }
  const management: HostedRoute[] = [
    arm('PUT', ({ groups, json }) => {
      expectOnly(json, 'deployment', ['sku', 'properties'])
      expectOnly(json.sku as Record<string, unknown>, 'sku', ['name'], ['capacity'])
      const { model } = json.properties as { readonly model: Record<string, unknown> }
      expectOnly(model, 'model', ['format', 'name'], ['version', 'source'])
      const name = groups[0] ?? ''
      const isNew = !deployments.has(name)
      const deployment = { name, body: json as Record<string, unknown>, asked: 0 }
      deployments.set(name, deployment)
      return { status: isNew ? 201 : 200, json: shown(deployment) }
    }),
    arm('GET', (call) => {
      const deployment = found(call)
      deployment.asked++
      return { json: shown(deployment) }
    }),
    arm('DELETE', (call) => {
      deployments.delete(found(call).name)
      return { status: 200 }
    }),
  ]
  const modelOf = (name: string): string | undefined => {
    const deployment = deployments.get(name)
    return (deployment?.body.properties as { readonly model?: { readonly name?: string } } | undefined)?.model?.name
  }
  const server = await startHosted(
    () => [login, ...management, ...openaiRoutes('/openai(?:/v1)?', authorize, options, paid, modelOf)],
    errorOf,
  )
  const { url, close } = server
  const env = {
    AZURE_OPENAI_ENDPOINT: url,
    AZURE_OPENAI_API_KEY: key,
    AZURE_AUTHORITY_HOST: url,
    LOWRANK_AZURE_MANAGEMENT_URL: url,
    AZURE_TENANT_ID: tenant,
    AZURE_CLIENT_ID: client,
    AZURE_CLIENT_SECRET: secret,
    AZURE_SUBSCRIPTION_ID: subscription,
    AZURE_RESOURCE_GROUP: group,
    AZURE_OPENAI_ACCOUNT: account,
  }
  return { ...server, paid, env, expireTokens: () => tokens.clear(), stop: close, close }
}
