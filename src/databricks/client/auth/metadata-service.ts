/** @file Tokens of a metadata service beside the program, as editors and hosted environments run one. */

import type { AccessToken } from './access-token.js'
import { askForToken, noToken } from './token-endpoint.js'

/** The token of a metadata service. @param host The workspace that it is for */
export async function metadataToken(url: string, host: string, signal: AbortSignal): Promise<AccessToken> {
  const request = {
    url,
    what: 'an access token of the metadata service',
    remedy: 'check DATABRICKS_METADATA_SERVICE_URL, and that whoever runs the service is logged in',
    secrets: [],
    headers: { 'x-databricks-metadata-version': '1', 'x-databricks-host': host },
    signal,
  }
  const { access_token: value, expires_on: expires } = await askForToken(request)
  if (typeof value !== 'string' || value === '') throw noToken(request)
  const seconds = Number(expires)
  return { value, expiresAt: Number.isFinite(seconds) && seconds > 0 ? 1000 * seconds : undefined }
}
