/**
 * @file The ways in which a workspace can be asked, in the order in which they are tried. A new one is an entry. Names
 * and order are those of Databricks' SDKs ("unified authentication").
 */

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { listNames, nearestName } from '../../../errors.js'
import { OptionError } from '../../../lowrank-error.js'
import type { SettingName, Settings } from '../settings.js'
import { variableOf } from '../settings.js'
import { type AccessToken, keepToken } from './access-token.js'
import { azureCli, azureServicePrincipal, isAzureHost } from './azure.js'
import { isGithubJob, tokenOfEnvironment, tokenOfFile, tokenOfGithub } from './federation.js'
import { metadataToken } from './metadata-service.js'
import { clientCredentialsToken, exchangedToken, type TokenEndpoint, tokenEndpoint } from './oauth.js'
import { databricksCliToken } from './program-token.js'

/** Makes the headers of a request. @param rejected The authorization that the workspace did not take */
export type Authorize = (
  signal: AbortSignal | undefined,
  rejected?: string,
) => Promise<Readonly<Record<string, string>>>

/** How a workspace is asked. */
export interface Credentials {
  /** Name of the way: `pat`, `oauth-m2m`. */
  readonly authType: string
  /** Where the credentials come from, as people know it: `DATABRICKS_TOKEN`. */
  readonly source: string
  readonly authorize: Authorize
}

interface Method {
  readonly authType: string
  /** Settings that it cannot do without. */
  readonly needs: readonly SettingName[]
  /** Whether it is tried where nobody named it, beside having its settings. */
  readonly isThere?: (host: string, settings: Settings) => boolean | Promise<boolean>
  open(host: string, settings: Settings, signal: AbortSignal | undefined): Promise<Authorize> | Authorize
}

const METHODS: readonly Method[] = [
  {
    authType: 'pat',
    needs: ['token'],
    open: (_, settings) => always(`Bearer ${settingOf(settings, 'token')}`),
  },
  {
    authType: 'basic',
    needs: ['username', 'password'],
    open: (_, settings) => {
      const pair = `${settingOf(settings, 'username')}:${settingOf(settings, 'password')}`
      return always(`Basic ${Buffer.from(pair).toString('base64')}`)
    },
  },
  {
    authType: 'metadata-service',
    needs: ['metadataServiceUrl'],
    open: (host, settings) =>
      bearer((signal) => metadataToken(settingOf(settings, 'metadataServiceUrl'), host, signal)),
  },
  {
    authType: 'oauth-m2m',
    needs: ['clientId', 'clientSecret'],
    open: (host, settings) => {
      const client = { clientId: settingOf(settings, 'clientId'), clientSecret: settingOf(settings, 'clientSecret') }
      const endpoint = endpointOf(host, settings)
      return bearer(async (signal) => await clientCredentialsToken((await endpoint(signal)).url, client, signal))
    },
  },
  {
    authType: 'env-oidc',
    needs: [],
    isThere: (_, settings) => Boolean(process.env[oidcVariable(settings)]),
    open: (host, settings) => federated(host, settings, async () => tokenOfEnvironment(oidcVariable(settings))),
  },
  {
    authType: 'file-oidc',
    needs: ['oidcTokenFilepath'],
    open: (host, settings) =>
      federated(host, settings, (_, signal) => tokenOfFile(settingOf(settings, 'oidcTokenFilepath'), signal)),
  },
  {
    authType: 'github-oidc',
    needs: ['clientId'],
    isThere: isGithubJob,
    open: (host, settings) =>
      federated(host, settings, ({ url, audience }, signal) =>
        tokenOfGithub(settings.values.tokenAudience?.value ?? audience ?? url, signal),
      ),
  },
  {
    authType: 'azure-client-secret',
    needs: ['azureClientId', 'azureClientSecret'],
    open: (host, settings, signal) => azure(azureServicePrincipal(host, settings, signal)),
  },
  {
    authType: 'azure-cli',
    needs: [],
    // Other hosts take no token of Azure, so that asking its program would only take time.
    isThere: async (host) => isAzureHost(host) && (await isOnPath('az')),
    open: (_, settings, signal) => azure(azureCli(settings, signal)),
  },
  {
    authType: 'databricks-cli',
    needs: [],
    isThere: (_, { values }) => isOnPath(values.databricksCliPath?.value ?? 'databricks'),
    open: (host, settings) => {
      const program = settings.values.databricksCliPath?.value ?? 'databricks'
      return bearer((signal) => databricksCliToken(program, { profile: settings.profile, host }, signal))
    },
  },
]

/** Ways that Databricks' SDKs know and this one does not, and what to do. */
const OTHERS: Readonly<Record<string, string>> = {
  'external-browser': 'run "databricks auth login", which opens the browser, and use databricks-cli',
  'azure-msi': 'use an Azure service principal, or workload identity federation',
  'github-oidc-azure': 'use github-oidc',
  'azure-devops-oidc': 'write the token to a file and use file-oidc',
  'google-credentials': 'use oauth-m2m, which works on every cloud',
  'google-id': 'use oauth-m2m, which works on every cloud',
  runtime: 'set DATABRICKS_HOST and DATABRICKS_TOKEN in the notebook',
}

/**
 * Chooses how a workspace is asked: as `authType` says, else the first way whose settings are there.
 * @throws OptionError where there is none, or one that is not known
 */
export async function findCredentials(
  host: string,
  settings: Settings,
  signal: AbortSignal | undefined,
): Promise<Credentials> {
  const asked = settings.values.authType
  const method = asked === undefined ? await firstThere(host, settings) : named(asked.value, asked.source)
  if (method === undefined) throw nobody(settings)
  const missing = method.needs.filter((name) => settings.values[name] === undefined)
  if (missing.length > 0) {
    const names = missing.map((name) => `${name} (${variableOf(name)})`).join(' and ')
    throw new OptionError(`[databricks] expected ${names} for the authType ${method.authType}, got none; set it`)
  }
  const source = method.needs.length === 0 ? (asked?.source ?? method.authType) : sourcesOf(method, settings)
  return { authType: method.authType, source, authorize: await method.open(host, settings, signal) }
}

async function firstThere(host: string, settings: Settings): Promise<Method | undefined> {
  for (const method of METHODS) {
    const isSet = method.needs.every((name) => settings.values[name] !== undefined)
    if (isSet && ((await method.isThere?.(host, settings)) ?? true)) return method
  }
  return undefined
}

function named(authType: string, source: string): Method {
  const method = METHODS.find((each) => each.authType === authType)
  if (method !== undefined) return method
  const names = METHODS.map((each) => each.authType)
  const other = Object.hasOwn(OTHERS, authType) ? `, which is not supported; ${OTHERS[authType]}` : undefined
  const nearest = nearestName(authType, names)
  const hint = other ?? (nearest === undefined ? '' : `; did you mean ${JSON.stringify(nearest)}?`)
  throw new OptionError(
    `[databricks] expected ${listNames(names, names.length)} for ${source}, got ${JSON.stringify(authType)}${hint}`,
  )
}

function nobody({ profile, configFile }: Settings): OptionError {
  const looked =
    profile === undefined ? `no profile of ${configFile}` : `the profile ${JSON.stringify(profile)} of ${configFile}`
  return new OptionError(
    `[databricks] expected credentials for the workspace, got none: no options, no variables of the environment, ${looked}, and no ` +
      'databricks program that is logged in; set DATABRICKS_TOKEN, or run "databricks auth login"',
  )
}

function sourcesOf({ needs }: Method, { values }: Settings): string {
  return [...new Set(needs.map((name) => values[name]?.source))].join(' and ')
}

function settingOf({ values }: Settings, name: SettingName): string {
  return values[name]?.value ?? ''
}

function oidcVariable({ values }: Settings): string {
  return values.oidcTokenEnv?.value ?? 'DATABRICKS_OIDC_TOKEN'
}

function always(authorization: string): Authorize {
  return async () => ({ authorization })
}

function bearer(make: (signal: AbortSignal) => Promise<AccessToken>): Authorize {
  const tokens = keepToken(make)
  return async (signal, rejected) => {
    if (rejected !== undefined) tokens.reject(rejected.replace(/^Bearer /, ''))
    return { authorization: `Bearer ${(await tokens.token(signal)).value}` }
  }
}

function federated(
  host: string,
  settings: Settings,
  jwtOf: (endpoint: TokenEndpoint, signal: AbortSignal) => Promise<string>,
): Authorize {
  const endpoint = endpointOf(host, settings)
  const clientId = settings.values.clientId?.value
  return bearer(async (signal) => {
    const found = await endpoint(signal)
    return await exchangedToken(found.url, { jwt: await jwtOf(found, signal), clientId }, signal)
  })
}

/** The token endpoint, which is looked for once. */
function endpointOf(host: string, { values }: Settings): (signal: AbortSignal) => Promise<TokenEndpoint> {
  let found: TokenEndpoint | undefined
  return async (signal) => {
    found ??= await tokenEndpoint(host, values.accountId?.value, signal)
    return found
  }
}

async function azure(opening: ReturnType<typeof azureCli>): Promise<Authorize> {
  const headers = await opening
  return async (signal, rejected) => await headers(signal, rejected?.replace(/^Bearer /, ''))
}

async function isOnPath(program: string): Promise<boolean> {
  const folders = program.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter)
  for (const folder of folders) {
    const isThere = await access(folder === '' ? program : join(folder, program), constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return true
  }
  return false
}
