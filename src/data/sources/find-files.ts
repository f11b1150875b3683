/** @file Finding data files by path or glob. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../../lowrank-error.js'
import { nearestPathHint } from '../../nearest-path.js'
import { isMissing, readError, readRegularFile, shownPath } from '../../regular-file.js'
import { chooseFiles, type DatasetChoice } from './dataset-files.js'

/**
 * The files that a path or glob names, sorted. `*` and `?` match within a name, `**` any folders. A directory names the
 * data files in it and in its folders, or those of one split where their names have splits.
 *
 * @param split The split of a directory; several: the first that it has. What is no directory is all 'train'.
 * @param choice What else is said of which files of a directory are wanted.
 * @throws DataError when nothing matches, or there is no such split.
 */
export async function findFiles(
  pattern: string,
  split: string | readonly string[] = 'train',
  choice: Omit<DatasetChoice, 'split'> = {},
): Promise<string[]> {
  const literal = await stat(pattern).catch((error: unknown) => {
    if (isMissing(error) || /[*?]/.test(pattern)) return undefined
    throw readError('data', pattern, error)
  })
  if (literal?.isDirectory()) return await findInDirectory(pattern, split, choice)
  if (typeof split === 'string' && split !== 'train') {
    throw new DataError(
      `[data] expected a folder or a data set of the Hub for the split ${JSON.stringify(split)}, got ${shownPath(pattern)}, whose rows are ` +
        "all of the split 'train'; give the file of that split",
    )
  }
  if (literal !== undefined) return [pattern]
  if (!/[*?]/.test(pattern)) {
    const hint = (await nearestPathHint(pattern)) || '; check the path'
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

async function findInDirectory(
  directory: string,
  split: string | readonly string[],
  choice: Omit<DatasetChoice, 'split'>,
): Promise<string[]> {
  const paths = await filesIn(directory)
  const card = paths.includes(CARD)
    ? (await readRegularFile(join(directory, CARD), { where: 'data' })).toString()
    : undefined
  const layout = { place: shownPath(directory), kind: 'a folder', file: directory, paths, card }
  return (await chooseFiles(layout, { ...choice, split })).map((path) => join(directory, path))
}

const CARD = 'README.md'

/** The files in a directory and its folders, by their paths within it, sorted. What is hidden counts as none. */
async function filesIn(directory: string, within = ''): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(join(directory, within), { withFileTypes: true })) {
    const { name } = entry
    if (name.startsWith('.') || name.startsWith('__')) continue
    const path = within === '' ? name : `${within}/${name}`
    // A link to a folder may lead back; one to a file is how a cache holds it.
    if (entry.isDirectory()) found.push(...(await filesIn(directory, path)))
    else found.push(path)
  }
  return found.sort()
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
