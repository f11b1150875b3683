/** @file Unpacks a zip archive into a folder, and no more than an honest archive holds. */

import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { formatBytes } from '../bytes.js'
import { DataError } from '../lowrank-error.js'
import { openRegularFile } from '../regular-file.js'
import { readZipDirectory, readZipEntry, type ZipFlaw, zipOfFile } from '../zip.js'

const REMEDIES: Readonly<Record<ZipFlaw, string>> = {
  damaged: 'pull it anew',
  hostile: 'do not use it',
  foreign: 'unpack it yourself',
}
/** Bytes that any archive may unpack to, and how many times its size beyond them. */
const FREE_BYTES = 64 * 2 ** 20
const LARGEST_RATIO = 400

/**
 * @param archive What errors call it.
 * @param onBytes Told the bytes that have been unpacked, and of how many.
 * @returns the files, by their paths in the folder
 * @throws DataError saying what is wrong with the archive; what was unpacked before that stays in `directory`
 */
export async function unzip(
  path: string,
  directory: string,
  archive: string,
  {
    signal,
    onBytes,
  }: { signal?: AbortSignal | undefined; onBytes?: ((bytes: number, total: number) => void) | undefined },
): Promise<{ readonly name: string; readonly bytes: number }[]> {
  const file = await openRegularFile('kaggle', path)
  try {
    const { size } = await file.stat()
    const fault = (got: string, flaw: ZipFlaw, remedy = REMEDIES[flaw]): DataError =>
      new DataError(`[kaggle] expected a sound zip archive from ${archive}, got ${got}; ${remedy}`)
    const zip = zipOfFile(file, size)
    const entries = await readZipDirectory(zip, fault)
    const total = entries.reduce((sum, entry) => sum + entry.size, 0)
    if (total > FREE_BYTES && total > LARGEST_RATIO * size) {
      throw fault(
        `${formatBytes(total)} in ${formatBytes(size)}, as archives have it that are made to fill a disk (zip bombs)`,
        'hostile',
        'nothing of it is unpacked: do not use it',
      )
    }
    let done = 0
    for (const entry of entries) {
      signal?.throwIfAborted()
      const counted = (bytes: number): void => onBytes?.(done + bytes, total)
      await writeFileAtomic(join(directory, entry.name), readZipEntry(zip, entry, fault, counted, signal))
      done += entry.size
    }
    return entries.map(({ name, size: bytes }) => ({ name, bytes }))
  } finally {
    await file.close()
  }
}
