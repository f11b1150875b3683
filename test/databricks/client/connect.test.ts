/** @file Who asks a workspace: settings by precedence, the ways of asking, tokens, and no secret in any error. */

import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { connectDatabricks, type DatabricksOptions } from '../../../src/databricks/client/connect.js'
import { currentUser } from '../../../src/databricks/client/current-user.js'
import { FAULTS } from '../../../src/testing/faults.js'
import { type LoopbackWorkspace, startWorkspace } from '../../../src/testing/workspace.js'

const SECRET = 'planted-secret-0123456789abcdef'
const JWT = `eyJhbGciOiJub25lIn0.${Buffer.from('{"sub":"job"}').toString('base64url')}.planted0signature0`
const folder = mkdtempSync(join(tmpdir(), 'lowrank-connect-'))

let workspace: LoopbackWorkspace

beforeAll(async () => {
  workspace = await startWorkspace({ clients: [{ clientId: 'robot', clientSecret: SECRET }] })
})
afterAll(() => workspace.close())

beforeEach(() => {
  for (const name of Object.keys(process.env)) {
    if (/^(?:DATABRICKS|ARM|ACTIONS|GOOGLE)_/.test(name)) vi.stubEnv(name, undefined)
  }
  vi.stubEnv('HOME', mkdtempSync(join(folder, 'home-')))
  vi.stubEnv('PATH', mkdtempSync(join(folder, 'path-')))
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
  workspace.heal()
})

function writeProfiles(text: string, name = '.databrickscfg'): string {
  const file = join(process.env.HOME as string, name)
  writeFileSync(file, text)
  return file
}

/** A program of this name on the path, which prints what it was called with into a file. */
function installProgram(name: string, script: string): string {
  const seen = join(process.env.PATH as string, `${name}.seen`)
  const path = join(process.env.PATH as string, name)
  writeFileSync(path, `#!/bin/sh\n{ echo "$@"; /usr/bin/env; } >> ${seen}\n${script}\n`)
  chmodSync(path, 0o755)
  return seen
}

/** A server on loopback that answers JSON and remembers what it was asked. */
async function jsonServer(
  answer: (request: IncomingMessage, body: string) => object,
): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = []
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const body = Buffer.concat(pieces).toString()
    seen.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)} ${body}`)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(answer(request, body)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  servers.push(server)
  const address = server.address()
  return { url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`, seen }
}
const servers: ReturnType<typeof createServer>[] = []
afterAll(() => {
  for (const server of servers) server.close()
})

const failure = async (options?: DatabricksOptions): Promise<string> => {
  try {
    await currentUser({ databricks: { ...options } })
  } catch (error) {
    expect(inspect(error, { depth: 9 })).not.toMatch(/planted/)
    return (error as Error).message
  }
  return 'nothing was thrown'
}

describe('settings', () => {
  test.each<[string, Record<string, string>, DatabricksOptions, string | undefined, [string, string]]>([
    ['an option goes before the environment', { DATABRICKS_TOKEN: 'b' }, { token: 'a' }, undefined, ['a', 'token']],
    [
      'the environment goes before a profile that is named',
      { DATABRICKS_TOKEN: 'b', DATABRICKS_CONFIG_PROFILE: 'dev' },
      {},
      '[dev]\nhost = https://other\ntoken = c\n',
      ['b', 'DATABRICKS_TOKEN'],
    ],
    [
      'a profile that is named gives what is missing',
      { DATABRICKS_CONFIG_PROFILE: 'dev' },
      {},
      '[DEFAULT]\ntoken = d\n[dev]\n# a comment\ntoken = c ; kept\n',
      ['c ; kept', 'profile "dev"'],
    ],
    [
      'the profile of an option goes before the variable',
      { DATABRICKS_CONFIG_PROFILE: 'x' },
      { profile: 'dev' },
      '[dev]\ntoken=c\n',
      ['c', 'profile "dev"'],
    ],
  ])('%s', async (_, environment, options, profiles, [token, source]) => {
    if (profiles !== undefined) writeProfiles(profiles)
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    const client = await connectDatabricks({ host: workspace.url, ...options })
    expect([client.authType, client.source]).toEqual(['pat', source])
    const seen = await jsonServer(() => ({}))
    const probe = await connectDatabricks({ ...options, host: seen.url })
    await probe.json({ path: '/x', what: 'a test' })
    expect(seen.seen[0]).toContain(`"authorization":"Bearer ${token}"`)
  })

  test.each([
    ['[DEFAULT]\nhost = HOST\ntoken = c\n', 'DEFAULT'],
    ['[__settings__]\ndefault_profile = work\n[DEFAULT]\ntoken = x\n[work]\nhost: HOST\ntoken: c\n', 'work'],
  ])('the default profile counts where there is neither a host nor credentials', async (profiles, profile) => {
    writeProfiles(profiles.replace('HOST', `${workspace.url}/?o=1`))
    const client = await connectDatabricks()
    expect([client.server, client.profile, client.source]).toEqual([workspace.url, profile, `profile "${profile}"`])
  })

  test('a profile inherits nothing from DEFAULT', async () => {
    writeProfiles(`[DEFAULT]\ntoken = ${SECRET}\n[dev]\nhost = ${workspace.url}\n`)
    expect(await failure({ profile: 'dev' })).toMatch(
      /^\[databricks\] expected credentials for the workspace, got none: .*the profile "dev" of .*; set DATABRICKS_TOKEN, or run "databricks auth login"$/,
    )
  })

  test.each<[string, Record<string, string>, DatabricksOptions, string | undefined, RegExp]>([
    [
      'no host',
      {},
      { token: 'x' },
      undefined,
      /expected the address of a workspace for host, got none; set DATABRICKS_HOST, or name a profile of .*\.databrickscfg$/,
    ],
    ['a host that is none', {}, { host: 'a b', token: 'x' }, undefined, /for host, got "a b"; it looks like https:/],
    [
      'a profile that is not there',
      {},
      { profile: 'deb' },
      '[dev]\nhost = x\n',
      /expected a profile of .* for profile, got "deb"; did you mean "dev"\? it has dev$/,
    ],
    [
      'a profile without a file',
      {},
      { profile: 'dev' },
      undefined,
      /expected the profile "dev" in .*, but there is no such file; run "databricks auth login"/,
    ],
    ['the settings as a profile', {}, { profile: '__settings__' }, '[dev]\n', /which holds settings/],
    [
      'a line that is none',
      {},
      {},
      `[DEFAULT]\n${SECRET}\n`,
      /expected "\[profile\]" or "key = value" in line 2 of .*, got something else/,
    ],
    [
      'two kinds of credentials',
      { DATABRICKS_TOKEN: SECRET, DATABRICKS_CLIENT_ID: 'robot' },
      {},
      undefined,
      /got those of 2: pat by DATABRICKS_TOKEN; oauth by DATABRICKS_CLIENT_ID; remove one, or say which one counts by authType/,
    ],
    [
      'a kind that is not supported',
      {},
      { authType: 'external-browser' },
      undefined,
      /for authType, got "external-browser", which is not supported; run "databricks auth login"/,
    ],
    [
      'a kind that does not exist',
      {},
      { authType: 'oauth-m2n' },
      undefined,
      /got "oauth-m2n"; did you mean "oauth-m2m"\?/,
    ],
    [
      'a kind without its settings',
      { DATABRICKS_CLIENT_ID: 'robot' },
      { authType: 'oauth-m2m' },
      undefined,
      /expected clientSecret \(DATABRICKS_CLIENT_SECRET\) for the authType oauth-m2m, got none/,
    ],
    [
      'an option that does not exist',
      {},
      { tokn: SECRET } as DatabricksOptions,
      undefined,
      /unknown option "tokn"; did you mean "token"\?/,
    ],
  ])('%s is refused with what to do', async (_, environment, options, profiles, message) => {
    if (profiles !== undefined) writeProfiles(profiles)
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    const needsHost = !['no host', 'a profile', 'the settings', 'a line'].some((begin) => _.startsWith(begin))
    expect(
      await failure({ ...(needsHost && options.host === undefined && { host: workspace.url }), ...options }),
    ).toMatch(message)
  })

  test('authType says which of two kinds counts', async () => {
    vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
    vi.stubEnv('DATABRICKS_CLIENT_ID', 'robot')
    vi.stubEnv('DATABRICKS_CLIENT_SECRET', SECRET)
    const databricks = { host: workspace.url, authType: 'oauth-m2m' }
    expect((await currentUser({ databricks })).userName).toBe('robot')
    expect((await currentUser({ databricks: { ...databricks, authType: 'pat' } })).userName).toBe('someone@example.com')
  })
})

describe('ways of asking', () => {
  test('a token that the workspace does not know is not told as a permission that lacks', async () => {
    const asked = currentUser({ databricks: { host: workspace.url, token: 'dapi-of-nobody-at-all' } })
    await expect(asked).rejects.toThrow(/serve the user of the credentials, got HTTP 403.*; it does not take the cred/)
  })

  test('a service principal logs in once for many requests, and again when its token is not taken', async () => {
    const client = await connectDatabricks({ host: workspace.url, clientId: 'robot', clientSecret: SECRET })
    const before = workspace.requests.length
    const names = await Promise.all(Array.from({ length: 9 }, () => currentUser({ databricks: client })))
    expect(new Set(names.map(({ userName }) => userName))).toEqual(new Set(['robot']))
    const logins = () => workspace.requests.slice(before).filter(({ path }) => path.startsWith('/oidc/v1/token')).length
    expect(logins()).toBe(1)
    workspace.fail({ path: /scim/, times: 1, with: { status: 401, body: '{"error_code":"UNAUTHENTICATED"}' } })
    expect((await currentUser({ databricks: client })).userName).toBe('robot')
    expect(logins()).toBe(2)
  })

  test('a secret that is wrong is told of without it', async () => {
    expect(await failure({ host: workspace.url, clientId: 'robot', clientSecret: `${SECRET}x` })).toMatch(
      /expected http:.* to give an access token of the service principal, got HTTP 401.*; check clientId and clientSecret/,
    )
  })

  test('a workspace without a configuration of its own has its OAuth at /oidc', async () => {
    workspace.fail({ path: /databricks-config/, with: { status: 404, body: '{"error_code":"NOT_FOUND"}' } })
    const databricks = { host: workspace.url, clientId: 'robot', clientSecret: SECRET }
    expect((await currentUser({ databricks })).userName).toBe('robot')
  })

  test.each([
    ['429', FAULTS.rateLimited(0)],
    ['503', { status: 503, headers: { 'retry-after': '0' } }],
  ])('a token is asked for again after %s', async (_, fault) => {
    workspace.fail({ path: /\/oidc\/v1\/token/, times: 2, with: fault })
    const databricks = { host: workspace.url, clientId: 'robot', clientSecret: SECRET }
    expect((await currentUser({ databricks })).userName).toBe('robot')
    expect(workspace.pendingFaults()).toEqual([])
  })

  test('the token of an identity provider is exchanged, from a variable and from a file', async () => {
    vi.stubEnv('DATABRICKS_OIDC_TOKEN', JWT)
    const fromVariable = await connectDatabricks({ host: workspace.url })
    expect([fromVariable.authType, (await currentUser({ databricks: fromVariable })).userName]).toEqual([
      'env-oidc',
      workspace.state.user,
    ])
    vi.stubEnv('DATABRICKS_OIDC_TOKEN', undefined)
    const file = join(folder, 'jwt')
    writeFileSync(file, `${JWT}\n`)
    const fromFile = await connectDatabricks({
      host: workspace.url,
      oidcTokenFilepath: file,
      clientId: 'federated',
      authType: 'file-oidc',
    })
    expect((await currentUser({ databricks: fromFile })).userName).toBe('federated')
    writeFileSync(file, '')
    expect(await failure({ host: workspace.url, oidcTokenFilepath: file })).toMatch(
      /expected the token of an identity provider in .*, got an empty file/,
    )
  })

  test('a job of GitHub Actions asks for its token with the audience', async () => {
    const github = await jsonServer(() => ({ value: JWT }))
    vi.stubEnv('ACTIONS_ID_TOKEN_REQUEST_URL', `${github.url}/token?api-version=2`)
    vi.stubEnv('ACTIONS_ID_TOKEN_REQUEST_TOKEN', SECRET)
    const client = await connectDatabricks({ host: workspace.url, clientId: 'federated', tokenAudience: 'https://me' })
    expect([client.authType, (await currentUser({ databricks: client })).userName]).toEqual([
      'github-oidc',
      'federated',
    ])
    expect(github.seen[0]).toMatch(
      /^GET \/token\?api-version=2&audience=https%3A%2F%2Fme .*"authorization":"Bearer planted-secret/,
    )
  })

  test.each([
    [
      'the one that the host names',
      { workspace_id: '1', token_federation_default_oidc_audiences: ['named', 'x'] },
      'named',
    ],
    ['the account, where the host has no workspace', { account_id: 'the-account' }, 'the-account'],
    ['else the token endpoint', { workspace_id: '1', account_id: 'the-account' }, '/oidc/v1/token'],
  ])('the audience of a job of GitHub Actions is %s', async (_, metadata, audience) => {
    const github = await jsonServer(() => ({ value: JWT }))
    vi.stubEnv('ACTIONS_ID_TOKEN_REQUEST_URL', `${github.url}/token`)
    vi.stubEnv('ACTIONS_ID_TOKEN_REQUEST_TOKEN', SECRET)
    const body = { oidc_endpoint: `${workspace.url}/oidc`, ...metadata }
    workspace.fail({ path: /databricks-config/, with: { status: 200, body } })
    const client = await connectDatabricks({ host: workspace.url, clientId: 'federated' })
    await currentUser({ databricks: client })
    expect(decodeURIComponent(github.seen[0] ?? '')).toContain(`${audience} `)
  })

  test('a metadata service is told which workspace the token is for', async () => {
    const service = await jsonServer(() => ({
      access_token: workspace.token,
      token_type: 'Bearer',
      expires_on: Date.now() / 1000 + 600,
    }))
    const client = await connectDatabricks({ host: workspace.url, metadataServiceUrl: `${service.url}/token` })
    expect([client.authType, (await currentUser({ databricks: client })).userName]).toEqual([
      'metadata-service',
      workspace.state.user,
    ])
    expect(service.seen[0]).toContain(`"x-databricks-metadata-version":"1","x-databricks-host":"${workspace.url}"`)
  })

  test('whoever has run "databricks auth login" is asked for by profile, and no secret goes to the program', async () => {
    const seen = installProgram(
      'databricks',
      `echo '{"access_token": "${workspace.token}", "expiry": "2099-01-01T00:00:00Z"}'`,
    )
    writeProfiles(`[me]\nhost = ${workspace.url}\nauth_type = databricks-cli\n`)
    vi.stubEnv('SOME_API_KEY', SECRET)
    vi.stubEnv('HF_TOKEN', SECRET)
    const client = await connectDatabricks({ profile: 'me' })
    expect([client.authType, (await currentUser({ databricks: client })).userName]).toEqual([
      'databricks-cli',
      workspace.state.user,
    ])
    expect((await connectDatabricks({ host: workspace.url })).authType).toBe('databricks-cli')
    expect(readFileSync(seen, 'utf8').split('\n')[0]).toBe('auth token --profile me')
    expect(readFileSync(seen, 'utf8')).not.toContain(SECRET)
  })

  test.each([
    [
      'is not logged in',
      `echo "Error: no token dapi0123456789abcdef0123" >&2; exit 1`,
      /expected a token from the Databricks CLI, got "Error: no token \*\*\*"; run "databricks auth login --host http:/,
    ],
    [
      'is too old',
      'echo "usage: databricks"',
      /expected JSON with a token from the Databricks CLI, got something else; install version 0\.205/,
    ],
    ['gives no token', `echo '{"x": "${SECRET}"}'`, /got an answer without one; run "databricks auth login/],
  ])('a Databricks CLI that %s is told of', async (_, script, message) => {
    installProgram('databricks', script)
    expect(await failure({ host: workspace.url })).toMatch(message)
  })

  test('a Databricks CLI that is not there is told of where it is asked for', async () => {
    expect(await failure({ host: workspace.url, authType: 'databricks-cli' })).toMatch(
      /expected the Databricks CLI for authType, but databricks cannot be started; install version/,
    )
  })

  test('a service principal of Azure sends both tokens and the resource', async () => {
    const entra = await jsonServer((_, body) => ({
      access_token: body.includes('2ff814a6') ? workspace.token : `${SECRET}-management`,
      expires_in: '3599',
    }))
    const ask = globalThis.fetch
    vi.stubGlobal('fetch', (url: string, init: RequestInit) =>
      ask(String(url).replace('https://login.microsoftonline.com', entra.url), init),
    )
    const client = await connectDatabricks({
      host: workspace.url,
      azureClientId: 'principal',
      azureClientSecret: SECRET,
      azureTenantId: 'tenant',
      azureWorkspaceResourceId: '/subscriptions/s/x',
    })
    await currentUser({ databricks: client })
    expect(client.authType).toBe('azure-client-secret')
    expect(entra.seen.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'POST /tenant/oauth2/token',
      'POST /tenant/oauth2/token',
    ])
    const headers: Record<string, unknown> = { ...workspace.requests.at(-1)?.headers }
    expect(headers['x-databricks-azure-workspace-resource-id']).toBe('/subscriptions/s/x')
    expect(headers).toHaveProperty('x-databricks-azure-sp-management-token')
  })

  test('whoever has run "az login" needs no second token, a service principal does', async () => {
    const token = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`
    const seen = installProgram('az', `echo '{"accessToken": "${token({ upn: 'me' })}", "expires_on": 4070908800}'`)
    const server = await jsonServer(() => ({}))
    const options = {
      host: server.url,
      authType: 'azure-cli',
      azureWorkspaceResourceId: '/subscriptions/sub/resourceGroups/x',
    }
    await (await connectDatabricks(options)).json({ path: '/x', what: 'a test' })
    expect(readFileSync(seen, 'utf8')).toMatch(
      /^account get-access-token --resource 2ff814a6-3304-4ab8-85cb-cd0e6f879c1d --output json --subscription sub\n/,
    )
    expect(server.seen[0]).not.toContain('management')
    installProgram('az', `echo '{"accessToken": "${token({ appid: 'x' })}", "expires_on": 4070908800}'`)
    await (await connectDatabricks(options)).json({ path: '/x', what: 'a test' })
    expect(server.seen[1]).toContain('x-databricks-azure-sp-management-token')
  })
})
