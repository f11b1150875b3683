/**
 * @file A Hub on the loopback interface: the answers of huggingface.co to those who fetch a model or a data set or push
 * one (hub-writes.ts), and a second host for what lies in LFS. Faults come from `intercept`, which sees each request
 * first.
 */

import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type FakeRepository, LFS, refuse, type SeenRequest, sendJson, sha256 } from './hub-answers.js'
import { answerWrite, type HubStore, type WriteSettings } from './hub-writes.js'

/** Answers in place of the server when it returns true. */
export type Intercept = (request: SeenRequest, response: ServerResponse) => boolean | undefined

export interface FakeHub {
  readonly endpoint: string
  readonly requests: SeenRequest[]
  /** Entries per page of a list. */
  pageSize: number
  intercept: Intercept | undefined
  readonly writes: WriteSettings
  /** The files of a repository at a branch or a commit. */
  filesOf(id: string, revision?: string): Readonly<Record<string, string | Uint8Array>> | undefined
  /** Whether LFS has an object. */
  hasObject(sha256: string): boolean
  /** Makes or replaces a repository; `datasets/org/name` is a data set. @returns its commit */
  put(id: string, repository: FakeRepository): string
  close(): Promise<void>
}

export async function startHub(): Promise<FakeHub> {
  const repositories = new Map<string, Required<Pick<FakeRepository, 'commit' | 'revisions'>> & FakeRepository>()
  // A commit is there after others came.
  const earlier: typeof repositories = new Map()
  const lfsContent = new Map<string, Buffer>()
  const requests: SeenRequest[] = []
  const seen = (host: SeenRequest['host'], request: IncomingMessage): SeenRequest => {
    const { range, authorization } = request.headers
    const path = decodeURIComponent(request.url ?? '')
    return { host, method: request.method ?? '', path, range, authorization }
  }
  const withIntercept =
    (host: SeenRequest['host'], answer: (request: SeenRequest, response: ServerResponse, url: string) => void) =>
    (request: IncomingMessage, response: ServerResponse): void => {
      const what = seen(host, request)
      requests.push(what)
      if (hub.intercept?.(what, response) === true) return
      if (['GET', 'HEAD'].includes(what.method)) answer(what, response, request.url ?? '')
      // A request that is cut off gets no answer.
      else answerWrite(store, request, what, response).catch(() => response.destroy())
    }
  const lfsHost = createServer(
    withIntercept('lfs', (request, response) => {
      const content = lfsContent.get(request.path.slice(1))
      if (content === undefined) response.writeHead(404).end()
      else sendContent(response, request, content, {})
    }),
  )
  const lfsEndpoint = await listen(lfsHost)
  const hubHost = createServer(withIntercept('hub', (request, response, url) => answerHub(request, response, url)))

  const writes: WriteSettings = { writers: undefined, partSize: 2 ** 30, commits: [], created: [] }
  const find: HubStore['find'] = (id, revision) => {
    const found = earlier.get(`${id}@${revision}`) ?? repositories.get(id)
    const isThere = found !== undefined && (earlier.has(`${id}@${revision}`) || found.revisions.includes(revision))
    return isThere ? found : undefined
  }
  const store: HubStore = {
    get endpoint() {
      return hub.endpoint
    },
    lfsEndpoint,
    find,
    put(id, repository, branch) {
      const main = repositories.get(id)
      const commit = hub.put(id, repository)
      if (branch === 'main' || main === undefined) return commit
      earlier.set(`${id}@${branch}`, earlier.get(`${id}@${commit}`) as typeof main)
      repositories.set(id, main)
      return commit
    },
    lfsContent,
    settings: writes,
  }

  const answerHub = (request: SeenRequest, response: ServerResponse, url: string): void => {
    const { pathname, searchParams } = new URL(url, hub.endpoint)
    const [, type, name, kind, apiRevision] =
      /^\/api\/(models|datasets)\/(.+?)\/(revision|tree)\/([^/]+)$/.exec(pathname) ?? []
    const apiId = type === 'datasets' ? `datasets/${name}` : name
    const [, fileId, fileRevision, path = ''] = /^\/(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(pathname) ?? []
    const id = apiId ?? fileId ?? ''
    const revision = decodeURIComponent(apiRevision ?? fileRevision ?? '')
    const repository = earlier.get(`${id}@${revision}`) ?? repositories.get(id)
    const isThere = earlier.has(`${id}@${revision}`) || repository?.revisions.includes(revision)
    if (repository === undefined) refuse(response, 401, 'RepoNotFound', 'Repository not found')
    else if (!isThere) {
      refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    } else if (kind === 'revision') sendJson(response, modelInfo(id, repository, searchParams.getAll('expand')))
    else if (kind === 'tree') sendTree(response, repository, url, searchParams)
    else sendFile(response, request, repository, decodeURIComponent(path))
  }

  const sendFile = (
    response: ServerResponse,
    request: SeenRequest,
    { files, commit = '', gatedFor }: FakeRepository,
    path: string,
  ): void => {
    const content = files[path]
    const token = request.authorization?.replace(/^Bearer /, '')
    const bytes = Buffer.from(content ?? '')
    const etag = LFS.test(path) ? sha256(bytes) : gitId(bytes)
    const headers = { 'x-repo-commit': commit, etag: `"${etag}"` }
    if (gatedFor && !gatedFor.includes(token ?? '')) {
      refuse(response, token ? 403 : 401, 'GatedRepo', 'Access to this model is restricted.')
    } else if (content === undefined) refuse(response, 404, 'EntryNotFound', 'Entry not found')
    else if (!LFS.test(path)) sendContent(response, request, bytes, headers)
    else {
      const linked = { 'x-linked-etag': `"${etag}"`, 'x-linked-size': String(bytes.length) }
      response.writeHead(302, { ...headers, ...linked, location: `${lfsEndpoint}/${etag}` }).end()
    }
  }

  const sendTree = (
    response: ServerResponse,
    { files }: FakeRepository,
    url: string,
    searchParams: URLSearchParams,
  ): void => {
    const paths = Object.keys(files)
    const folders = [
      ...new Set(paths.flatMap((path) => (path.includes('/') ? [path.slice(0, path.lastIndexOf('/'))] : []))),
    ]
    const entries = [
      ...folders.map((path) => ({ type: 'directory', oid: 'a'.repeat(40), size: 0, path })),
      ...paths.map((path) => treeEntry(path, Buffer.from(files[path] as string))),
    ]
    const start = Number(searchParams.get('cursor') ?? 0)
    const end = start + hub.pageSize
    if (end < entries.length) {
      const next = new URL(url, hub.endpoint)
      next.searchParams.set('cursor', String(end))
      response.setHeader('link', `<${next}>; rel="next"`)
    }
    sendJson(response, entries.slice(start, end))
  }

  const hub: FakeHub = {
    endpoint: await listen(hubHost),
    requests,
    pageSize: 1000,
    intercept: undefined,
    writes,
    filesOf: (id, revision = 'main') => find(id, revision)?.files,
    hasObject: (oid) => lfsContent.has(oid),
    put(id, repository) {
      const commit = repository.commit ?? randomBytes(20).toString('hex')
      const kept = { revisions: ['main'], ...repository, commit }
      repositories.set(id, kept)
      earlier.set(`${id}@${commit}`, kept)
      for (const [path, content] of Object.entries(repository.files)) {
        const bytes = Buffer.from(content)
        if (LFS.test(path)) lfsContent.set(sha256(bytes), bytes)
      }
      return commit
    },
    async close() {
      for (const server of [hubHost, lfsHost]) {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      }
    },
  }
  return hub
}

/** The id that Git gives a file. */
export function gitId(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
}

/** Announces all of the content, sends `bytes` of it and cuts the connection. */
export function cutAfter(response: ServerResponse, request: SeenRequest, content: Uint8Array, bytes: number): void {
  const start = rangeStart(request)
  response.writeHead(start > 0 ? 206 : 200, {
    'content-length': content.length - start,
    ...(start > 0 && { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` }),
  })
  response.write(content.subarray(start, start + bytes), () => response.destroy())
}

function sendContent(
  response: ServerResponse,
  request: SeenRequest,
  content: Uint8Array,
  headers: Record<string, string>,
): void {
  const start = rangeStart(request)
  const [, last] = /-(\d+)$/.exec(request.range ?? '') ?? []
  const end = Math.min(last === undefined ? Number.POSITIVE_INFINITY : Number(last) + 1, content.length)
  const partial = request.range !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${content.length}` }
  response.writeHead(partial ? 206 : 200, {
    ...headers,
    'accept-ranges': 'bytes',
    'content-length': end - start,
    ...partial,
  })
  response.end(request.method === 'HEAD' ? undefined : content.subarray(start, end))
}

function rangeStart({ range }: SeenRequest): number {
  return Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0)
}

/** With `expand` only what is asked for, as the Hub does. */
function modelInfo(id: string, { commit, files, cardData }: FakeRepository, expand: readonly string[]): object {
  const all: Record<string, unknown> = {
    sha: commit,
    private: false,
    gated: false,
    pipeline_tag: 'text-generation',
    downloads: 1,
    likes: 2,
    lastModified: '2026-01-02T03:04:05.000Z',
    siblings: Object.keys(files).map((rfilename) => ({ rfilename })),
    ...(cardData && { cardData }),
  }
  const asked = Object.entries(all).filter(([name]) => expand.length === 0 || expand.includes(name))
  return { _id: '0123456789abcdef01234567', id, ...Object.fromEntries(asked) }
}

function treeEntry(path: string, bytes: Uint8Array): object {
  if (!LFS.test(path)) return { type: 'file', oid: gitId(bytes), size: bytes.length, path }
  const oid = sha256(bytes)
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${bytes.length}\n`
  return {
    type: 'file',
    oid: gitId(Buffer.from(pointer)),
    size: bytes.length,
    lfs: { oid, size: bytes.length, pointerSize: pointer.length },
    xetHash: sha256(Buffer.from(oid)),
    path,
  }
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  })
}
