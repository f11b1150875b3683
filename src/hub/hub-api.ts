/**
 * @file What the Hub says of a model or a data set: its commit, licence and files. The calls are those of
 * @huggingface/hub; what a server sends is checked here before anything uses it as a path or a name.
 */

import { formatBytes } from '../bytes.js'
import { describeValue } from '../errors.js'
import { withoutToken } from '../http/secret.js'
import { COMMIT } from './cache.js'
import { HubError, what } from './hub-error.js'
import { parseLicense } from './license.js'
import type { ModelLicense } from './model-origin.js'
import { type RequestOptions, request } from './request.js'

/** A model at a commit. */
export interface HubModelInfo {
  readonly commit: string
  readonly license: ModelLicense | undefined
  /** Paths in the repository, with forward slashes. */
  readonly files: readonly string[]
}

/** A file as the list of a commit has it. */
export interface HubFile {
  readonly path: string
  readonly size: number
  /**
   * The name of its blob: SHA-256 of the content for a file in LFS, else Git's object id, as the ETag of a download is.
   */
  readonly etag: string
}

const ETAG = /^[0-9a-f]{40}$|^[0-9a-f]{64}$/
/** More than any model has: a page lists a thousand files. */
const MOST_PAGES = 100
/** Bytes of one answer, decompressed. */
const LARGEST_ANSWER = 16 * 2 ** 20
/** All pages of a list together may take so many times as long as one answer may take to begin. */
const LONGEST_LIST = 30

/** What revision stands for now. */
export async function fetchModelInfo(options: RequestOptions): Promise<HubModelInfo> {
  const { settings, subject } = options
  const { id, revision } = subject
  // Loaded when a model of the Hub is asked about: it takes as long as the rest of the program.
  const { modelInfo } = await import('@huggingface/hub')
  const info = await readable(options, () =>
    modelInfo({
      name: id,
      revision,
      hubUrl: settings.endpoint,
      additionalFields: ['sha', 'cardData', 'filePaths'],
      fetch: jsonFetch(options),
    }),
  )
  const commit: unknown = info.sha
  if (typeof commit !== 'string' || !COMMIT.test(commit)) {
    throw malformed(options, `a commit as sha, got ${describeValue(commit)}`)
  }
  const files: readonly unknown[] = info.filePaths
  return { commit, license: parseLicense(info.cardData), files: files.map((path) => checkPath(options, path)) }
}

/** The commit that the revision of a data set stands for now. */
export async function fetchDatasetCommit(options: RequestOptions): Promise<string> {
  const { settings, subject } = options
  const { datasetInfo } = await import('@huggingface/hub')
  const info = await readable(options, () =>
    datasetInfo({
      name: subject.id,
      revision: subject.revision,
      hubUrl: settings.endpoint,
      additionalFields: ['sha'],
      fetch: jsonFetch(options),
    }),
  )
  const commit: unknown = info.sha
  if (typeof commit === 'string' && COMMIT.test(commit)) return commit
  throw malformed(options, `a commit as sha, got ${describeValue(commit)}`)
}

/** Sizes and checksums of the files of a commit, by path. */
export async function fetchFileList(options: RequestOptions): Promise<Map<string, HubFile>> {
  const { settings, subject } = options
  const { listFiles } = await import('@huggingface/hub')
  const files = new Map<string, HubFile>()
  await readable(options, async () => {
    const entries = listFiles({
      repo: { type: subject.type ?? 'model', name: subject.id },
      revision: subject.revision,
      recursive: true,
      hubUrl: settings.endpoint,
      fetch: jsonFetch(options),
    })
    for await (const { type, path, size, oid, lfs } of entries) {
      checkPath(options, path)
      if (type !== 'file') continue
      const file = { path, size: lfs?.size ?? size, etag: lfs?.oid ?? oid ?? '' }
      if (!ETAG.test(file.etag) || !Number.isSafeInteger(file.size) || file.size < 0) {
        throw malformed(
          options,
          `size and object id of ${describeValue(path)}, got ${describeValue(file.size)} and ${describeValue(file.etag)}`,
        )
      }
      files.set(path, file)
    }
  })
  return files
}

/** `fetch` for the package: with our patience and errors, and with bodies that are JSON. */
function jsonFetch(options: RequestOptions): typeof globalThis.fetch {
  let pages = 0
  const { answerTimeout, token } = options.settings
  const start = performance.now()
  return async (url, init) => {
    if (++pages > MOST_PAGES) throw malformed(options, `at most ${MOST_PAGES} pages of files, got more`)
    const headers = Object.fromEntries(new Headers(init?.headers))
    const { response, pieces } = await request(String(url), { ...options, headers: { ...options.headers, ...headers } })
    const body: Uint8Array[] = []
    let bytes = 0
    for await (const piece of pieces()) {
      bytes += piece.byteLength
      if (bytes > LARGEST_ANSWER) throw malformed(options, `at most ${formatBytes(LARGEST_ANSWER)} of JSON, got more`)
      if (performance.now() - start > LONGEST_LIST * answerTimeout) {
        throw malformed(options, `all of an answer within ${(LONGEST_LIST * answerTimeout) / 1000} s, got a part of it`)
      }
      body.push(piece)
    }
    const text = withoutToken(Buffer.concat(body).toString('utf8'), token)
    try {
      JSON.parse(text)
    } catch (cause) {
      throw malformed(options, `JSON, got ${describeValue(text)}`, cause)
    }
    return new Response(text, { headers: { link: withoutToken(response.headers.get('link') ?? '', token) } })
  }
}

/** The package trusts what it reads: where that fails, the server is not what it should be. */
async function readable<T>(options: RequestOptions, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    options.signal?.throwIfAborted()
    if (error instanceof HubError) throw error
    throw malformed(
      options,
      `what the Hub says of a ${kindOf(options)}, got what cannot be read (${(error as Error).message})`,
      error,
    )
  }
}

function kindOf({ subject }: RequestOptions): string {
  return subject.type === 'dataset' ? 'data set' : 'model'
}

/** A path that leads out of the directory of the model is no mistake of a careful server. */
function checkPath(options: RequestOptions, path: unknown): string {
  const parts = typeof path === 'string' ? path.split('/') : ['']
  if (parts.some((part) => part === '' || part === '.' || part === '..' || /[\\\0]/.test(part))) {
    throw new HubError(
      `[hub] expected paths inside of the ${kindOf(options)} in the list of files of "${options.subject.id}", got ${describeValue(path)}; nothing of it is ` +
        `fetched: get the ${kindOf(options)} from a source that you trust`,
      { cacheMayServe: false },
    )
  }
  return path as string
}

function malformed({ settings, subject }: RequestOptions, problem: string, cause?: unknown): HubError {
  return new HubError(
    `[hub] asked ${settings.endpoint} for ${what(subject)} and expected ${problem}; check HF_ENDPOINT, and whether a proxy or a login ` +
      'page answers in its place',
    { cause },
  )
}
