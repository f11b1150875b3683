/** @file The commit that a folder is at, read from its .git without git. */

import { dirname, join, resolve } from 'node:path'
import { readRegularFile } from '../regular-file.js'

const LARGEST = 16 * 2 ** 20
const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/

/** The commit of the checkout that `directory` is in; undefined where it is in none. */
export async function gitCommit(directory: string): Promise<string | undefined> {
  for (let folder = resolve(directory); ; folder = dirname(folder)) {
    const commit = await commitOf(folder).catch(() => undefined)
    if (commit !== undefined || folder === dirname(folder)) return commit
  }
}

async function commitOf(folder: string): Promise<string | undefined> {
  // A work tree has a file that names its folder.
  const [, elsewhere] = /^gitdir: (.+)$/m.exec((await read(join(folder, '.git'))) ?? '') ?? []
  const git = elsewhere === undefined ? join(folder, '.git') : resolve(folder, elsewhere)
  const head = await read(join(git, 'HEAD'))
  if (head === undefined) return undefined
  const [, reference] = /^ref: (.+)$/.exec(head) ?? []
  if (reference === undefined) return known(head)
  const common = await read(join(git, 'commondir'))
  const shared = common === undefined ? git : resolve(git, common)
  const commit = (await read(join(git, reference))) ?? (await read(join(shared, reference)))
  if (commit !== undefined) return known(commit)
  const packed = (await read(join(shared, 'packed-refs'))) ?? ''
  const line = packed.split('\n').find((text) => text.endsWith(` ${reference}`))
  return known(line?.split(' ')[0] ?? '')
}

function known(text: string): string | undefined {
  return COMMIT.test(text) ? text : undefined
}

async function read(path: string): Promise<string | undefined> {
  return await readRegularFile(path, { where: 'mlflow', limit: LARGEST }).then(
    (bytes) => bytes.toString().trim(),
    () => undefined,
  )
}
