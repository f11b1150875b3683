/**
 * @file What the Hub on the loopback interface answers to those who push: repositories and branches are made, LFS takes
 * objects whole or in parts, and a commit is there with all its files or not at all.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type FakeRepository, LFS, refuse, type SeenRequest, sendJson, sha256 } from './hub-answers.js'

/** What pushes change. */
export interface HubStore {
  readonly endpoint: string
  readonly lfsEndpoint: string
  /** The repository at a branch or commit. */
  find(id: string, revision: string): (FakeRepository & { readonly commit: string }) | undefined
  put(id: string, repository: FakeRepository, branch: string): string
  readonly lfsContent: Map<string, Buffer>
  readonly settings: WriteSettings
}

/** How the Hub takes what is pushed. */
export interface WriteSettings {
  /** Tokens that may write; undefined: any. */
  writers: readonly string[] | undefined
  /** Objects above so many bytes go in parts of so many. */
  partSize: number
  /** All commits: branch, first line, and paths. */
  readonly commits: { readonly id: string; readonly branch: string; readonly title: string; readonly paths: string[] }[]
  /** What was made, as it was asked for. */
  readonly created: Record<string, unknown>[]
}

const parts = new Map<string, Map<number, Buffer>>()

/** Answers where the request is one that writes. */
export async function answerWrite(
  store: HubStore,
  message: IncomingMessage,
  request: SeenRequest,
  response: ServerResponse,
): Promise<unknown> {
  const body = await bodyOf(message)
  if (request.host === 'lfs') return answerStorage(store, request, body, response)
  const token = request.authorization?.replace(/^Bearer /, '')
  const { writers } = store.settings
  if (token === undefined) return refuse(response, 401, 'Unauthorized', 'Invalid username or password.')
  if (writers && !writers.includes(token))
    return refuse(response, 403, 'Forbidden', `${token} has not the right to write`)
  const path = new URL(message.url ?? '', store.endpoint).pathname
  if (path === '/api/repos/create') return create(store, JSON.parse(body.toString()), response)
  const [, lfsId] = /^\/(.+)\.git\/info\/lfs\/objects\/batch$/.exec(path) ?? []
  if (lfsId !== undefined) return sendBatch(store, JSON.parse(body.toString()), response)
  const [, id = '', call, name = ''] = /^\/api\/models\/(.+?)\/(preupload|commit|branch)\/([^/]+)$/.exec(path) ?? []
  const branch = decodeURIComponent(name)
  const repository = store.find(id, call === 'branch' ? 'main' : branch)
  if (repository === undefined) return refuse(response, 404, 'RepoNotFound', 'Repository not found')
  if (call === 'preupload') return sendModes(JSON.parse(body.toString()), response)
  if (call === 'branch') {
    store.put(id, repository, branch)
    return sendJson(response, {})
  }
  return commit(store, { id, branch, repository }, body.toString(), response)
}

function create(store: HubStore, asked: Record<string, unknown>, response: ServerResponse): unknown {
  const id = `${asked.organization}/${asked.name}`
  if (store.find(id, 'main')) return refuse(response, 409, 'Conflict', 'You already created this model repo')
  store.settings.created.push(asked)
  store.put(id, { files: { '.gitattributes': '*.safetensors filter=lfs diff=lfs merge=lfs -text\n' } }, 'main')
  return sendJson(response, { url: `${store.endpoint}/${id}`, name: id, id })
}

function sendModes({ files }: { files: { path: string; size: number }[] }, response: ServerResponse): unknown {
  const modeOf = (path: string): string => (LFS.test(path) ? 'lfs' : 'regular')
  return sendJson(response, {
    files: files.map(({ path }) => ({ path, uploadMode: modeOf(path), shouldIgnore: false })),
  })
}

function sendBatch(
  { lfsContent, lfsEndpoint, settings: { partSize } }: HubStore,
  { objects }: { objects: { oid: string; size: number }[] },
  response: ServerResponse,
): unknown {
  return sendJson(response, {
    transfer: 'basic',
    objects: objects.map(({ oid, size }) => {
      if (lfsContent.has(oid)) return { oid, size }
      if (size <= partSize) return { oid, size, actions: { upload: { href: `${lfsEndpoint}/${oid}`, header: {} } } }
      const count = Math.ceil(size / partSize)
      const hrefs = Array.from({ length: count }, (_, index) => [
        String(index + 1).padStart(5, '0'),
        `${lfsEndpoint}/${oid}/${index + 1}`,
      ])
      const header = { chunk_size: String(partSize), ...Object.fromEntries(hrefs) }
      return { oid, size, actions: { upload: { href: `${lfsEndpoint}/${oid}/complete`, header } } }
    }),
  })
}

function answerStorage(
  { lfsContent }: HubStore,
  request: SeenRequest,
  body: Buffer,
  response: ServerResponse,
): unknown {
  const [, oid = '', part] = request.path.split('/')
  if (request.authorization !== undefined) {
    return response.writeHead(400).end('<Error>Only one auth mechanism allowed</Error>')
  }
  if (part !== undefined && part !== 'complete') {
    const known = parts.get(oid) ?? new Map<number, Buffer>()
    parts.set(oid, known.set(Number(part), body))
    return response.writeHead(200, { etag: `"${part}"` }).end()
  }
  const content =
    part === undefined
      ? body
      : Buffer.concat([...(parts.get(oid) ?? [])].sort(([a], [b]) => a - b).map(([, bytes]) => bytes))
  if (sha256(content) !== oid) return response.writeHead(400).end('<Error>BadDigest</Error>')
  lfsContent.set(oid, content)
  return response.writeHead(200).end('{}')
}

function commit(
  store: HubStore,
  { id, branch, repository }: { id: string; branch: string; repository: FakeRepository & { readonly commit: string } },
  body: string,
  response: ServerResponse,
): unknown {
  const files: Record<string, string | Uint8Array> = { ...repository.files }
  const paths: string[] = []
  let title = ''
  for (const line of body.split('\n')) {
    const { key, value } = JSON.parse(line)
    if (key === 'header') {
      if (value.parentCommit && value.parentCommit !== repository.commit)
        return refuse(response, 412, 'PreconditionFailed', 'A commit has happened since. Please refresh and try again.')
      title = value.summary
    } else {
      paths.push(value.path)
      const content = key === 'file' ? Buffer.from(value.content, 'base64') : store.lfsContent.get(value.oid)
      if (content === undefined) return refuse(response, 400, 'BadRequest', `LFS pointer to nothing: ${value.path}`)
      files[value.path] = content
    }
  }
  const { commit: _, ...rest } = repository
  const commitOid = store.put(id, { ...rest, files }, branch)
  store.settings.commits.push({ id, branch, title, paths })
  return sendJson(response, {
    success: true,
    commitOid,
    commitUrl: `${store.endpoint}/${id}/commit/${commitOid}`,
    hookOutput: '',
  })
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of message) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}
