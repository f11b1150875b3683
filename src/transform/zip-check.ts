/**
 * @file Refuses zip archives that would do harm when they are unpacked: what `src/zip.ts` refuses, and content that is
 * much larger than that of a document may be. Unpacks nothing to disk.
 */

import { formatBytes } from '../bytes.js'
import { DataError } from '../lowrank-error.js'
import { readZipDirectory, readZipEntry, type ZipFlaw, zipOfBytes } from '../zip.js'

/** More than any document that people write, and less than would fill a machine. */
const LARGEST_CONTENT = 256 * 2 ** 20

const REMEDIES: Readonly<Record<ZipFlaw, string>> = {
  damaged: 'get the file anew from where it comes',
  hostile: 'do not open it',
  foreign: 'save it anew, without a password',
}

/**
 * @param file What errors call the archive.
 * @throws DataError saying what is wrong with it
 */
export async function expectSafeZip(bytes: Buffer, file: string): Promise<void> {
  const fault = (got: string, flaw: ZipFlaw): DataError =>
    new DataError(`[documents] expected a sound zip archive in ${file}, got ${got}; ${REMEDIES[flaw]}`, { file })
  const zip = zipOfBytes(bytes)
  const entries = await readZipDirectory(zip, fault)
  const total = entries.reduce((sum, { size }) => sum + size, 0)
  if (total > LARGEST_CONTENT) throw fault(`more than ${formatBytes(LARGEST_CONTENT)} of content`, 'hostile')
  for (const entry of entries) for await (const _ of readZipEntry(zip, entry, fault));
}
