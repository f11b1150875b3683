/**
 * @file Who asks which workspace, by options, environment and profiles: the same as databricks-sdk's Config finds, or
 * refused as there. Where the two differ on purpose, the table says how and why.
 */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { connectDatabricks, type DatabricksOptions } from '../../src/databricks/client/connect.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

interface Found {
  readonly host?: string
  readonly authType?: string
  readonly refused?: string
  readonly message?: string
}

interface Case {
  readonly name: string
  readonly env?: Readonly<Record<string, string>>
  readonly options?: DatabricksOptions
  /** Text of `~/.databrickscfg`. */
  readonly profiles?: string
  /** Programs on the path, and what they print. */
  readonly programs?: Readonly<Record<string, object>>
  /** What is found here where that is another than in the SDK, and why. */
  readonly here?: Found & { readonly why: string }
}

const HOST = 'https://dbc-1.cloud.databricks.com'
const AZURE = 'https://adb-1.2.azuredatabricks.net'
const EXPIRY = new Date(Date.now() + 3_600_000).toISOString()
const CLI = { databricks: { access_token: 'of-the-cli', token_type: 'Bearer', expiry: EXPIRY } }
const AZ = { az: { accessToken: 'e30.e30.x', tokenType: 'Bearer', expiresOn: '2099-01-01 00:00:00.000000' } }
const DEV = `[DEFAULT]\nhost = ${HOST}/default\n\n[dev]\nhost = ${HOST}\ntoken = of-dev\n`
/** Replaced by the loopback workspace, and by a server that gives tokens. */
const LOOPBACK = 'http://loopback'
const TOKENS = 'http://tokens'
const M2M = { DATABRICKS_CLIENT_ID: 'robot', DATABRICKS_CLIENT_SECRET: 'robots-secret' }
const GITHUB = { ACTIONS_ID_TOKEN_REQUEST_URL: `${TOKENS}/jwt?v=1`, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-job' }
const ARM = { ARM_CLIENT_ID: 'app', ARM_CLIENT_SECRET: 'apps-secret', ARM_TENANT_ID: 'tenant' }
const pat = (host: string): Readonly<Record<string, string>> => ({ DATABRICKS_HOST: host, DATABRICKS_TOKEN: 'of-env' })

const CASES: readonly Case[] = [
  { name: 'a token of the environment', env: pat(HOST) },
  { name: 'options', options: { host: HOST, token: 'given' } },
  { name: 'options before the environment', env: pat(HOST), options: { host: `${HOST}:8443`, token: 'given' } },
  {
    name: 'an empty option',
    env: pat(HOST),
    options: { token: '' },
    here: { refused: 'otherwise', why: 'an empty token is a mistake, and the error says so' },
  },
  { name: 'an empty variable', env: { ...pat(HOST), DATABRICKS_USERNAME: '' } },
  { name: 'a host without a scheme', env: pat('dbc-1.cloud.databricks.com') },
  { name: 'a host without a scheme, with a port', env: pat('dbc-1.cloud.databricks.com:8443') },
  { name: 'a slash at the end', env: pat(`${HOST}/`) },
  { name: 'several slashes at the end', env: pat(`${HOST}///`) },
  { name: 'the port of https', env: pat(`${HOST}:443`) },
  {
    name: 'an address from the address bar',
    env: pat(`${HOST}/?o=123#job/1`),
    here: { host: HOST, authType: 'pat', why: 'requests to such a host would go astray: path and query are left out' },
  },
  {
    name: 'a host with a path',
    env: pat(`${HOST}/browse`),
    here: { host: HOST, authType: 'pat', why: 'no interface of a workspace lies below a path' },
  },
  {
    name: 'a host in capitals',
    env: pat('https://DBC-1.cloud.databricks.com'),
    here: { host: HOST, authType: 'pat', why: 'names of hosts have no case' },
  },
  { name: 'an account host', env: { ...pat('https://accounts.cloud.databricks.com'), DATABRICKS_ACCOUNT_ID: 'a' } },
  {
    name: 'a token without a host',
    env: { DATABRICKS_TOKEN: 'of-env' },
  },
  { name: 'nothing at all' },
  { name: 'a host alone', env: { DATABRICKS_HOST: HOST } },
  { name: 'a name and password', env: { DATABRICKS_HOST: HOST, DATABRICKS_USERNAME: 'me', DATABRICKS_PASSWORD: 'pw' } },
  { name: 'a name without its password', env: { DATABRICKS_HOST: HOST, DATABRICKS_USERNAME: 'me' } },
  { name: 'token and name', env: { ...pat(HOST), DATABRICKS_USERNAME: 'me', DATABRICKS_PASSWORD: 'pw' } },
  { name: 'token and service principal', env: { ...pat(LOOPBACK), ...M2M } },
  { name: 'token and service principal of Azure', env: { ...pat(AZURE), ...ARM } },
  { name: 'token of the environment, name as option', env: pat(HOST), options: { username: 'me' } },
  {
    name: 'two kinds, one of them chosen',
    env: { ...pat(LOOPBACK), ...M2M, DATABRICKS_AUTH_TYPE: 'oauth-m2m' },
  },
  { name: 'two kinds, the other chosen as option', env: { ...pat(LOOPBACK), ...M2M }, options: { authType: 'pat' } },
  {
    name: 'a kind without its settings',
    env: { DATABRICKS_HOST: HOST, DATABRICKS_AUTH_TYPE: 'pat' },
    here: { refused: 'otherwise', why: 'the error names the setting that is missing' },
  },
  {
    name: 'a kind that nobody knows',
    env: { ...pat(HOST), DATABRICKS_AUTH_TYPE: 'pet' },
    here: { refused: 'otherwise', why: 'the error names the kinds that there are' },
  },
  { name: 'a profile', profiles: DEV, env: { DATABRICKS_CONFIG_PROFILE: 'dev' } },
  { name: 'a profile as option', profiles: DEV, options: { profile: 'dev' } },
  { name: 'a profile inherits nothing', profiles: `${DEV}[bare]\ntoken = x\n`, options: { profile: 'bare' } },
  { name: 'a profile that is not there', profiles: DEV, options: { profile: 'test' } },
  {
    name: 'a profile without a file',
    env: pat(HOST),
    options: { profile: 'dev' },
    here: { refused: 'no such profile', why: 'whoever names a profile means it: the SDK goes on without a word' },
  },
  { name: 'the profile DEFAULT', profiles: `[DEFAULT]\nhost = ${HOST}\ntoken = x\n` },
  { name: 'a file without DEFAULT', profiles: `[dev]\nhost = ${HOST}\ntoken = x\n` },
  {
    name: 'the default that the file names',
    profiles: `[__settings__]\ndefault_profile = dev\n${DEV}`,
  },
  { name: 'a default that is not there', profiles: `[__settings__]\ndefault_profile = prod\n${DEV}` },
  {
    name: 'the settings as a profile',
    profiles: `[__settings__]\nx = 1\n${DEV}`,
    options: { profile: '__settings__' },
  },
  { name: 'a profile beside a host of the environment', profiles: DEV, env: { DATABRICKS_HOST: `${HOST}:8443` } },
  {
    name: 'a named profile fills up the environment',
    profiles: DEV,
    env: { DATABRICKS_HOST: `${HOST}:8443`, DATABRICKS_CONFIG_PROFILE: 'dev' },
  },
  {
    name: 'a named profile of another kind than the environment',
    profiles: `[basic]\nhost = ${HOST}\nusername = me\npassword = pw\n`,
    env: pat(HOST),
    options: { profile: 'basic' },
  },
  {
    name: 'a profile that chooses its kind',
    profiles: `${DEV}username = me\nauth_type = pat\n`,
    options: { profile: 'dev' },
  },
  {
    name: 'keys in capitals, colons and comments',
    profiles: `# x\n[dev]\nHOST: ${HOST}\n; y\nToken : x\n`,
    options: { profile: 'dev' },
  },
  {
    name: 'another file of profiles',
    env: { DATABRICKS_CONFIG_FILE: '~/other.cfg', DATABRICKS_CONFIG_PROFILE: 'dev' },
  },
  { name: 'a service principal', env: { DATABRICKS_HOST: LOOPBACK, ...M2M } },
  {
    name: 'a service principal of a profile',
    profiles: `[robot]\nhost = ${LOOPBACK}\nclient_id = robot\nclient_secret = robots-secret\n`,
    options: { profile: 'robot' },
  },
  { name: 'a service principal without its secret', env: { DATABRICKS_HOST: LOOPBACK, DATABRICKS_CLIENT_ID: 'robot' } },
  { name: 'a token of an identity provider', env: { DATABRICKS_HOST: LOOPBACK, DATABRICKS_OIDC_TOKEN: 'jwt' } },
  {
    name: 'such a token in another variable',
    env: {
      DATABRICKS_HOST: LOOPBACK,
      DATABRICKS_OIDC_TOKEN_ENV: 'MY_JWT',
      MY_JWT: 'jwt',
      DATABRICKS_CLIENT_ID: 'robot',
    },
  },
  {
    name: 'such a token for a service principal',
    env: { DATABRICKS_HOST: LOOPBACK, DATABRICKS_OIDC_TOKEN: 'jwt', DATABRICKS_CLIENT_ID: 'robot' },
  },
  { name: 'such a token in a file', env: { DATABRICKS_HOST: LOOPBACK, DATABRICKS_OIDC_TOKEN_FILEPATH: '~/jwt' } },
  { name: 'a job of GitHub Actions', env: { DATABRICKS_HOST: LOOPBACK, DATABRICKS_CLIENT_ID: 'robot', ...GITHUB } },
  { name: 'a job of GitHub Actions with a token', env: { ...pat(LOOPBACK), ...GITHUB } },
  { name: 'a metadata service', env: { DATABRICKS_HOST: HOST, DATABRICKS_METADATA_SERVICE_URL: `${TOKENS}/token` } },
  { name: 'a service principal of Azure', env: { DATABRICKS_HOST: AZURE, ...ARM } },
  {
    name: 'half a service principal of Azure',
    env: { DATABRICKS_HOST: AZURE, ARM_CLIENT_ID: 'app', ARM_TENANT_ID: 't' },
  },
  { name: 'the command line of Azure', env: { DATABRICKS_HOST: AZURE, ARM_TENANT_ID: 't' }, programs: AZ },
  { name: 'the command line of Databricks', env: { DATABRICKS_HOST: HOST }, programs: CLI },
  {
    name: 'the command line of Databricks by profile',
    profiles: `[me]\nhost = ${HOST}\nauth_type = databricks-cli\n`,
    options: { profile: 'me' },
    programs: CLI,
  },
  { name: 'both command lines', env: { DATABRICKS_HOST: AZURE, ARM_TENANT_ID: 't' }, programs: { ...AZ, ...CLI } },
  { name: 'a token before the command line', env: pat(HOST), programs: CLI },
]

let workspace: LoopbackWorkspace
let tokens: ReturnType<typeof createServer>
beforeAll(async () => {
  workspace = await startWorkspace({ clients: [{ clientId: 'robot', clientSecret: 'robots-secret' }] })
  const answer = { value: 'jwt', access_token: 'of-the-service', token_type: 'Bearer', expires_on: 4_000_000_000 }
  tokens = createServer((_, response) => response.end(JSON.stringify(answer)))
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  tokens.close()
  await workspace.close()
})

/** The environment of a case, with a home of its own. */
function environmentOf({ env = {}, profiles, programs = {} }: Case): Record<string, string> {
  const home = temporaryDirectory()
  const located = (text: string): string =>
    text
      .replaceAll(LOOPBACK, workspace.url)
      .replaceAll(TOKENS, `http://127.0.0.1:${(tokens.address() as AddressInfo).port}`)
      .replace(/^~(?=\/jwt$)/, home)
  writeFileSync(join(home, 'jwt'), 'jwt')
  writeFileSync(join(home, 'other.cfg'), DEV)
  if (profiles !== undefined) writeFileSync(join(home, '.databrickscfg'), located(profiles))
  mkdirSync(join(home, 'bin'))
  for (const [program, prints] of Object.entries(programs)) {
    // Larger than a mebibyte, since the SDK takes a small program for the old one in Python.
    writeFileSync(
      join(home, 'bin', program),
      `#!/bin/sh\ncat <<'END'\n${JSON.stringify(prints)}\nEND\nexit\n${'#'.repeat(2 ** 20)}\n`,
    )
    chmodSync(join(home, 'bin', program), 0o755)
  }
  const variables = Object.entries(env).map(([name, value]) => [name, located(value)])
  return { HOME: home, PATH: `${join(home, 'bin')}:/bin`, ...Object.fromEntries(variables) }
}

const KINDS: Readonly<Record<string, RegExp>> = {
  'two kinds': /expected credentials of one kind/,
  'no such profile': /expected (?:a profile of|the profile) .* (?:for profile|but there is no such file)/,
  reserved: /which holds settings/,
  'no credentials': /expected (?:credentials for the workspace|the address of a workspace for host), got none/,
}

async function foundHere({ options }: Case, env: Readonly<Record<string, string>>): Promise<Found> {
  for (const name of Object.keys(process.env))
    if (/^(?:DATABRICKS|ARM|ACTIONS|GOOGLE)_/.test(name)) vi.stubEnv(name, undefined)
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  try {
    const { server, authType } = await connectDatabricks(options)
    return { host: server, authType }
  } catch (error) {
    const { message } = error as Error
    return { refused: Object.keys(KINDS).find((kind) => KINDS[kind]?.test(message)) ?? 'otherwise', message }
  } finally {
    vi.unstubAllEnvs()
  }
}

/** Without the words, which are each program's own. */
const plain = ({ host, authType, refused }: Found): Found => (refused === undefined ? { host, authType } : { refused })

describeWithPython('databricks-sdk', () => {
  it('finds the same workspace and kind of credentials in each environment, but where the table says why not', async () => {
    const environments = new Map(CASES.map((one) => [one, environmentOf(one)]))
    const asked = CASES.map((one) => ({ name: one.name, env: environments.get(one), options: one.options ?? {} }))
    const { code, stdout, stderr } = await runPython(['test/peers/databricks_config.py'], JSON.stringify(asked))
    expect([code, stderr]).toEqual([0, expect.anything()])
    const theirs = JSON.parse(stdout) as Record<string, Found>
    const differing: string[] = []
    for (const one of CASES) {
      const [sdk, here] = [theirs[one.name] as Found, await foundHere(one, environments.get(one) ?? {})]
      const { why, ...wanted } = one.here ?? { why: undefined, ...sdk }
      const located = JSON.stringify(plain(wanted)).replaceAll(LOOPBACK, workspace.url)
      if (JSON.stringify(plain(here)) !== located)
        differing.push(`${one.name}: SDK ${JSON.stringify(sdk)}, here ${JSON.stringify(here)}`)
      // A reason for a difference that is none any more goes from the table.
      if (why !== undefined && JSON.stringify(plain(sdk)) === located)
        differing.push(`${one.name}: the two are the same`)
    }
    expect(differing).toEqual([])
    expect(Object.keys(theirs)).toHaveLength(CASES.length)
  })
})
