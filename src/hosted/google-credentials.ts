/**
 * @file Who asks Google Cloud, as its clients find it: a file of a service account, whose assertion is signed here, a
 * file of an authorized user, or the metadata server of a machine there.
 */

import { createPrivateKey, sign } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { RestTarget } from '../http/rest.js'
import { OptionError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { isObject } from '../values.js'
import { readAddress } from './requests.js'
import { bearerOf, requestToken } from './tokens.js'

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
const TOKEN_URL = 'https://oauth2.googleapis.com/token'
const HOUR = 3600
const LARGEST_FILE = 1 << 20

/** Who asks, and the project that the credentials name. */
export interface GoogleCredentials {
  readonly authorize: RestTarget['authorize']
  readonly project: string | undefined
}

/** @throws OptionError for a file that holds no credentials */
export async function googleCredentials(given: string | undefined): Promise<GoogleCredentials> {
  const { GOOGLE_APPLICATION_CREDENTIALS, CLOUDSDK_CONFIG } = process.env
  const known = join(CLOUDSDK_CONFIG || join(homedir(), '.config', 'gcloud'), 'application_default_credentials.json')
  const named = given ?? GOOGLE_APPLICATION_CREDENTIALS
  const path = named || (existsSync(known) ? known : undefined)
  if (path === undefined) return { authorize: bearerOf(fromMetadataServer), project: undefined }
  return await fromFile(path)
}

async function fromFile(path: string): Promise<GoogleCredentials> {
  const text = (await readRegularFile(path, { where: 'hosted', limit: LARGEST_FILE })).toString('utf8')
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw noCredentials(path, 'text that is no JSON')
  }
  const fields = isObject(json) ? json : {}
  const textOf = (name: string): string => {
    const value = fields[name]
    if (typeof value === 'string' && value !== '') return value
    throw noCredentials(path, `no ${name}`)
  }
  const tokenUrl = readAddress('token_uri', typeof fields.token_uri === 'string' ? fields.token_uri : TOKEN_URL)
  if (fields.type === 'service_account') {
    const email = textOf('client_email')
    const privateKey = textOf('private_key')
    const keyId = typeof fields.private_key_id === 'string' ? fields.private_key_id : undefined
    const key = parseKey(privateKey, path)
    const project = typeof fields.project_id === 'string' ? fields.project_id : undefined
    return {
      project,
      authorize: bearerOf(async (signal) => {
        const assertion = signAssertion({ email, keyId, key, tokenUrl })
        const form = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }
        return await requestToken(tokenUrl, form, [assertion], { what: `a token for ${email}`, signal })
      }),
    }
  }
  if (fields.type === 'authorized_user') {
    const form = {
      grant_type: 'refresh_token',
      client_id: textOf('client_id'),
      client_secret: textOf('client_secret'),
      refresh_token: textOf('refresh_token'),
    }
    const secrets = [form.client_secret, form.refresh_token]
    return {
      project: typeof fields.quota_project_id === 'string' ? fields.quota_project_id : undefined,
      authorize: bearerOf((signal) =>
        requestToken(tokenUrl, form, secrets, { what: 'a token for the authorized user', signal }),
      ),
    }
  }
  throw noCredentials(path, `type ${String(fields.type)}`)
}

async function fromMetadataServer(signal: AbortSignal | undefined): Promise<Awaited<ReturnType<typeof requestToken>>> {
  const host = process.env.GCE_METADATA_HOST || 'metadata.google.internal'
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/token`
  return await requestToken(url, undefined, [], {
    what: 'a token of the metadata server (no GOOGLE_APPLICATION_CREDENTIALS is set)',
    headers: { 'metadata-flavor': 'Google' },
    signal,
  })
}

function parseKey(pem: string, path: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem)
  } catch {
    throw noCredentials(path, 'a private_key that cannot be read')
  }
}

/** https://developers.google.com/identity/protocols/oauth2/service-account */
function signAssertion({
  email,
  keyId,
  key,
  tokenUrl,
}: {
  readonly email: string
  readonly keyId: string | undefined
  readonly key: ReturnType<typeof createPrivateKey>
  readonly tokenUrl: string
}): string {
  const issued = Math.floor(Date.now() / 1000)
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const head = part({ alg: 'RS256', typ: 'JWT', ...(keyId !== undefined && { kid: keyId }) })
  const claims = part({ iss: email, scope: SCOPE, aud: tokenUrl, iat: issued, exp: issued + HOUR })
  const signature = sign('RSA-SHA256', Buffer.from(`${head}.${claims}`), key).toString('base64url')
  return `${head}.${claims}.${signature}`
}

function noCredentials(path: string, got: string): OptionError {
  return new OptionError(
    `[hosted] expected a service account or an authorized user of Google Cloud in ${path}, got ${got}; download the file again, or name ` +
      'another in GOOGLE_APPLICATION_CREDENTIALS',
  )
}
