/** @file The Files API of the loopback workspace: files and directories, uploads in parts, lent addresses. */

import { randomBytes } from 'node:crypto'
import { rangeOf } from '../loopback-storage.js'
import { expectModelFile } from '../model-registry.js'
import type { StoredObject, UploadedPart } from '../object-storage.js'
import {
  expectFields,
  expectQuery,
  invalid,
  missing,
  pageOf,
  RefusedRequest,
  type Route,
  type RouteAnswer,
  type RouteRequest,
} from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'

interface Session {
  readonly key: string
  readonly uploadId: string
  readonly overwrite: boolean
}

interface FilesState {
  readonly sessions: Map<string, Session>
  /** Directories that were made, by key without a slash at the end. */
  readonly directories: Set<string>
}

const FILES: StateKey<FilesState> = {
  name: 'files',
  make: () => ({ sessions: new Map(), directories: new Set() }),
}

const LARGEST_PUT = 5 * 2 ** 30
const MOST_PARTS = 10_000
const MOST_ADDRESSES = 1000
/** What an address is lent for at most. */
const LONGEST_LOAN_MS = 3_600_000
const FILE = '/api/2.0/fs/files/{path*}'
const DIRECTORY = '/api/2.0/fs/directories/{path*}'

export const FILES_ROUTES: readonly Route[] = [
  { method: 'PUT', path: FILE, body: 'raw', handle: putFile },
  { method: 'GET', path: FILE, handle: (request, state) => getFile(request, state, true) },
  { method: 'HEAD', path: FILE, handle: (request, state) => getFile(request, state, false) },
  {
    method: 'DELETE',
    path: FILE,
    async handle(request, { storage }) {
      if (!(await storage.delete(keyOf(request)))) throw notFound(keyOf(request))
      return { status: 204 }
    },
  },
  { method: 'POST', path: FILE, handle: uploadAction },
  {
    method: 'PUT',
    path: DIRECTORY,
    async handle(request, state) {
      const key = keyOf(request)
      for (const each of ancestorsOf(key)) await expectNoFile(state, each)
      await expectNoFile(state, key)
      addDirectories(state, `${key}/`)
      return { status: 204 }
    },
  },
  {
    method: 'HEAD',
    path: DIRECTORY,
    async handle(request, state) {
      if (!(await isDirectory(state, keyOf(request)))) throw notFound(keyOf(request))
      return {}
    },
  },
  { method: 'GET', path: DIRECTORY, handle: listDirectory },
  {
    method: 'DELETE',
    path: DIRECTORY,
    async handle(request, state) {
      const key = keyOf(request)
      if (!(await isDirectory(state, key))) throw notFound(key)
      if ((await contentsOf(state, key)).length > 0)
        throw new RefusedRequest(400, 'FAILED_PRECONDITION', `The directory /${key} is not empty.`)
      state.of(FILES).directories.delete(key)
      return { status: 204 }
    },
  },
  { method: 'POST', path: '/api/2.0/fs/create-upload-part-urls', handle: lendPartAddresses },
  {
    method: 'POST',
    path: '/api/2.0/fs/create-download-url',
    async handle({ query, json }, state) {
      // MLflow's client gives the path in the body.
      expectQuery(query, [], ['path', 'expire_time'])
      expectFields(json, { path: query.has('path') ? 'string?' : 'string' })
      const key = keyOfPath(query.get('path') ?? String(json.path))
      expectModelFile(state, key, 'read')
      if ((await state.storage.stat(key)) === undefined) throw notFound(key)
      const expires = query.has('path')
        ? expiryOf(query.get('expire_time') ?? '', state)
        : state.now() + LONGEST_LOAN_MS
      return { json: await state.storage.presign({ method: 'GET', key, expires }) }
    },
  },
  {
    method: 'POST',
    path: '/api/2.0/fs/create-upload-url',
    async handle({ json }, state) {
      expectFields(json, { path: 'string', expire_time: 'string?' })
      const { path, expire_time } = json
      const expires = expire_time === undefined ? state.now() + LONGEST_LOAN_MS : expiryOf(String(expire_time), state)
      const key = keyOfPath(String(path))
      expectModelFile(state, key, 'write')
      addDirectories(state, key)
      return { json: await state.storage.presign({ method: 'PUT', key, expires }) }
    },
  },
]

/** Uploads that are neither complete nor aborted. */
export function openUploads(state: WorkspaceState): number {
  return state.of(FILES).sessions.size
}

async function putFile(request: RouteRequest, state: WorkspaceState): Promise<RouteAnswer> {
  const key = keyOf(request)
  expectQuery(request.query, [], ['overwrite'])
  const length = request.headers['content-length']
  if (length === undefined) throw new RefusedRequest(411, 'LENGTH_REQUIRED', 'The Content-Length header is missing.')
  if (Number(length) > LARGEST_PUT)
    throw new RefusedRequest(413, 'MAX_REQUEST_SIZE_EXCEEDED', 'A file in one request has at most 5 GiB.')
  await expectWritable(state, key, flagOf(request.query, 'overwrite'))
  addDirectories(state, key)
  await state.storage.put(key, request.body)
  return { status: 204 }
}

async function getFile(request: RouteRequest, state: WorkspaceState, hasBody: boolean): Promise<RouteAnswer> {
  const key = keyOf(request)
  const { storage } = state
  expectModelFile(state, key, 'read')
  expectQuery(request.query, [])
  const found = await storage.stat(key)
  if (found === undefined) throw notFound(key)
  const { size, modified } = found
  const condition = Date.parse(request.headers['if-unmodified-since'] ?? '')
  if (!Number.isNaN(condition) && Math.floor(modified / 1000) * 1000 > condition)
    throw new RefusedRequest(412, 'PRECONDITION_FAILED', 'The file was modified.')
  const range = rangeOf(request.headers.range, size)
  if (range === 'outside') throw new RefusedRequest(416, 'RANGE_NOT_SATISFIABLE', 'The range is not satisfiable.')
  const { start, end } = range ?? { start: 0, end: size }
  return {
    status: range ? 206 : 200,
    headers: {
      'content-length': end - start,
      'content-type': 'application/octet-stream',
      'last-modified': new Date(modified).toUTCString(),
      ...(range && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
    },
    ...(hasBody && { body: await storage.get(key, { start, end }) }),
  }
}

async function uploadAction(request: RouteRequest, state: WorkspaceState): Promise<RouteAnswer> {
  const { query, json } = request
  const key = keyOf(request)
  const { sessions } = state.of(FILES)
  const action = query.get('action')
  if (action === 'initiate-upload') {
    expectQuery(query, ['action'], ['overwrite'])
    expectFields(json, {})
    const overwrite = flagOf(query, 'overwrite')
    await expectWritable(state, key, overwrite)
    const token = randomBytes(24).toString('base64url')
    if (state.storage.cloud === 'GCP') return { json: { resumable_upload: { session_token: token } } }
    sessions.set(token, { key, uploadId: await state.storage.startUpload(key), overwrite })
    return { json: { multipart_upload: { session_token: token } } }
  }
  if (action !== 'complete-upload' && action !== 'abort-upload') throw invalid(`Unknown action: ${action ?? ''}`)
  expectQuery(query, ['action', 'upload_type', 'session_token'])
  if (query.get('upload_type') !== 'multipart') throw invalid('upload_type must be multipart.')
  const token = query.get('session_token') ?? ''
  const { uploadId, overwrite } = sessionOf(state, token, key)
  if (action === 'abort-upload') {
    expectFields(json, {})
    sessions.delete(token)
    await state.storage.abortUpload(key, uploadId)
    return {}
  }
  expectFields(json, { parts: 'array' })
  const parts = partsOf(json.parts)
  await expectWritable(state, key, overwrite)
  await state.storage.completeUpload(key, uploadId, parts)
  addDirectories(state, key)
  sessions.delete(token)
  return {}
}

async function lendPartAddresses({ json }: RouteRequest, state: WorkspaceState): Promise<RouteAnswer> {
  expectFields(json, {
    path: 'string',
    session_token: 'string',
    start_part_number: 'number',
    count: 'number',
    expire_time: 'string',
  })
  const { path, session_token, start_part_number, count, expire_time } = json
  const key = keyOfPath(String(path))
  const { uploadId } = sessionOf(state, String(session_token), key)
  const [first, many] = [Number(start_part_number), Number(count)]
  if (!Number.isInteger(first) || first < 1 || first + many - 1 > MOST_PARTS || many < 1 || many > MOST_ADDRESSES)
    throw invalid('start_part_number and count must name parts from 1 to 10000.')
  const expires = expiryOf(String(expire_time), state)
  const lent = []
  for (let number = first; number < first + many; number++) {
    const { url, headers } = await state.storage.presign({ method: 'PUT', key, expires, part: { uploadId, number } })
    lent.push({ url, part_number: number, headers })
  }
  return { json: { upload_part_urls: lent } }
}

async function listDirectory(request: RouteRequest, state: WorkspaceState): Promise<RouteAnswer> {
  const { query } = request
  const key = keyOf(request, true)
  expectQuery(query, [], ['page_size', 'page_token'])
  if (!(await isDirectory(state, key))) throw notFound(key)
  const { items, next_page_token } = pageOf(await contentsOf(state, key), query)
  return { json: { contents: items, ...(next_page_token !== undefined && { next_page_token }) } }
}

async function contentsOf(state: WorkspaceState, key: string): Promise<readonly object[]> {
  const entries = new Map<string, object>()
  const objects: readonly StoredObject[] = await state.storage.list(`${key}/`)
  const directory = (name: string): object => ({ path: `/${key}/${name}`, name, is_directory: true })
  for (const { key: each, size, modified } of objects) {
    const [name = '', ...rest] = each.slice(key.length + 1).split('/')
    const file = { path: `/${each}`, name, is_directory: false, file_size: size, last_modified: modified }
    entries.set(name, rest.length > 0 ? directory(name) : file)
  }
  for (const each of state.of(FILES).directories) {
    const [name = ''] = each.startsWith(`${key}/`) ? each.slice(key.length + 1).split('/') : []
    if (name !== '' && !entries.has(name)) entries.set(name, directory(name))
  }
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry)
}

async function isDirectory(state: WorkspaceState, key: string): Promise<boolean> {
  const { directories } = state.of(FILES)
  // Volumes are there without being made: /Volumes/catalog/schema/volume.
  const isVolume = /^Volumes(?:\/[^/]+){3}$/.test(key)
  return isVolume || directories.has(key) || (await state.storage.list(`${key}/`)).length > 0
}

async function expectWritable(state: WorkspaceState, key: string, overwrite: boolean): Promise<void> {
  if (/^Volumes(?:\/[^/]+){0,3}$/.test(key)) throw invalid(`The path /${key} names no file in a volume.`)
  expectModelFile(state, key, 'write')
  for (const each of ancestorsOf(key)) await expectNoFile(state, each)
  if (state.of(FILES).directories.has(key))
    throw new RefusedRequest(409, 'ALREADY_EXISTS', `The path /${key} is a directory.`)
  if (!overwrite && (await state.storage.stat(key)) !== undefined)
    throw new RefusedRequest(409, 'ALREADY_EXISTS', 'The file being created already exists.')
}

async function expectNoFile({ storage }: WorkspaceState, key: string): Promise<void> {
  if ((await storage.stat(key)) !== undefined)
    throw new RefusedRequest(409, 'ALREADY_EXISTS', `The path /${key} is a file.`)
}

/** Directories above a key, without the roots. */
function ancestorsOf(key: string): string[] {
  const segments = key.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}

function addDirectories(state: WorkspaceState, key: string): void {
  for (const each of ancestorsOf(key)) state.of(FILES).directories.add(each)
}

function sessionOf(state: WorkspaceState, token: string, key: string): Session {
  const session = state.of(FILES).sessions.get(token)
  if (session?.key !== key) throw missing('The upload session does not exist.', 'NOT_FOUND')
  return session
}

function partsOf(value: unknown): UploadedPart[] {
  const parts = value as readonly Record<string, unknown>[]
  if (parts.length === 0) throw invalid('parts must not be empty.')
  let before = 0
  for (const part of parts) {
    expectFields(part, { part_number: 'number', etag: 'string' }, 'parts')
    if (Number(part.part_number) <= before) throw invalid('parts must be in ascending order.')
    before = Number(part.part_number)
  }
  return parts.map(({ part_number, etag }) => ({ part_number: Number(part_number), etag: String(etag) }))
}

function expiryOf(text: string, state: WorkspaceState): number {
  const time = Date.parse(text)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(text) || Number.isNaN(time))
    throw invalid(`expire_time must be a timestamp, got ${text}.`)
  return Math.min(time, state.now() + LONGEST_LOAN_MS)
}

function flagOf(query: URLSearchParams, name: string): boolean {
  const value = query.get(name) ?? 'false'
  if (value !== 'true' && value !== 'false') throw invalid(`${name} must be true or false.`)
  return value === 'true'
}

/** The path of a request: segments have to be escaped, and name no other place. */
function keyOf({ path, params }: RouteRequest, mayEndInSlash = false): string {
  if (/[^\w.~!$&'()*+,;=:@%/-]/.test(path)) throw invalid('The path is not escaped.')
  return keyOfPath(`/${mayEndInSlash ? params.path?.replace(/\/$/, '') : params.path}`)
}

function keyOfPath(path: string): string {
  const [first, root, ...rest] = path.split('/')
  const isKnown = first === '' && ['Volumes', 'Models', 'WorkspaceInternal'].includes(root ?? '')
  if (!isKnown || rest.some((segment) => segment === '' || segment === '.' || segment === '..'))
    throw invalid(`Invalid path: ${path}`)
  return path.slice(1)
}

function notFound(key: string): RefusedRequest {
  return missing(`The path /${key} does not exist.`, 'NOT_FOUND')
}
