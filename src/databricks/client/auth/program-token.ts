/**
 * @file Tokens that another program gives: Databricks' and Azure's command lines, where people have logged in. Nothing
 * secret goes to the program; what it prints goes nowhere but into the token.
 */

import { execFile } from 'node:child_process'
import { isSecretVariable, shorten, withoutSecrets } from '../../../errors.js'
import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import type { AccessToken } from './access-token.js'

interface TokenProgram {
  /** As it is typed, or its path. */
  readonly program: string
  /** As people know it: `the Databricks CLI`. */
  readonly name: string
  /** How it comes to be there. */
  readonly install: string
  /** What to run where nobody is logged in. */
  readonly login: string
}

const TIME_LIMIT = 60_000
const LARGEST_OUTPUT = 2 ** 20

/** The JSON that a program prints. @throws ServiceError that says what to install or to run */
async function askProgram(
  { program, name, install, login }: TokenProgram,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  // What the program could not need, and the token of an identity provider under whatever name.
  const isKept = ([name]: readonly [string, unknown]): boolean =>
    !isSecretVariable(name) && name !== process.env.DATABRICKS_OIDC_TOKEN_ENV
  const env = Object.fromEntries(Object.entries(process.env).filter(isKept))
  const { code, stdout, stderr } = await run(program, args, env, signal)
  if (code === 'ENOENT' || code === 'EACCES') {
    throw new ServiceError(`[databricks] expected ${name} for authType, but ${program} cannot be started; ${install}`)
  }
  const said = shorten(withoutSecrets(stderr.trim().replace(/\s+/g, ' ')))
  if (code === 'TIMEOUT') {
    throw new ServiceError(
      `[databricks] expected a token from ${name} within ${TIME_LIMIT / 1000} s, got none; ${login} in a terminal`,
    )
  }
  if (code !== 0) {
    throw new ServiceError(
      `[databricks] expected a token from ${name}, got ${said === '' ? `exit code ${code}` : JSON.stringify(said)}; ${login}`,
    )
  }
  try {
    const json: unknown = JSON.parse(stdout)
    if (isObject(json)) return json
  } catch {
    // Said below, without what was printed.
  }
  throw new ServiceError(`[databricks] expected JSON with a token from ${name}, got something else; ${install}`)
}

function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<{ readonly code: number | string | null; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: TIME_LIMIT, killSignal: 'SIGKILL', maxBuffer: LARGEST_OUTPUT, signal } as const
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (signal.aborted) reject(signal.reason)
      else if (error === null) resolve({ code: 0, stdout, stderr })
      else resolve({ code: error.killed ? 'TIMEOUT' : (error.code ?? null), stdout, stderr })
    })
    // A program that asks questions gets no answer.
    child.stdin?.end()
  })
}

/** The token of whoever has run `databricks auth login`. */
export async function databricksCliToken(
  program: string,
  { profile, host }: { readonly profile: string | undefined; readonly host: string },
  signal: AbortSignal,
): Promise<AccessToken> {
  const which = profile === undefined ? ['--host', host] : ['--profile', profile]
  const cli = {
    program,
    name: 'the Databricks CLI',
    install: 'install version 0.205 or newer of the Databricks CLI, or set DATABRICKS_CLI_PATH to it',
    login: `run "databricks auth login ${which.join(' ')}"`,
  }
  const { access_token: value, expiry } = await askProgram(cli, ['auth', 'token', ...which], signal)
  return tokenOf(cli, value, typeof expiry === 'string' ? Date.parse(expiry) : Number.NaN)
}

/** The token of whoever has run `az login`. @param resource What it is for */
export async function azureCliToken(
  {
    resource,
    subscription,
    tenant,
  }: { resource: string; subscription?: string | undefined; tenant?: string | undefined },
  signal: AbortSignal,
): Promise<AccessToken> {
  const cli = {
    program: 'az',
    name: 'the Azure CLI',
    install: 'install the Azure CLI',
    login: 'run "az login"',
  }
  const args = ['account', 'get-access-token', '--resource', resource, '--output', 'json']
  if (subscription !== undefined) args.push('--subscription', subscription)
  if (tenant !== undefined) args.push('--tenant', tenant)
  const { accessToken: value, expires_on: seconds, expiresOn } = await askProgram(cli, args, signal)
  const expiresAt = seconds === undefined ? Date.parse(String(expiresOn)) : 1000 * Number(seconds)
  return tokenOf(cli, value, expiresAt)
}

function tokenOf({ name, login }: TokenProgram, value: unknown, expiresAt: number): AccessToken {
  if (typeof value === 'string' && value !== '')
    return { value, expiresAt: Number.isFinite(expiresAt) ? expiresAt : undefined }
  throw new ServiceError(`[databricks] expected a token from ${name}, got an answer without one; ${login}`)
}
