/** @file Tokens of other identity providers, which the workspace exchanges for its own: where they come from. */

import { OptionError } from '../../../lowrank-error.js'
import { readRegularFile } from '../../../regular-file.js'
import { askForToken, noToken } from './token-endpoint.js'

const LARGEST_TOKEN = 2 ** 20

/** The token in an environment variable. @throws OptionError where there is none */
export function tokenOfEnvironment(variable: string): string {
  const token = process.env[variable]?.trim()
  if (token) return token
  throw new OptionError(
    `[databricks] expected the token of an identity provider in ${variable}, got none; set it, or name another variable by DATABRICKS_OIDC_TOKEN_ENV`,
  )
}

/** The token in a file, which its provider renews. @throws OptionError where there is none */
export async function tokenOfFile(path: string, signal: AbortSignal): Promise<string> {
  const token = (await readRegularFile(path, { where: 'databricks', limit: LARGEST_TOKEN, signal }))
    .toString('utf8')
    .trim()
  if (token !== '') return token
  throw new OptionError(
    `[databricks] expected the token of an identity provider in ${path}, got an empty file; see DATABRICKS_OIDC_TOKEN_FILEPATH`,
  )
}

/** Whether this is a job of GitHub Actions that may ask for tokens. */
export function isGithubJob(): boolean {
  const { ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN } = process.env
  return Boolean(ACTIONS_ID_TOKEN_REQUEST_URL && ACTIONS_ID_TOKEN_REQUEST_TOKEN)
}

/** The token of a job of GitHub Actions. @param audience Whom it is for */
export async function tokenOfGithub(audience: string, signal: AbortSignal): Promise<string> {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: address = '', ACTIONS_ID_TOKEN_REQUEST_TOKEN: bearer = '' } = process.env
  if (!isGithubJob() || !URL.canParse(address)) {
    throw new OptionError(
      '[databricks] expected a job of GitHub Actions for github-oidc, got none; give the job the permission "id-token: write"',
    )
  }
  const url = new URL(address)
  url.searchParams.set('audience', audience)
  const request = {
    url: url.href,
    what: 'the token of the job',
    remedy: 'give the job the permission "id-token: write"',
    secrets: [bearer],
    headers: { authorization: `Bearer ${bearer}` },
    signal,
  }
  const { value } = await askForToken(request)
  if (typeof value !== 'string' || value === '') throw noToken(request)
  return value
}
