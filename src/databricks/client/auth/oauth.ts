/**
 * @file Tokens by OAuth of the workspace itself: a service principal with its secret (machine to machine), or the token
 * of another identity provider that is exchanged (workload identity federation). See RFC 6749, 8414 and 8693.
 */

import { ServiceError } from '../../../http/service-error.js'
import type { AccessToken } from './access-token.js'
import { askForToken, oauthToken } from './token-endpoint.js'

const SCOPE = 'all-apis'

/** Where a workspace gives tokens. */
export interface TokenEndpoint {
  readonly url: string
  /** Whom tokens of identity providers are for that are exchanged there; undefined: the endpoint itself. */
  readonly audience: string | undefined
}

/**
 * Finds where a workspace gives tokens: its own configuration names the issuer, else it is `/oidc` of the host.
 * @throws ServiceError where it gives none, or an address that is not as safe as the host's
 */
export async function tokenEndpoint(
  host: string,
  accountId: string | undefined,
  signal: AbortSignal,
): Promise<TokenEndpoint> {
  const remedy = 'check that the host is a Databricks workspace'
  const { issuer, audience } = await issuerOf(host, accountId, signal)
  const asked = { url: `${issuer}/.well-known/oauth-authorization-server`, what: 'its OAuth endpoints', remedy }
  const { token_endpoint: url } = await askForToken({ ...asked, secrets: [], signal })
  if (typeof url !== 'string' || !URL.canParse(url)) throw unusable(host, 'an address for token_endpoint', url)
  return { url: expectSafe(host, url), audience }
}

/** A token of a service principal. */
export async function clientCredentialsToken(
  url: string,
  { clientId, clientSecret }: { readonly clientId: string; readonly clientSecret: string },
  signal: AbortSignal,
): Promise<AccessToken> {
  const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
  return await oauthToken({
    url,
    what: 'an access token of the service principal',
    remedy: 'check clientId and clientSecret (DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET)',
    secrets: [clientSecret, basic],
    headers: { authorization: `Basic ${basic}` },
    form: { grant_type: 'client_credentials', scope: SCOPE },
    signal,
  })
}

/** A token for that of another identity provider. */
export async function exchangedToken(
  url: string,
  { jwt, clientId }: { readonly jwt: string; readonly clientId: string | undefined },
  signal: AbortSignal,
): Promise<AccessToken> {
  return await oauthToken({
    url,
    what: "an access token for the identity provider's",
    remedy: 'check the federation policy of the service principal: issuer, audience and subject',
    secrets: [jwt],
    form: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: jwt,
      scope: SCOPE,
      ...(clientId !== undefined && { client_id: clientId }),
    },
    signal,
  })
}

interface Issuer {
  readonly issuer: string
  readonly audience: string | undefined
}

async function issuerOf(host: string, accountId: string | undefined, signal: AbortSignal): Promise<Issuer> {
  const remedy = 'check the host'
  let issuer: unknown
  let audience: string | undefined
  try {
    const url = `${host}/.well-known/databricks-config`
    const metadata = await askForToken({ url, what: 'its configuration', remedy, secrets: [], signal })
    issuer = metadata.oidc_endpoint
    accountId ??= typeof metadata.account_id === 'string' ? metadata.account_id : undefined
    const [first]: unknown[] = [metadata.token_federation_default_oidc_audiences].flat()
    // A host without a workspace is that of an account, which tokens of other providers are for.
    audience = typeof first === 'string' ? first : metadata.workspace_id ? undefined : accountId
  } catch (error) {
    // Older workspaces have no such address.
    if (!(error instanceof ServiceError) || error.status !== 404) throw error
  }
  if (typeof issuer !== 'string' || issuer === '') return { issuer: `${host}/oidc`, audience }
  const settled = issuer.replace('{account_id}', accountId ?? '').replace(/\/+$/, '')
  if (!URL.canParse(settled)) throw unusable(host, 'an address for oidc_endpoint', issuer)
  return { issuer: expectSafe(host, settled), audience }
}

/** Secrets that go to an `https:` host never leave for an `http:` address. */
function expectSafe(host: string, url: string): string {
  if (new URL(url).protocol === 'https:' || new URL(host).protocol === 'http:') return url
  throw unusable(host, 'an https address', url)
}

function unusable(host: string, expected: string, got: unknown): ServiceError {
  return new ServiceError(
    `[databricks] expected ${host} to name ${expected}, got ${JSON.stringify(got) ?? 'none'}; check that the host is a Databricks workspace`,
  )
}
