/** @file A packed model as a directory on this machine, which MLflow's client loads without a server. */

import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { writeDirectoryAtomic, writeFileAtomic } from '../../atomic-write.js'
import { expectPath, listNames } from '../../errors.js'
import { LowrankError } from '../../lowrank-error.js'
import { readDirectory } from '../../regular-file.js'
import type { ModelFile } from './files.js'

/**
 * Writes a packed model. It appears with all its files or not at all.
 * @param model of `packAdapter` or `packModel`
 * @param directory new or empty
 * @throws LowrankError with code FILE for a directory that holds something, or where the disk is full
 */
export async function writeModelDirectory(
  model: { readonly files: readonly ModelFile[] },
  directory: string,
): Promise<void> {
  expectPath('pack', 'directory', directory)
  const present = await readDirectory('pack', directory).catch(() => [])
  if (present.length > 0)
    throw new LowrankError(
      'FILE',
      `[pack] expected a new or empty directory to write the model to, got ${directory}, which holds ${listNames(present.sort())}; choose another, or ` +
        'remove it',
    )
  await writeDirectoryAtomic(directory, async (temporary) => {
    for (const { path, source } of model.files)
      await writeFileAtomic(join(temporary, path), typeof source === 'string' ? createReadStream(source) : source)
  })
}
