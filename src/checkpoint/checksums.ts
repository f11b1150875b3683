/**
 * @file SHA256SUMS of a directory: what its files held when they were written, in the format of sha256sum, so that
 * `sha256sum -c` checks them too. All files of a checkpoint have to be as they were; of an adapter the weights, while
 * others may have changed on purpose. Files are read piece by piece; no turn of the event loop hashes more than one.
 */

import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { FileContent, FileToWrite } from '../atomic-write.js'
import { listNames } from '../errors.js'
import { openRegularFile, readError, readRegularFileIfThere } from '../regular-file.js'

export const CHECKSUM_FILE = 'SHA256SUMS'
const LINE = /^([0-9a-f]{64}) {2}([^/\\\0]{1,255})$/
/** As tools on other systems write it. */
const LENIENT_LINE = /^([0-9a-fA-F]{64}) [ *](?:\.\/)?([^/\\\0]{1,255}?)\r?$/
const PIECE_BYTES = 1 << 20
const LARGEST_FILE = 1 << 20
/** What loading looks at: a file of this kind that has no checksum came later. */
const IS_READ = /\.(json|safetensors)$/

/** The content of `CHECKSUM_FILE` for the files of a directory that has none yet. */
export async function checksumsOf(directory: string): Promise<string> {
  const lines: string[] = []
  for (const name of (await readdir(directory)).sort())
    if (name !== CHECKSUM_FILE) lines.push(lineOf(await sha256Of('resume', join(directory, name)), name))
  return lines.join('')
}

/**
 * The files, which are of one directory, and behind them their checksums; for `writeFilesAtomic`, which writes them in
 * that order.
 */
export function withChecksums(directory: string, files: readonly FileToWrite[]): FileToWrite[] {
  const lines: string[] = []
  const hashed = files.map(({ path, content }) => ({
    path,
    content: hashing(content, (sum) => lines.push(lineOf(sum, basename(path)))),
  }))
  const sums = async function* () {
    yield Buffer.from(lines.sort((a, b) => (nameIn(a) < nameIn(b) ? -1 : 1)).join(''))
  }
  return [...hashed, { path: join(directory, CHECKSUM_FILE), content: sums() }]
}

const lineOf = (sum: string, name: string): string => `${sum}  ${name}\n`
const nameIn = (line: string): string => line.slice(66)

async function* hashing(content: FileContent, done: (sum: string) => void): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  const pieces =
    typeof content === 'string' ? [Buffer.from(content)] : content instanceof Uint8Array ? [content] : content
  for await (const piece of pieces) {
    hash.update(piece)
    yield piece
  }
  done(hash.digest('hex'))
}

/** A file that is not what its checksum says. */
export interface ChangedFile {
  readonly path: string
  readonly found: string
  readonly expected: string
}

/**
 * Those of `names` that have a checksum and are not what it says. A list of another program is one too, and other files
 * in it are not looked at.
 */
export async function changedFiles(where: string, directory: string, names: readonly string[]): Promise<ChangedFile[]> {
  const list = await readRegularFileIfThere(join(directory, CHECKSUM_FILE), { where, limit: LARGEST_FILE })
  const changed: ChangedFile[] = []
  for (const line of list?.toString().split('\n') ?? []) {
    const [, expected, name] = LENIENT_LINE.exec(line) ?? []
    if (expected === undefined || name === undefined || !names.includes(name)) continue
    const path = join(directory, name)
    const found = await sha256Of(where, path)
    if (found !== expected.toLowerCase()) changed.push({ path, found, expected })
  }
  return changed
}

/**
 * Compares the files of a checkpoint with their checksums.
 * @returns what is wrong with which file; `undefined` where all is as it was written; 'none' where there are no
 * checksums
 */
export async function verifyChecksums(directory: string): Promise<string | undefined> {
  const path = join(directory, CHECKSUM_FILE)
  const bytes = await readRegularFileIfThere(path, { where: 'resume', limit: LARGEST_FILE })
  if (bytes === undefined) return NO_CHECKSUMS
  const expected = new Map<string, string>()
  for (const line of bytes.toString().split('\n').slice(0, -1)) {
    const [, sum, name] = LINE.exec(line) ?? []
    if (sum === undefined || name === undefined || expected.has(name)) return `${path} is damaged`
    expected.set(name, sum)
  }
  if (expected.size === 0 || !bytes.toString().endsWith('\n')) return `${path} is damaged`
  const present = (await readdir(directory)).filter((name) => name !== CHECKSUM_FILE)
  const missing = [...expected.keys()].filter((name) => !present.includes(name))
  if (missing.length > 0) return `${listNames(missing)} of ${CHECKSUM_FILE} is missing`
  const unknown = present.filter((name) => IS_READ.test(name) && !expected.has(name))
  if (unknown.length > 0) return `${listNames(unknown)} is not in ${CHECKSUM_FILE}`
  for (const [name, sum] of expected) {
    const found = await sha256Of('resume', join(directory, name))
    if (found !== sum) return `${name} is not what was saved (SHA-256 ${found}, in ${CHECKSUM_FILE} ${sum})`
  }
  return undefined
}

/** What `verifyChecksums` says of checkpoints of before version 0.2. */
export const NO_CHECKSUMS = 'none'

/** SHA-256 of a file, in hexadecimal. @throws what cannot be read, and the reason of `signal` */
export async function sha256Of(where: string, path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const handle = await openRegularFile(where, path)
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    for (;;) {
      signal?.throwIfAborted()
      const { bytesRead } = await handle.read(piece, 0, piece.length)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(piece.subarray(0, bytesRead))
    }
  } catch (error) {
    throw signal?.aborted ? error : readError(where, path, error)
  } finally {
    await handle.close()
  }
}
