/** @file What somebody may have meant by a path that does not exist. Imports of src/ only how names are compared. */

import { readdir, stat } from 'node:fs/promises'
import { isAbsolute, resolve, sep } from 'node:path'
import { nearestName } from './errors.js'

/** Names looked at in one directory; a folder of a data set may have millions. */
const MOST_NAMES = 10_000

/**
 * The existing path that `path` is most likely a misspelling of, written in the same way, or undefined where none is
 * near. Every part of it may be misspelled.
 */
export async function nearestPath(path: string): Promise<string | undefined> {
  let found = isAbsolute(path) ? sep : ''
  if (/^\.{1,2}[/\\]/.test(path)) found = path.slice(0, path.indexOf(sep) + 1)
  for (const part of path.slice(found.length).split(sep)) {
    if (part === '' || part === '.') continue
    const exact = found + part
    if (await exists(exact)) {
      found = exact + sep
      continue
    }
    const names = await readdir(found || '.').catch(() => [])
    const name = nearestOf(part, names)
    if (name === undefined) return undefined
    found += name + sep
  }
  const nearest = found.endsWith(sep) ? found.slice(0, -1) : found
  return nearest !== '' && resolve(nearest) !== resolve(path) && (await exists(nearest)) ? nearest : undefined
}

/** `; did you mean PATH?` for the end of an error message, or nothing. */
export async function nearestPathHint(path: string): Promise<string> {
  const nearest = await nearestPath(path)
  return nearest === undefined ? '' : `; did you mean ${nearest}?`
}

/**
 * Endings say little: `rows.json` is meant to be `rows.jsonl`, but `none.jsonl` not `long.jsonl`. Hardly anybody
 * mistypes the first letter.
 */
function nearestOf(part: string, names: readonly string[]): string | undefined {
  const stem = stemOf(part)
  const first = part.slice(0, 1).toLowerCase()
  const alike = names.slice(0, MOST_NAMES).filter((name) => name.slice(0, 1).toLowerCase() === first)
  const stems = new Map(alike.map((name) => [stemOf(name), name]))
  const nearest = nearestName(stem, [...stems.keys()])
  return alike.find((name) => stemOf(name) === stem) ?? (nearest === undefined ? undefined : stems.get(nearest))
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}

/** The name of a file without its ending. */
function stemOf(name: string): string {
  return name.replace(/(?<=.)\.[^.]*$/, '')
}
