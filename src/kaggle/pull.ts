/**
 * @file A data set of Kaggle becomes files in a folder: its list, its archive, which goes on where it was cut, and what
 * is in it. A file takes its name once all of the archive was found sound.
 */

import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { describeValue, listNames } from '../errors.js'
import { retryAfter } from '../http/patience.js'
import { withoutToken } from '../http/secret.js'
import { ATTEMPTS, get, type HttpTarget } from '../hub/http.js'
import { HubError } from '../hub/hub-error.js'
import { type HubToken, readHubSettings } from '../hub/settings.js'
import { fetchFrom } from '../hub/web-file.js'
import { expectSafe } from '../hub/web-target.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import { isObject } from '../values.js'
import { kaggleCredentials } from './credentials.js'
import { PULL_KAGGLE_OPTIONS, type PullKaggleOptions } from './options.js'
import { unzip } from './unzip.js'

/** What came of a data set. */
export interface PulledFiles {
  /** `owner/name`. */
  readonly dataset: string
  readonly outputDir: string
  /** By their paths in the folder. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[]
}

const ENDPOINT = 'https://www.kaggle.com'
const NAME = /^(?:kaggle:)?([A-Za-z0-9][\w-]*)\/([A-Za-z0-9][\w-]*)(?:\/versions\/(\d+))?$/
const LARGEST_ANSWER = 16 * 2 ** 20
const MOST_PAGES = 1000

/**
 * Fetches a data set of Kaggle and unpacks it. Needs what `KAGGLE_API_TOKEN`, `KAGGLE_USERNAME` with `KAGGLE_KEY`, or
 * the files in `~/.kaggle` hold, where the data set asks for it.
 *
 * @param name `owner/name`, also `kaggle:owner/name`, and `/versions/3` behind it for one that is not the newest.
 * @throws OptionError for what is no name; HubError where Kaggle does not give it; DataError for an archive that is
 * damaged or would do harm
 */
export async function pullKaggle(name: string, options: PullKaggleOptions = {}): Promise<PulledFiles> {
  const { outputDir: given, signal, onProgress } = readOptions('kaggle', options, PULL_KAGGLE_OPTIONS)
  const [, owner, slug = '', version] = NAME.exec(name) ?? []
  if (owner === undefined) {
    throw new OptionError(
      `[kaggle] expected kaggle:OWNER/NAME, as in the address https://www.kaggle.com/datasets/OWNER/NAME, got ${describeValue(name)}`,
    )
  }
  const dataset = `${owner}/${slug}`
  const outputDir = resolve(given ?? slug)
  const server = (process.env.KAGGLE_API_ENDPOINT || ENDPOINT).replace(/\/+$/, '')
  if (server.includes('@'))
    throw new OptionError('[kaggle] expected an address without name and password for KAGGLE_API_ENDPOINT')
  if (!URL.canParse(server))
    throw new OptionError(
      `[kaggle] expected an https address for KAGGLE_API_ENDPOINT, got ${describeValue(server)}; write it as ${ENDPOINT}`,
    )
  expectSafe(new URL(server), 'got')
  const { offline, answerTimeout, pieceTimeout } = await readHubSettings({})
  if (offline !== undefined)
    throw new OptionError(`[kaggle] expected a network to fetch kaggle:${dataset}, got ${offline}; fetch it without`)
  const token = await kaggleCredentials()
  const target: HttpTarget = {
    what: `kaggle:${dataset}`,
    server,
    where: 'kaggle',
    setting: '',
    token,
    answerTimeout,
    pieceTimeout,
    refusal: (response) => refusal(response, dataset, server, token),
    checkUrl: (url) => expectSafe(url, `kaggle:${dataset} leads to`),
  }
  const query = version === undefined ? '' : `?datasetVersionNumber=${version}`
  const listed = await listFiles(`${server}/api/v1/datasets/list/${dataset}${query}`, target, signal)
  await expectNoFolders(outputDir, listed)
  const staging = join(outputDir, `.kaggle-${slug}`)
  const archive = await fetchFrom(`${server}/api/v1/datasets/download/${dataset}${query}`, target, {
    offline,
    directory: join(staging, 'archive'),
    signal,
    onBytes: (bytes, total) => total !== undefined && onProgress?.('fetch', bytes, total),
  })
  const unpacked = join(staging, 'files')
  await rm(unpacked, { recursive: true, force: true })
  const files = await unzip(archive, unpacked, `kaggle:${dataset}`, {
    signal,
    onBytes: (bytes, total) => onProgress?.('unpack', bytes, total),
  }).catch(async (error: unknown) => {
    // A sound archive is kept for an end by a signal; a damaged one would be taken for whole the next time.
    if (!signal?.aborted) await rm(staging, { recursive: true, force: true })
    throw error
  })
  const lacking = listed.filter((file) => !files.some((each) => each.name === file))
  if (lacking.length > 0) {
    await rm(staging, { recursive: true, force: true })
    throw new HubError(
      `[kaggle] expected all files of kaggle:${dataset} in its archive, which lacks ${listNames(lacking)}; pull it again`,
    )
  }
  for (const file of files) {
    await mkdir(dirname(join(outputDir, file.name)), { recursive: true })
    await rename(join(unpacked, file.name), join(outputDir, file.name))
  }
  await rm(staging, { recursive: true, force: true })
  return { dataset, outputDir, files }
}

/** No file can take the place of a folder: that is said before anything large is fetched. */
async function expectNoFolders(outputDir: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(outputDir, name)
    const there = await stat(path).catch(() => undefined)
    if (there?.isDirectory())
      throw new LowrankError(
        'FILE',
        `[kaggle] expected ${path} to be a file or not to exist, got a folder; remove it, or choose another outputDir (--output)`,
      )
  }
}

/** The names of all files, as Kaggle lists them page by page. */
async function listFiles(url: string, target: HttpTarget, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const names: string[] = []
  let page = url
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const answer = await getJson(page, target, signal)
    const files =
      isObject(answer) && Array.isArray(answer.datasetFiles) ? (answer.datasetFiles as unknown[]) : undefined
    if (files === undefined) throw malformed(target, answer)
    for (const file of files) {
      if (!isObject(file) || typeof file.name !== 'string') throw malformed(target, file)
      names.push(file.name)
    }
    const next = (answer as Record<string, unknown>).nextPageToken
    if (typeof next !== 'string' || next === '') return names
    page = `${url}${url.includes('?') ? '&' : '?'}pageToken=${encodeURIComponent(next)}`
  }
  throw malformed(target, 'pages without end')
}

async function getJson(url: string, target: HttpTarget, signal: AbortSignal | undefined): Promise<unknown> {
  const { pieces } = await get(url, target, { signal, attempts: ATTEMPTS })
  const body: Uint8Array[] = []
  let bytes = 0
  for await (const piece of pieces()) {
    bytes += piece.length
    if (bytes > LARGEST_ANSWER) throw malformed(target, 'more than any list has')
    body.push(piece)
  }
  const text = withoutToken(Buffer.concat(body).toString(), target.token)
  try {
    return JSON.parse(text)
  } catch {
    throw malformed(target, text)
  }
}

function malformed({ what, server }: HttpTarget, got: unknown): HubError {
  return new HubError(
    `[kaggle] expected the list of files of ${what} from ${server}, got ${describeValue(got)}; check KAGGLE_API_ENDPOINT and the proxy in between`,
  )
}

function refusal(
  { status, headers }: Response,
  dataset: string,
  server: string,
  token: HubToken | undefined,
): HubError {
  const page = `${server}/datasets/${dataset}`
  const make = `make a token at ${server}/settings and set KAGGLE_API_TOKEN to it, or set KAGGLE_USERNAME and KAGGLE_KEY`
  const gone = { cacheMayServe: false }
  if (status === 401) {
    const what = token ? `does not accept the credentials from ${token.source}` : 'asks who you are'
    return new HubError(`[kaggle] ${server} ${what} for kaggle:${dataset} (HTTP 401); ${make}`, gone)
  }
  if (status === 403) {
    const next = token ? `accept its terms at ${page}, with the account of ${token.source}` : make
    return new HubError(`[kaggle] ${server} refuses kaggle:${dataset} (HTTP 403); ${next}`, gone)
  }
  if (status === 404) {
    return new HubError(
      `[kaggle] expected a data set that ${server} shows, got kaggle:${dataset} (HTTP 404); check the spelling at ${page}; if it is private, ` +
        `${token ? `use the account that may read it (this one is from ${token.source})` : make}`,
      gone,
    )
  }
  if (status === 429) {
    const wait = retryAfter(headers)
    const when = wait === undefined ? 'later' : `in ${Math.ceil(wait / 1000)} s`
    return new HubError(`[kaggle] ${server} had too many requests (HTTP 429) for kaggle:${dataset}; try again ${when}`)
  }
  if (status >= 500)
    return new HubError(`[kaggle] ${server} failed at kaggle:${dataset} (HTTP ${status}); try again later`)
  return new HubError(`[kaggle] expected kaggle:${dataset} from ${server}, got HTTP ${status}`, gone)
}
