/** @file Finding documents by paths, folders and globs. Opens none of them. */

import { readdir, stat } from 'node:fs/promises'
import { extname, join, resolve } from 'node:path'
import { findFiles } from '../data/sources/find-files.js'
import { listNames } from '../errors.js'
import { DataError } from '../lowrank-error.js'
import { nearestPathHint } from '../nearest-path.js'
import { isMissing, readError, shownPath } from '../regular-file.js'
import { DOCUMENT_ENDINGS } from './document-text.js'

/** What was found. */
export interface FoundDocuments {
  /** Each once, in the order in which they were named; those of a folder or glob sorted. */
  readonly documents: readonly string[]
  /** Files of folders and globs that are no documents by their endings. */
  readonly otherFiles: number
}

/** @throws DataError for a path that does not exist, and where a folder or glob has no documents */
export async function findDocuments(patterns: readonly string[]): Promise<FoundDocuments> {
  const documents = new Map<string, string>()
  const others = new Set<string>()
  for (const pattern of patterns) {
    const files = await filesOf(pattern)
    if (typeof files === 'string') {
      documents.set(resolve(files), files)
      continue
    }
    const found = files.filter(isDocument)
    if (found.length === 0)
      throw new DataError(
        `[documents] expected files that end in ${listNames(DOCUMENT_ENDINGS)} in ${shownPath(pattern)}, got none; check the path`,
        { file: pattern },
      )
    for (const path of found) if (!documents.has(resolve(path))) documents.set(resolve(path), path)
    for (const path of files) if (!isDocument(path)) others.add(resolve(path))
  }
  return { documents: [...documents.values()], otherFiles: others.size }
}

/** The one file that a path names, or those of a folder or glob. */
async function filesOf(pattern: string): Promise<string | readonly string[]> {
  const isGlob = /[*?]/.test(pattern)
  const found = await stat(pattern).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw readError('documents', pattern, error)
  })
  if (found?.isDirectory()) return await filesIn(pattern)
  if (found !== undefined) return pattern
  if (isGlob) return await findFiles(pattern)
  const hint = (await nearestPathHint(pattern)) || '; check the path'
  throw new DataError(`[documents] expected a document, got ${shownPath(pattern)}, which does not exist${hint}`, {
    file: pattern,
  })
}

/** The files in a folder and in its folders, sorted. Hidden ones count as none. */
async function filesIn(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    // A link to a folder may lead back.
    if (entry.isDirectory()) found.push(...(await filesIn(path)))
    else found.push(path)
  }
  return found.sort()
}

function isDocument(path: string): boolean {
  return DOCUMENT_ENDINGS.includes(extname(path).toLowerCase())
}
