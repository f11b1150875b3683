/** @file Finding data files by path or glob. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { listNames } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { nearestPathHint } from '../../nearest-path.js'
import { isMissing, readError, shownPath } from '../../regular-file.js'
import { DATA_ENDINGS } from './formats.js'
import { splitsOf } from './splits.js'
import { unpackedPath } from './unpack.js'

/**
 * The files that a path or glob names, sorted. `*` and `?` match within a name, `**` any folders. A directory names the
 * data files in it and in its folders, or those of one split where their names have splits.
 *
 * @param split The split of a directory; several: the first that it has. What is no directory is all 'train'.
 * @throws DataError when nothing matches, or there is no such split.
 */
export async function findFiles(pattern: string, split: string | readonly string[] = 'train'): Promise<string[]> {
  const literal = await stat(pattern).catch((error: unknown) => {
    if (isMissing(error) || /[*?]/.test(pattern)) return undefined
    throw readError('data', pattern, error)
  })
  if (literal?.isDirectory()) return await findInDirectory(pattern, split)
  if (typeof split === 'string' && split !== 'train') {
    throw new DataError(
      `[data] expected a folder or a data set of the Hub for the split ${JSON.stringify(split)}, got ${shownPath(pattern)}, whose rows are ` +
        "all of the split 'train'; give the file of that split",
    )
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

/** Files that describe a data set. */
const NO_ROWS = ['config.json', 'dataset_info.json', 'dataset_infos.json', 'dataset_dict.json', 'state.json']

async function findInDirectory(directory: string, split: string | readonly string[]): Promise<string[]> {
  const paths = await dataFilesIn(directory)
  if (paths.length === 0) {
    const endings = new Intl.ListFormat('en', { type: 'disjunction' }).format(DATA_ENDINGS)
    throw new DataError(
      `[data] expected a folder of data files, got ${shownPath(directory)}; it has no files that end in ${endings}`,
      { file: directory },
    )
  }
  const splits = splitsOf(paths)
  const wanted = typeof split === 'string' ? [split] : split
  const name = wanted.find((each) => splits.has(each))
  const found = splits.size === 0 && wanted.includes('train') ? paths : splits.get(name ?? '')
  if (found !== undefined) return found.map((path) => join(directory, path))
  const has = splits.size === 0 ? "only 'train'" : listNames([...splits.keys()])
  throw new DataError(
    `[data] expected the split ${wanted.map((each) => JSON.stringify(each)).join(' or ')} in ${shownPath(directory)}, got a folder that has ${has}; ` +
      'give a split that it has, or the files',
    { file: directory },
  )
}

/** The data files in a directory and its folders, by their paths within it, sorted. What is hidden counts as none. */
async function dataFilesIn(directory: string, within = ''): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(join(directory, within), { withFileTypes: true })) {
    const { name } = entry
    if (name.startsWith('.') || name.startsWith('__')) continue
    const path = within === '' ? name : `${within}/${name}`
    // A link to a folder may lead back; one to a file is how a cache holds it.
    if (entry.isDirectory()) found.push(...(await dataFilesIn(directory, path)))
    else if (isDataFile(name)) found.push(path)
  }
  return found.sort()
}

function isDataFile(name: string): boolean {
  const plain = unpackedPath(name).toLowerCase()
  return !NO_ROWS.includes(plain) && DATA_ENDINGS.some((ending) => plain.endsWith(ending))
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
