/**
 * @file SHA256SUMS of a checkpoint: what its files held when they were written, in the format of sha256sum, so that `sha256sum -c` checks
 * them too. Files are read piece by piece; no turn of the event loop hashes more than one.
 */

import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { listNames } from '../errors.js'
import { openRegularFile, readError, readRegularFileIfThere } from '../regular-file.js'

export const CHECKSUM_FILE = 'SHA256SUMS'
const LINE = /^([0-9a-f]{64}) {2}([^/\\\0]{1,255})$/
const PIECE_BYTES = 1 << 20
const LARGEST_FILE = 1 << 20
/** What loading looks at: a file of this kind that has no checksum came later. */
const IS_READ = /\.(json|safetensors)$/

/** The content of `CHECKSUM_FILE` for the files of a directory that has none yet. */
export async function checksumsOf(directory: string): Promise<string> {
  const lines: string[] = []
  for (const name of (await readdir(directory)).sort())
    lines.push(`${await sha256Of(join(directory, name))}  ${name}\n`)
  return lines.join('')
}

/**
 * Compares the files of a checkpoint with their checksums.
 * @returns what is wrong with which file; `undefined` where all is as it was written; 'none' where there are no checksums
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
    const found = await sha256Of(join(directory, name))
    if (found !== sum) return `${name} is not what was saved (SHA-256 ${found}, in ${CHECKSUM_FILE} ${sum})`
  }
  return undefined
}

/** What `verifyChecksums` says of checkpoints of before version 0.2. */
export const NO_CHECKSUMS = 'none'

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  const handle = await openRegularFile('resume', path)
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    for (;;) {
      const { bytesRead } = await handle.read(piece, 0, piece.length)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(piece.subarray(0, bytesRead))
    }
  } catch (error) {
    throw readError('resume', path, error)
  } finally {
    await handle.close()
  }
}
