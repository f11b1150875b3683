/** @file Finding data files by path or glob. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../lowrank-error.js'
import { nearestPathHint } from '../nearest-path.js'
import { isMissing, readError, shownPath } from '../regular-file.js'

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
  if (!/[*?]/.test(pattern))
    throw new DataError(
      `[data] expected a data file, got ${shownPath(pattern)}, which does not exist${(await nearestPathHint(pattern)) || '; check the path'}`,
      { file: pattern },
    )
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

/** What to write for a directory: a glob of the files that it has, in quotes, or a shell would put their names in its place. */
async function globFor(directory: string): Promise<string> {
  for (const ending of ['.jsonl', '.json']) {
    const glob = join(directory, `*${ending}`)
    if ((await findFiles(glob).catch(() => [])).length > 0) return `try '${glob}'`
  }
  return 'it has no files that end in .jsonl or .json'
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
