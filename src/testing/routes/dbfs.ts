/** @file DBFS of the loopback workspace: files in memory, at most 1 MiB a call, as databricks-sdk sends it. */

import { expectFields, expectQuery, invalid, missing, RefusedRequest, type Route, type RouteRequest } from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'

interface DbfsFile {
  readonly bytes: Buffer
  readonly modified: number
}

interface DbfsState {
  readonly files: Map<string, DbfsFile>
  readonly directories: Set<string>
  readonly handles: Map<string, { readonly path: string; readonly blocks: Buffer[] }>
}

const DBFS: StateKey<DbfsState> = {
  name: 'dbfs',
  make: () => ({ files: new Map(), directories: new Set(['/']), handles: new Map() }),
}

const LARGEST_BLOCK = 2 ** 20

export const DBFS_ROUTES: readonly Route[] = [
  post('put', ({ json }, state) => {
    expectFields(json, { path: 'string', contents: 'string?', overwrite: 'boolean?' })
    const path = pathOf(json.path)
    expectFree(state, path, json.overwrite === true)
    write(state, path, blockOf(json.contents ?? ''))
    return {}
  }),
  {
    method: 'POST',
    path: '/api/2.0/dbfs/create',
    handle({ json }, state) {
      expectFields(json, { path: 'string', overwrite: 'boolean?' })
      const path = pathOf(json.path)
      expectFree(state, path, json.overwrite === true)
      const { handles } = state.of(DBFS)
      write(state, path, Buffer.alloc(0))
      // 64 bits wide, as the service's: a number of JavaScript does not hold it.
      const handle = String(2n ** 62n + BigInt(handles.size) + 1n)
      handles.set(handle, { path, blocks: [] })
      return { headers: { 'content-type': 'application/json' }, body: `{"handle":${handle}}` }
    },
  },
  withHandle('add-block', (text, { path, blocks }, state) => {
    const { data } = JSON.parse(text)
    blocks.push(blockOf(data))
    write(state, path, Buffer.concat(blocks))
  }),
  withHandle('close', (_text, _open, state, handle) => {
    state.of(DBFS).handles.delete(handle)
  }),
  get('read', ({ query }, state) => {
    expectQuery(query, ['path'], ['offset', 'length'])
    const { bytes } = fileOf(state, pathOf(query.get('path')))
    const [offset, length] = [Number(query.get('offset') ?? 0), Number(query.get('length') ?? LARGEST_BLOCK)]
    if (length > LARGEST_BLOCK) throw new RefusedRequest(400, 'MAX_READ_SIZE_EXCEEDED', 'length is more than 1 MiB.')
    if (!(offset >= 0) || offset > bytes.length) throw invalid('offset is outside of the file.')
    const piece = bytes.subarray(offset, offset + length)
    return { bytes_read: piece.length, data: piece.toString('base64') }
  }),
  get('list', ({ query }, state) => {
    expectQuery(query, ['path'])
    const path = pathOf(query.get('path'))
    const { files, directories } = state.of(DBFS)
    if (files.has(path)) return { files: [statusOf(state, path)] }
    if (!directories.has(path)) throw notThere(path)
    const all = [...files.keys(), ...directories].filter((each) => each !== '/' && parentOf(each) === path)
    return { files: all.sort().map((each) => statusOf(state, each)) }
  }),
  get('get-status', ({ query }, state) => {
    expectQuery(query, ['path'])
    return statusOf(state, pathOf(query.get('path')))
  }),
  post('mkdirs', ({ json }, state) => {
    expectFields(json, { path: 'string' })
    const path = pathOf(json.path)
    if (state.of(DBFS).files.has(path)) throw exists(path)
    addDirectories(state, `${path}/`)
    return {}
  }),
  post('move', ({ json }, state) => {
    expectFields(json, { source_path: 'string', destination_path: 'string' })
    const [from, to] = [pathOf(json.source_path), pathOf(json.destination_path)]
    const file = fileOf(state, from)
    expectFree(state, to, false)
    state.of(DBFS).files.delete(from)
    write(state, to, file.bytes)
    return {}
  }),
  post('delete', ({ json }, state) => {
    expectFields(json, { path: 'string', recursive: 'boolean?' })
    const path = pathOf(json.path)
    const { files, directories } = state.of(DBFS)
    const within = [...files.keys(), ...directories].filter((each) => each.startsWith(`${path}/`))
    if (within.length > 0 && json.recursive !== true)
      throw new RefusedRequest(400, 'IO_ERROR', `The directory ${path} is not empty.`)
    for (const each of [path, ...within]) {
      files.delete(each)
      directories.delete(each)
    }
    return {}
  }),
]

type Handler = (request: RouteRequest, state: WorkspaceState) => unknown

function post(verb: string, handle: Handler): Route {
  return {
    method: 'POST',
    path: `/api/2.0/dbfs/${verb}`,
    handle: (request, state) => ({ json: handle(request, state) }),
  }
}

function get(verb: string, handle: Handler): Route {
  return {
    method: 'GET',
    path: `/api/2.0/dbfs/${verb}`,
    handle: (request, state) => ({ json: handle(request, state) }),
  }
}

/** A call about an open file, whose handle is read as text. */
function withHandle(
  verb: string,
  act: (
    text: string,
    open: { readonly path: string; readonly blocks: Buffer[] },
    state: WorkspaceState,
    handle: string,
  ) => void,
): Route {
  return {
    method: 'POST',
    path: `/api/2.0/dbfs/${verb}`,
    body: 'raw',
    async handle({ body }, state) {
      const pieces: Uint8Array[] = []
      for await (const piece of body) pieces.push(piece)
      const text = Buffer.concat(pieces).toString()
      const [, handle = ''] = /"handle"\s*:\s*"?(\d+)/.exec(text) ?? []
      const open = state.of(DBFS).handles.get(handle)
      if (open === undefined) throw missing(`No stream found with handle: ${handle}`)
      act(text, open, state, handle)
      return { json: {} }
    },
  }
}

function blockOf(value: unknown): Buffer {
  const bytes = Buffer.from(String(value), 'base64')
  if (typeof value !== 'string' || bytes.toString('base64') !== value) throw invalid('The content is not base64.')
  if (bytes.length <= LARGEST_BLOCK) return bytes
  throw new RefusedRequest(400, 'MAX_BLOCK_SIZE_EXCEEDED', 'A block has at most 1 MiB.')
}

function write(state: WorkspaceState, path: string, bytes: Buffer): void {
  addDirectories(state, path)
  state.of(DBFS).files.set(path, { bytes, modified: state.now() })
}

function addDirectories(state: WorkspaceState, path: string): void {
  const segments = path.split('/').slice(1, -1)
  segments.forEach((_, index) => {
    state.of(DBFS).directories.add(`/${segments.slice(0, index + 1).join('/')}`)
  })
}

function expectFree(state: WorkspaceState, path: string, overwrite: boolean): void {
  const { files, directories } = state.of(DBFS)
  if (directories.has(path) || (files.has(path) && !overwrite)) throw exists(path)
}

function fileOf(state: WorkspaceState, path: string): DbfsFile {
  const file = state.of(DBFS).files.get(path)
  if (file === undefined) throw notThere(path)
  return file
}

function statusOf(state: WorkspaceState, path: string): Record<string, unknown> {
  const { files, directories } = state.of(DBFS)
  const file = files.get(path)
  if (file) return { path, is_dir: false, file_size: file.bytes.length, modification_time: file.modified }
  if (!directories.has(path)) throw notThere(path)
  return { path, is_dir: true, file_size: 0, modification_time: 0 }
}

function pathOf(value: unknown): string {
  const path = String(value)
    .replace(/^dbfs:/, '')
    .replace(/(?<=.)\/+$/, '')
  if (!path.startsWith('/')) throw invalid(`Path must be absolute: ${path}`)
  if (path.startsWith('/Volumes/')) throw invalid('Volumes are served by the Files API.')
  return path
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')))
}

function notThere(path: string): RefusedRequest {
  return missing(`No file or directory exists on path ${path}.`)
}

function exists(path: string): RefusedRequest {
  return new RefusedRequest(400, 'RESOURCE_ALREADY_EXISTS', `A file or directory already exists at ${path}.`)
}
