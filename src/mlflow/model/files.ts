/** @file The files of a model directory and what they are together: sizes, checksums, one hash of all. */

import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { sha256Of } from '../../checkpoint/checksums.js'
import { withoutSecrets } from '../../errors.js'
import { LowrankError, ModelError } from '../../lowrank-error.js'
import { readError } from '../../regular-file.js'

/** A file of a model directory. */
export interface ModelFile {
  /** Its place inside of the model, with slashes. */
  readonly path: string
  /** In bytes. */
  readonly size: number
  /** In hexadecimal. */
  readonly sha256: string
  /** The path of a file on this machine, or the bytes themselves. */
  readonly source: string | Uint8Array
  /** When a file on this machine was written last, in milliseconds since 1970; undefined for bytes. */
  readonly modified?: number
}

/** Where the content of a file is, before anyone has looked at it. */
export interface NamedSource {
  readonly path: string
  readonly source: string | Uint8Array
}

/** Sizes and checksums of files, in the order of their paths. Files are read piece by piece, one after the other. */
export async function readModelFiles(
  sources: readonly NamedSource[],
  signal: AbortSignal | undefined,
): Promise<ModelFile[]> {
  const files: ModelFile[] = []
  for (const { path, source } of [...sources].sort(byPath)) {
    signal?.throwIfAborted()
    if (typeof source !== 'string') {
      files.push(bytesFile(path, source))
      continue
    }
    const { size, mtimeMs: modified } = await stat(source).catch((error: unknown) => {
      throw readError('pack', source, error)
    })
    const sha256 = await sha256Of('pack', source, signal)
    files.push({ path, size, sha256, source, modified })
  }
  await expectUnchanged(files)
  return files
}

/** @throws LowrankError where a file is not the one whose checksum was made */
export async function expectUnchanged(files: readonly ModelFile[]): Promise<void> {
  for (const { size, modified, source } of files) {
    if (modified === undefined || typeof source !== 'string') continue
    const now = await stat(source).catch(() => undefined)
    if (now?.size === size && now.mtimeMs === modified) continue
    throw new LowrankError(
      'FILE',
      `[pack] expected ${source} to stay as it is while the model is packed and sent, got another content; wait until it is written`,
    )
  }
}

/** A file whose content is in memory. */
export function bytesFile(path: string, content: string | Uint8Array): ModelFile {
  const source = typeof content === 'string' ? Buffer.from(content) : content
  return { path, size: source.length, sha256: createHash('sha256').update(source).digest('hex'), source }
}

/** SHA-256 over path, size and checksum of files, whatever their order. */
export function hashOf(files: readonly ModelFile[]): string {
  const hash = createHash('sha256')
  for (const { path, size, sha256 } of [...files].sort(byPath)) hash.update(`${path}\0${size}\0${sha256}\n`)
  return hash.digest('hex')
}

export function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0
}

/** Longer files are no settings or cards. */
const LONGEST_TEXT = 2 ** 20

/** @throws ModelError where a card, settings or what was written holds what looks like a token or a password */
export async function expectNoSecrets(files: readonly ModelFile[]): Promise<void> {
  for (const { path, size, source } of files) {
    const isText = typeof source !== 'string' || /(?:^|\/)(?:adapter_config\.json|config\.json|README\.md)$/.test(path)
    if (!isText || size > LONGEST_TEXT) continue
    const text = typeof source === 'string' ? await readFile(source, 'utf8') : Buffer.from(source).toString()
    if (withoutSecrets(text) === text) continue
    const where = typeof source === 'string' ? source : `what becomes ${path}`
    throw new ModelError(
      `[pack] expected no token or password in ${where}, got one, which all who see the model would see; remove it`,
    )
  }
}
