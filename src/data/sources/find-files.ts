/** @file Finding data files by path or glob. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../../lowrank-error.js'
import { nearestPathHint } from '../../nearest-path.js'
import { isMissing, readError, shownPath } from '../../regular-file.js'
import { DATA_ENDINGS } from './formats.js'

/**
 * The files that a path or glob names, sorted. `*` and `?` match within a name, `**` any folders.
 *
 * @throws DataError when nothing matches, or the path is a directory.
 */
export async function findFiles(pattern: string): Promise<string[]> {
  const literal = await stat(pattern).catch((error: unknown) => {
    if (isMissing(error) || /[*?]/.test(pattern)) return undefined
    throw readError('data', pattern, error)
  })
  if (literal?.isDirectory()) {
    throw new DataError(`[data] expected a file or glob, got the directory ${pattern}; ${await globFor(pattern)}`, {
      file: pattern,
    })
  }
  if (literal !== undefined) return [pattern]
  if (!/[*?]/.test(pattern)) {
    const hint = (await nearestPathHint(pattern)) || (HUB_ID.test(pattern) ? FROM_HUB : '; check the path')
    throw new DataError(`[data] expected a data file, got ${shownPath(pattern)}, which does not exist${hint}`, {
      file: pattern,
    })
  }
  const segments = pattern.split('/')
  const fixed = segments.slice(
    0,
    segments.findIndex((segment) => /[*?]/.test(segment)),
  )
  const root = fixed.length === 0 ? '.' : fixed.join('/') || '/'
  const found: string[] = []
  await walk(root, fixed.length === 0 ? '' : `${fixed.join('/')}/`, segments.slice(fixed.length), found)
  if (found.length === 0)
    throw new DataError(`[data] expected files for ${pattern}, got no match; check the folder and the ending`)
  return [...new Set(found)].sort()
}

/** What a data set of the Hub is called; names of files have an ending. */
const HUB_ID = /^[\w-][\w.-]*\/[\w-]+$/
const FROM_HUB = '; check the path; data sets of the Hub are not read yet: download its .jsonl file'

/**
 * What to write for a directory: a glob of the files that it has, in quotes, or a shell would put their names in its
 * place.
 */
async function globFor(directory: string): Promise<string> {
  for (const ending of DATA_ENDINGS) {
    const glob = join(directory, `*${ending}`)
    if ((await findFiles(glob).catch(() => [])).length > 0) return `try '${glob}'`
  }
  return `it has no files that end in ${new Intl.ListFormat('en', { type: 'disjunction' }).format(DATA_ENDINGS)}`
}

async function walk(folder: string, shown: string, segments: readonly string[], found: string[]): Promise<void> {
  const [segment, ...rest] = segments
  if (segment === undefined) return
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  if (segment === '**') await walk(folder, shown, rest.length === 0 ? ['*'] : rest, found)
  const matches = toRegExp(segment === '**' ? '*' : segment)
  for (const entry of entries) {
    if (!matches.test(entry.name)) continue
    const path = join(folder, entry.name)
    const directory =
      entry.isDirectory() || (entry.isSymbolicLink() && (await stat(path).catch(() => undefined))?.isDirectory())
    // A link back to a parent would make `**` endless.
    if (segment === '**') {
      if (entry.isDirectory()) await walk(path, `${shown}${entry.name}/`, segments, found)
    } else if (rest.length > 0) {
      if (directory) await walk(path, `${shown}${entry.name}/`, rest, found)
    } else if (!directory) found.push(shown + entry.name)
  }
}

function toRegExp(segment: string): RegExp {
  const source = segment
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.')
  // As in shells, a wildcard does not match a leading dot.
  return new RegExp(`^${/^[*?]/.test(segment) ? '(?!\\.)' : ''}${source}$`, 's')
}
