/**
 * @file Paths of a workspace's files as people write them, and as its calls have them. Three systems of files: volumes
 * (with all else that the Files API serves), DBFS, and the workspace's own folders.
 */

import { describeValue } from '../../../errors.js'
import { OptionError } from '../../../lowrank-error.js'

/** Which calls serve a path. */
export type FileSystemKind = 'volume' | 'dbfs' | 'workspace'

/** A path of a workspace. */
export interface RemotePath {
  readonly kind: FileSystemKind
  /** From the root of its system, without a slash at the end: `/Volumes/c/s/v/file`, `/tmp/file`, `/Users/me/file`. */
  readonly path: string
}

/** What the Files API serves besides volumes: files of models and of MLflow. */
const FILES_API = /^\/(?:Volumes|Models|WorkspaceInternal)(?:\/|$)/
const FORMS = 'dbfs:/Volumes/CATALOG/SCHEMA/VOLUME/..., dbfs:/... or workspace:/...'

/** Whether a text names a file of a workspace, and not one of this machine. */
export function isRemotePath(text: string): boolean {
  return /^(?:dbfs|workspace|uc-volume):/i.test(text) || /^\/(?:Volumes|Workspace|dbfs)(?:\/|$)/.test(text)
}

/**
 * Reads `/Volumes/c/s/v/file`, `dbfs:/Volumes/...`, `uc-volume://c.s.v/file`, `dbfs:/file`, `/dbfs/file`,
 * `workspace:/Users/me/file` and `/Workspace/Users/me/file`.
 * @throws OptionError for other forms, and for `..` and empty names within a path
 */
export function parseRemotePath(text: string): RemotePath {
  const { kind, path } = readForm(text)
  const segments = path.replace(/\/+$/, '').split('/').slice(1)
  for (const segment of segments) {
    if (segment !== '' && segment !== '.' && segment !== '..' && !segment.includes('\0')) continue
    throw new OptionError(
      `[databricks] expected a path without empty names, "." and "..", got ${describeValue(text)}; write the whole path`,
    )
  }
  return { kind, path: `/${segments.join('/')}` }
}

function readForm(text: string): RemotePath {
  const [, scheme = '', rest = ''] = /^(?:(dbfs|workspace|uc-volume):)?(.*)$/is.exec(text) ?? []
  // `dbfs:///Volumes/x` is how Spark writes `dbfs:/Volumes/x`.
  const path = rest.replace(/^\/\/\//, '/')
  switch (scheme.toLowerCase()) {
    case 'uc-volume':
      return { kind: 'volume', path: volumePath(text, path) }
    case 'workspace':
      if (path.startsWith('/')) return { kind: 'workspace', path: path.replace(/^\/Workspace(?=\/|$)/, '') || '/' }
      break
    case 'dbfs':
      if (FILES_API.test(path)) return { kind: 'volume', path }
      if (path.startsWith('/')) return { kind: 'dbfs', path }
      break
    default:
      if (FILES_API.test(path)) return { kind: 'volume', path }
      if (/^\/Workspace(?:\/|$)/.test(path)) return { kind: 'workspace', path: path.slice('/Workspace'.length) || '/' }
      if (/^\/dbfs(?:\/|$)/.test(path)) return readForm(`dbfs:${path.slice('/dbfs'.length) || '/'}`)
  }
  throw new OptionError(
    `[databricks] expected a path such as ${FORMS}, got ${describeValue(text)}; write it in one of these forms`,
  )
}

/** `uc-volume://c.s.v/file` and `uc-volume:/c/s/v/file`. */
function volumePath(text: string, rest: string): string {
  const [, volume = '', inside = ''] = /^\/*([^/]*)(.*)$/s.exec(rest) ?? []
  const names = volume.split('.')
  const isDotted = names.length === 3 && names.every((name) => name !== '')
  if (isDotted) return `/Volumes/${names.join('/')}${inside}`
  if (/^\/*[^/]+\/[^/]+\/[^/]+/.test(rest)) return `/Volumes/${rest.replace(/^\/+/, '')}`
  throw new OptionError(
    `[databricks] expected uc-volume://CATALOG.SCHEMA.VOLUME/file, got ${describeValue(text)}; name all three`,
  )
}

/** A path as an address has it: its segments escaped. */
export function escapePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/** The directory above; the root's is the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/'))) || '/'
}

/** The last name. */
export function baseNameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** A name within a directory. */
export function joinRemote(directory: string, name: string): string {
  return name === '' ? directory : `${directory === '/' ? '' : directory}/${name}`
}
