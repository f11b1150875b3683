/** @file Files and notebooks of the workspace itself: `workspace/import`, `export`, `list`, `mkdirs` and `delete`. */

import { formatBytes } from '../../../bytes.js'
import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import type { DatabricksClient } from '../connect.js'
import type { DirectoryEntry } from './entries.js'
import { ifThere, wasThere } from './files-api.js'
import { baseNameOf } from './remote-path.js'

/** What a notebook is given as; `AUTO` decides by name and content, as the service does. */
export type WorkspaceFormat = 'AUTO' | 'SOURCE' | 'HTML' | 'JUPYTER' | 'DBC' | 'R_MARKDOWN' | 'RAW'

/** Bytes that one import or export carries. */
const LARGEST_IMPORT = 10 * 2 ** 20

interface WorkspaceCall {
  readonly client: DatabricksClient
  readonly path: string
  readonly signal: AbortSignal | undefined
}

const whatOf = (path: string): string => `the workspace file ${path}`

export interface ImportOptions {
  readonly overwrite: boolean
  readonly format: WorkspaceFormat
  /** Language of a notebook in the format SOURCE: `PYTHON`, `SQL`, `SCALA`, `R`. */
  readonly language?: string | undefined
}

export async function importToWorkspace(
  target: WorkspaceCall,
  bytes: Uint8Array,
  options: ImportOptions,
): Promise<void> {
  const { client, path, signal } = target
  const { overwrite, format, language } = options
  await client.json({
    method: 'POST',
    path: '/api/2.0/workspace/import',
    json: {
      path,
      content: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
      format,
      overwrite,
      ...(language !== undefined && { language }),
    },
    what: whatOf(path),
    isRepeatable: overwrite,
    signal,
  })
}

/** @throws ServiceError where there is no file or notebook, or one that is too large */
export async function exportFromWorkspace(
  { client, path, signal }: WorkspaceCall,
  format: WorkspaceFormat,
): Promise<Uint8Array> {
  const { content } = await client.json<{ content?: unknown }>({
    path: '/api/2.0/workspace/export',
    query: { path, format },
    what: whatOf(path),
    signal,
  })
  if (typeof content === 'string') return Buffer.from(content, 'base64')
  throw new ServiceError(
    `[databricks] expected the content of ${path} from ${client.server}, got none; try again later`,
  )
}

/** What is at a path; undefined where nothing is. */
export async function statWorkspace({ client, path, signal }: WorkspaceCall): Promise<DirectoryEntry | undefined> {
  const query = { path }
  const call = { path: '/api/2.0/workspace/get-status', query, what: whatOf(path), signal }
  const status = await ifThere(() => client.json<Record<string, unknown>>(call))
  return status && entryOf(status)
}

export async function* listWorkspace({ client, path, signal }: WorkspaceCall): AsyncGenerator<DirectoryEntry> {
  const query = { path }
  const call = { path: '/api/2.0/workspace/list', query, what: `the workspace directory ${path}`, signal }
  const { objects } = await client.json<{ objects?: unknown }>(call)
  for (const each of Array.isArray(objects) ? objects.filter(isObject) : []) {
    const entry = entryOf(each)
    if (entry.path !== path) yield entry
  }
}

export async function makeWorkspaceDirectory({ client, path, signal }: WorkspaceCall): Promise<void> {
  const json = { path }
  await client.json({
    method: 'POST',
    path: '/api/2.0/workspace/mkdirs',
    json,
    what: whatOf(path),
    isRepeatable: true,
    signal,
  })
}

/** @returns whether something was there */
export async function deleteFromWorkspace(
  { client, path, signal }: WorkspaceCall,
  recursive: boolean,
): Promise<boolean> {
  const json = { path, recursive }
  const call = { method: 'POST' as const, path: '/api/2.0/workspace/delete', json, what: whatOf(path), signal }
  return await wasThere(() => client.json({ ...call, isRepeatable: true }))
}

/** @throws ServiceError for more than one import carries */
export function expectImportable(path: string, size: number): void {
  if (size <= LARGEST_IMPORT) return
  throw new ServiceError(
    `[databricks] expected at most ${formatBytes(LARGEST_IMPORT)} for the workspace file ${path}, got ${formatBytes(size)}; put it into a volume`,
    { errorCode: 'MAX_NOTEBOOK_SIZE_EXCEEDED' },
  )
}

function entryOf({ path, object_type, size, modified_at }: Readonly<Record<string, unknown>>): DirectoryEntry {
  const fullPath = String(path).replace(/^\/Workspace(?=\/)/, '')
  const objectType = String(object_type)
  return {
    path: fullPath,
    name: baseNameOf(fullPath),
    isDirectory: objectType === 'DIRECTORY' || objectType === 'REPO',
    ...(objectType === 'FILE' && size !== undefined && { fileSize: Number(size) }),
    ...(modified_at !== undefined && { lastModified: Number(modified_at) }),
    objectType,
  }
}
