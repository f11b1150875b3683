/** @file Files of a push in a volume: put there, each recorded, and taken away once the table has their rows. */

import { ServiceError } from '../../http/service-error.js'
import type { DatabricksClient } from '../client/connect.js'
import { isMissing } from '../client/errors.js'
import { uploadFile } from '../client/files/files.js'
import { deleteVolumeDirectory, deleteVolumeFile, headFile } from '../client/files/files-api.js'
import type { TableName } from '../client/table-address.js'
import { createVolume, getVolume } from '../client/unity-catalog.js'
import { make, recordGone } from '../resources.js'
import type { ParquetFile } from './parquet-files.js'

/** Name of the volume where none is given. */
export const STAGING_VOLUME = 'lowrank_staging'
/** How long the files are tried to be taken away after a failure. */
const CLEAN_UP_LIMIT = 20_000

/** Makes sure that a volume is there. @throws ServiceError */
export async function ensureVolume(
  client: DatabricksClient,
  { catalog, schema, table: name }: TableName,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = { databricks: client, ...(signal && { signal }) }
  const fullName = [catalog, schema, name].map((part) => `\`${part.replaceAll('`', '``')}\``).join('.')
  try {
    await getVolume([catalog, schema, name].join('.'), options)
    return
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  try {
    await createVolume(fullName, { ...options, comment: 'Files of lowrank on their way into tables' })
  } catch (error) {
    // Another push was faster, or the answer to this one was lost.
    if (!(error instanceof ServiceError)) throw error
    await getVolume([catalog, schema, name].join('.'), options).catch(() => {
      throw error
    })
  }
}

/**
 * Puts the files into a folder of a volume. One that is there from a push that was killed is left as it is: its name
 * has the hash of its bytes.
 */
export async function stageFiles(
  client: DatabricksClient,
  folder: string,
  files: readonly ParquetFile[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let done = 0
  for (const file of files) {
    const path = `${folder}/${file.name}`
    const isThere = async (): Promise<boolean> => (await headFile(client, path, signal))?.size === file.bytes
    if (!(await isThere()))
      await make(client, {
        kind: 'volume-file',
        name: path,
        create: async () => {
          await uploadFile(file.path, path, {
            databricks: client,
            onProgress: ({ bytes }) => onBytes(done + bytes),
            ...(signal && { signal }),
          })
          return path
        },
        find: async () => ((await isThere()) ? path : undefined),
        idOf: () => path,
      })
    done += file.bytes
    onBytes(done)
  }
}

/** Takes the files and their folder away. @throws ServiceError */
export async function unstageFiles(
  client: DatabricksClient,
  folder: string,
  files: readonly ParquetFile[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { name } of files) {
    const path = `${folder}/${name}`
    await deleteVolumeFile(client, path, signal)
    await recordGone(client, 'volume-file', path)
  }
  await deleteVolumeDirectory(client, folder, signal)
}

/** The same after a failure, which is what is told. What stays is in the record, where `clean --all` finds it. */
export async function tryToUnstage(
  client: DatabricksClient,
  folder: string,
  files: readonly ParquetFile[],
): Promise<void> {
  await unstageFiles(client, folder, files, AbortSignal.timeout(CLEAN_UP_LIMIT)).catch(() => {})
}
