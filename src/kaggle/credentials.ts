/** @file Who asks Kaggle: the variables and files that Kaggle's own programs read. */

import { homedir } from 'node:os'
import { join } from 'node:path'
import type { HubToken } from '../hub/settings.js'
import { OptionError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { isObject } from '../values.js'

const LARGEST_FILE = 10_000

/**
 * KAGGLE_API_TOKEN, the file access_token, KAGGLE_USERNAME with KAGGLE_KEY, then kaggle.json; the files lie in
 * KAGGLE_CONFIG_DIR, or ~/.kaggle. Undefined where there is none of them: many data sets need none.
 * @throws OptionError for one that is no credential
 */
export async function kaggleCredentials(): Promise<HubToken | undefined> {
  const { KAGGLE_API_TOKEN, KAGGLE_USERNAME, KAGGLE_KEY, KAGGLE_CONFIG_DIR } = process.env
  const directory = KAGGLE_CONFIG_DIR || join(homedir(), '.kaggle')
  const read = async (name: string): Promise<string | undefined> =>
    (await readRegularFile(join(directory, name), { where: 'kaggle', limit: LARGEST_FILE }).catch(() => undefined))
      ?.toString()
      .trim()
  if (KAGGLE_API_TOKEN) return bearer(KAGGLE_API_TOKEN, 'KAGGLE_API_TOKEN')
  const token = await read('access_token')
  if (token) return bearer(token, join(directory, 'access_token'))
  if (KAGGLE_USERNAME && KAGGLE_KEY) return basic(KAGGLE_USERNAME, KAGGLE_KEY, 'KAGGLE_USERNAME and KAGGLE_KEY')
  if (KAGGLE_USERNAME || KAGGLE_KEY) {
    const [has, lacks] = KAGGLE_KEY ? ['KAGGLE_KEY', 'KAGGLE_USERNAME'] : ['KAGGLE_USERNAME', 'KAGGLE_KEY']
    throw new OptionError(`[kaggle] expected ${lacks} beside ${has}, got nothing; set both`)
  }
  const file = join(directory, 'kaggle.json')
  const text = await read('kaggle.json')
  if (text === undefined) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    // Said below.
  }
  const { username, key } = isObject(parsed) ? parsed : {}
  if (typeof username === 'string' && typeof key === 'string') return basic(username, key, file)
  throw new OptionError(
    `[kaggle] expected {"username": ..., "key": ...} in ${file}, got something else; get the file anew from https://www.kaggle.com/settings`,
  )
}

function bearer(given: string, source: string): HubToken {
  return { value: expectText(given, source), source }
}

function basic(username: string, key: string, source: string): HubToken {
  const value = expectText(key, source)
  return { value, source, authorization: `Basic ${Buffer.from(`${username.trim()}:${value}`).toString('base64')}` }
}

/** What cannot stand in a header is refused here, so that no later error shows it. */
function expectText(given: string, source: string): string {
  const value = given.trim()
  if (/^[\x21-\x7e]+$/.test(value)) return value
  throw new OptionError(`[kaggle] expected a credential in ${source}, got text that is none; correct it`)
}
