/** @file What an output was made of, as a digest: names and contents, since git sets file times freely. Uses no dependency. */

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './phases.mjs'

/**
 * The digest of files, whole folders and words. What is missing counts as nothing.
 * @param {readonly string[]} inputs paths inside the checkout
 * @param {readonly string[]} words
 */
export function digestOf(inputs, ...words) {
  const hash = createHash('sha256').update(words.join('\0'))
  const filesOf = (path) => {
    const absolute = join(root, path)
    if (!existsSync(absolute)) return []
    return statSync(absolute).isDirectory()
      ? readdirSync(absolute).flatMap((name) => filesOf(join(path, name)))
      : [path]
  }
  for (const path of inputs.flatMap(filesOf).sort()) hash.update(`${path}\0`).update(readFileSync(join(root, path)))
  return hash.digest('hex')
}
