/** @file What clients ask before all else: where the workspace logs in, tokens of OAuth, and who asks. */

import { RefusedRequest, type Route, type RouteAnswer } from '../route.js'
import type { WorkspaceState } from '../state.js'

const TOKEN_SECONDS = 3600
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

export const AUTH_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/.well-known/databricks-config',
    isOpen: true,
    handle: (_request, state) => ({
      json: {
        oidc_endpoint: `${state.url}/oidc`,
        account_id: state.accountId,
        workspace_id: state.workspaceId,
        cloud: state.storage.cloud === 'Azure' ? 'azure' : state.storage.cloud.toLowerCase(),
      },
    }),
  },
  {
    method: 'GET',
    path: '/oidc/.well-known/oauth-authorization-server',
    isOpen: true,
    handle: (_request, { url }) => ({
      json: {
        authorization_endpoint: `${url}/oidc/v1/authorize`,
        token_endpoint: `${url}/oidc/v1/token`,
        issuer: `${url}/oidc`,
        grant_types_supported: ['client_credentials', 'urn:ietf:params:oauth:grant-type:token-exchange'],
      },
    }),
  },
  {
    method: 'POST',
    path: '/oidc/v1/token',
    body: 'form',
    isOpen: true,
    handle: ({ form, headers }, state) => {
      if (form.get('scope') === null) throw oauthError('invalid_request', 'scope is missing')
      if (form.get('grant_type') === 'client_credentials')
        return grant(state, clientOf(headers.authorization, form, state))
      if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange')
        throw oauthError('unsupported_grant_type', 'Grant type is not supported')
      if (form.get('subject_token_type') !== JWT)
        throw oauthError('invalid_request', 'subject_token_type is not supported')
      if (!/^[\w-]+\.[\w-]+\.[\w-]*$/.test(form.get('subject_token') ?? ''))
        throw oauthError('invalid_request', 'subject_token is no JWT')
      return grant(state, form.get('client_id') ?? state.user)
    },
  },
  {
    method: 'GET',
    path: '/api/2.0/preview/scim/v2/Me',
    handle: ({ user }, state) => ({
      headers: { 'x-databricks-org-id': state.workspaceId },
      json: {
        schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
        id: '1000',
        userName: user,
        displayName: user,
        active: true,
        emails: [{ type: 'work', value: user, primary: true }],
      },
    }),
  },
]

function grant(state: WorkspaceState, user: string): RouteAnswer {
  const access_token = state.issueToken(user, TOKEN_SECONDS)
  return { json: { access_token, token_type: 'Bearer', expires_in: TOKEN_SECONDS, scope: 'all-apis' } }
}

function clientOf(authorization: string | undefined, form: URLSearchParams, { clients }: WorkspaceState): string {
  const [, basic] = /^Basic (.+)$/.exec(authorization ?? '') ?? []
  const [id, ...secret] = Buffer.from(basic ?? '', 'base64')
    .toString()
    .split(':')
  const given = basic
    ? [decodeURIComponent(id ?? ''), decodeURIComponent(secret.join(':'))]
    : [form.get('client_id'), form.get('client_secret')]
  const known = clients.find(({ clientId, clientSecret }) => clientId === given[0] && clientSecret === given[1])
  if (known === undefined) throw oauthError('invalid_client', 'Client authentication failed', 401)
  return known.clientId
}

/** Errors of OAuth have a form of their own. */
function oauthError(code: string, message: string, status = 400): RefusedRequest {
  return new RefusedRequest(status, code, message, { error: code, error_description: message })
}
