/**
 * @file What decides the rows of a data set beside the bytes of its files: what was asked for, and which files are
 * there.
 */

import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isPlainObject } from '../values.js'

// Listing more takes longer than it saves.
const MOST_FILES = 10_000
/** Files beside the rows that say what these are. */
const DESCRIPTIONS = ['README.md', 'dataset_info.json', 'dataset_infos.json']

/**
 * Plain data that changes whenever other rows may be meant; undefined for rows that a program gives, and for what does
 * not lie on the disk.
 */
export async function sourceParts(source: unknown): Promise<unknown> {
  const paths: string[] = []
  if (!collectPaths(source, paths)) return undefined
  const listings: unknown[] = []
  for (const path of paths) {
    const listing = await listingOf(path)
    if (listing === undefined) return undefined
    listings.push(listing)
  }
  return [source, listings]
}

/** Paths, lists of them, and data sets as objects with a path, a list of paths or a mix. */
function collectPaths(source: unknown, to: string[]): boolean {
  if (typeof source === 'string') return to.push(source) > 0
  if (Array.isArray(source)) return source.length > 0 && source.every((part) => collectPaths(part, to))
  if (!isPlainObject(source)) return false
  const { path, mix } = source
  return path !== undefined ? collectPaths(path, to) : Array.isArray(mix) && collectPaths(mix, to)
}

/** Names, sizes and times of the files that a path or glob can mean. */
async function listingOf(path: string): Promise<unknown> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile()) {
    const beside = await Promise.all(DESCRIPTIONS.map((name) => entryOf(join(dirname(path), name))))
    return [path, beside]
  }
  const isGlob = /[*?]/.test(path)
  if (!found?.isDirectory() && !isGlob) return undefined
  const segments = path.split('/')
  const fixed = segments.slice(
    0,
    segments.findIndex((segment) => /[*?]/.test(segment)),
  )
  const root = found?.isDirectory() ? path : fixed.join('/') || (path.startsWith('/') ? '/' : '.')
  const entries: unknown[] = []
  return (await list(root, entries)) ? entries : undefined
}

/** Whether all were listed. */
async function list(directory: string, to: unknown[]): Promise<boolean> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => undefined)
  if (entries === undefined) return false
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(directory, entry.name)
    if (to.length >= MOST_FILES) return false
    if (!entry.isDirectory()) to.push(await entryOf(path))
    else if (!(await list(path, to))) return false
  }
  return true
}

async function entryOf(path: string): Promise<unknown> {
  const found = await stat(path).catch(() => undefined)
  return found && [path, found.size, found.mtimeMs]
}
