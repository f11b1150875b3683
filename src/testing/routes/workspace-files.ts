/** @file Files and notebooks of the loopback workspace itself: import, export, list, delete. */

import { expectFields, expectQuery, invalid, missing, RefusedRequest, type Route } from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'

interface WorkspaceObject {
  readonly type: 'FILE' | 'NOTEBOOK' | 'DIRECTORY'
  readonly language?: string
  readonly bytes: Buffer
  readonly modified: number
  readonly id: number
}

const OBJECTS: StateKey<Map<string, WorkspaceObject>> = { name: 'workspace objects', make: () => new Map() }

const LARGEST_IMPORT = 10 * 2 ** 20
const FORMATS = ['AUTO', 'SOURCE', 'HTML', 'JUPYTER', 'DBC', 'R_MARKDOWN', 'RAW']
const LANGUAGES: Readonly<Record<string, string>> = { py: 'PYTHON', sql: 'SQL', scala: 'SCALA', r: 'R' }
const NOTEBOOK = /^(?:#|--|\/\/) Databricks notebook source/

export const WORKSPACE_FILES_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: '/api/2.0/workspace/import',
    handle({ json }, state) {
      const fields = {
        path: 'string',
        content: 'string?',
        format: 'string?',
        language: 'string?',
        overwrite: 'boolean?',
      } as const
      expectFields(json, fields)
      const bytes = Buffer.from(String(json.content ?? ''), 'base64')
      if (bytes.toString('base64') !== (json.content ?? '')) throw invalid('content is not base64.')
      if (bytes.length > LARGEST_IMPORT)
        throw new RefusedRequest(400, 'MAX_NOTEBOOK_SIZE_EXCEEDED', 'The content is larger than 10 MB.')
      const { path, type, language } = kindOf(pathOf(json.path), bytes, json)
      const objects = state.of(OBJECTS)
      const parent = path.slice(0, path.lastIndexOf('/'))
      if (parent !== '' && objects.get(parent)?.type !== 'DIRECTORY')
        throw missing(`The parent folder (${parent}) does not exist.`)
      const there = objects.get(path)
      if (there && (json.overwrite !== true || there.type !== type)) throw exists(path)
      put(state, path, { type, bytes, ...(language !== undefined && { language }) })
      return { json: {} }
    },
  },
  {
    method: 'GET',
    path: '/api/2.0/workspace/export',
    handle({ query }, state) {
      expectQuery(query, ['path'], ['format', 'direct_download'])
      if (!FORMATS.includes(query.get('format') ?? 'SOURCE')) throw invalid('Unknown format.')
      const { type, bytes } = objectOf(state, pathOf(query.get('path')))
      if (type === 'DIRECTORY') throw invalid('Directories are exported in the format DBC alone.')
      if (query.get('direct_download') === 'true') return { body: bytes }
      return { json: { content: bytes.toString('base64'), file_type: type === 'FILE' ? 'file' : 'notebook' } }
    },
  },
  {
    method: 'GET',
    path: '/api/2.0/workspace/list',
    handle({ query }, state) {
      expectQuery(query, ['path'], ['notebooks_modified_after'])
      const path = pathOf(query.get('path'))
      if (path !== '/' && objectOf(state, path).type !== 'DIRECTORY')
        return { json: { objects: [statusOf(state, path)] } }
      const prefix = path === '/' ? '/' : `${path}/`
      const names = [...state.of(OBJECTS).keys()].filter(
        (each) => each.startsWith(prefix) && !each.slice(prefix.length).includes('/'),
      )
      return { json: names.length === 0 ? {} : { objects: names.sort().map((each) => statusOf(state, each)) } }
    },
  },
  {
    method: 'GET',
    path: '/api/2.0/workspace/get-status',
    handle({ query }, state) {
      expectQuery(query, ['path'])
      return { json: statusOf(state, pathOf(query.get('path'))) }
    },
  },
  {
    method: 'POST',
    path: '/api/2.0/workspace/mkdirs',
    handle({ json }, state) {
      expectFields(json, { path: 'string' })
      const segments = pathOf(json.path).split('/').slice(1)
      for (const index of segments.keys()) {
        const path = `/${segments.slice(0, index + 1).join('/')}`
        const there = state.of(OBJECTS).get(path)
        if (there && there.type !== 'DIRECTORY') throw exists(path)
        if (!there) put(state, path, { type: 'DIRECTORY', bytes: Buffer.alloc(0) })
      }
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: '/api/2.0/workspace/delete',
    handle({ json }, state) {
      expectFields(json, { path: 'string', recursive: 'boolean?' })
      const path = pathOf(json.path)
      objectOf(state, path)
      const within = [...state.of(OBJECTS).keys()].filter((each) => each.startsWith(`${path}/`))
      if (within.length > 0 && json.recursive !== true)
        throw new RefusedRequest(400, 'DIRECTORY_NOT_EMPTY', `Folder (${path}) is not empty.`)
      for (const each of [path, ...within]) state.of(OBJECTS).delete(each)
      return { json: {} }
    },
  },
]

/** What an import makes: notebooks lose the ending of their name, as in the service. */
function kindOf(
  path: string,
  bytes: Buffer,
  { format = 'SOURCE', language }: Readonly<Record<string, unknown>>,
): { readonly path: string; readonly type: 'FILE' | 'NOTEBOOK'; readonly language?: string } {
  if (!FORMATS.includes(String(format))) throw invalid(`Unknown format: ${String(format)}`)
  if (format === 'SOURCE') {
    if (!Object.values(LANGUAGES).includes(String(language))) throw invalid('SOURCE needs a language.')
    return { path, type: 'NOTEBOOK', language: String(language) }
  }
  if (format === 'RAW') return { path, type: 'FILE' }
  const [, stem = path, ending = ''] = /^(.*)\.(\w+)$/.exec(path) ?? []
  const found = LANGUAGES[ending.toLowerCase()]
  const isNotebook = found !== undefined && NOTEBOOK.test(bytes.subarray(0, 100).toString())
  if (isNotebook) return { path: stem, type: 'NOTEBOOK', language: found }
  if (ending === 'ipynb') return { path: stem, type: 'NOTEBOOK', language: 'PYTHON' }
  return { path, type: 'FILE' }
}

function put(state: WorkspaceState, path: string, object: Omit<WorkspaceObject, 'modified' | 'id'>): void {
  const objects = state.of(OBJECTS)
  objects.set(path, { ...object, modified: state.now(), id: objects.get(path)?.id ?? objects.size + 1 })
}

function objectOf(state: WorkspaceState, path: string): WorkspaceObject {
  const object = state.of(OBJECTS).get(path)
  if (object === undefined) throw missing(`Path (${path}) doesn't exist.`)
  return object
}

function statusOf(state: WorkspaceState, path: string): Record<string, unknown> {
  const { type, language, bytes, modified, id } = objectOf(state, path)
  return {
    object_type: type,
    path,
    object_id: id,
    resource_id: String(id),
    ...(language !== undefined && { language }),
    ...(type === 'FILE' && { size: bytes.length }),
    ...(type !== 'DIRECTORY' && { created_at: modified, modified_at: modified }),
  }
}

function pathOf(value: unknown): string {
  const path =
    String(value)
      .replace(/^\/Workspace(?=\/|$)/, '')
      .replace(/\/+$/, '') || '/'
  if (!path.startsWith('/')) throw invalid(`Path (${path}) doesn't start with '/'`)
  return path
}

function exists(path: string): RefusedRequest {
  return new RefusedRequest(
    400,
    'RESOURCE_ALREADY_EXISTS',
    `${path} already exists. Please pass overwrite as true to overwrite it.`,
  )
}
