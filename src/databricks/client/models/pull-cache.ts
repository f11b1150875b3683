/**
 * @file What of registered models is on this machine, one folder for each model of each server:
 *
 *   models/HOST/CATALOG.SCHEMA.MODEL/versions/3.json    what version 3 has; written once all of it is there
 *   models/HOST/CATALOG.SCHEMA.MODEL/aliases/NAME       the version that an alias meant when it was last asked for
 *   models/HOST/CATALOG.SCHEMA.MODEL/snapshots/ID/...   its files; ID is the hash of their content where lowrank made
 *                                                       the version, else that of where it comes from
 *
 * A folder without its record is one that is being fetched, or whose fetching was stopped.
 */

import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../../../atomic-write.js'
import { cacheDirectory } from '../../../cache-directory.js'
import { readRegularFileIfThere } from '../../../regular-file.js'
import { isObject } from '../../../values.js'
import type { ModelVersion } from './registry.js'
import { hashOfSource } from './source.js'
import type { VersionFile } from './version-files.js'

/** What a record says of a version. */
export interface PulledVersion {
  readonly version: ModelVersion
  readonly files: readonly VersionFile[]
}

/** Bytes of a record: a hundred thousand files. */
const LARGEST_RECORD = 32 * 2 ** 20

/** The part of the cache that belongs to one model. */
export interface ModelCache {
  /** The folder of a version's files. */
  snapshot(version: ModelVersion): string
  /** What is known of a version whose files are all there, as large as they must be. */
  read(version: number): Promise<PulledVersion | undefined>
  write(pulled: PulledVersion): Promise<void>
  readAlias(alias: string): Promise<number | undefined>
  writeAlias(alias: string, version: number): Promise<void>
}

export function modelCache(cacheDir: string | undefined, server: string, name: string): ModelCache {
  const host = new URL(server).host.replace(/[^\w.-]/g, '_')
  const folder = join(cacheDir ?? cacheDirectory(), 'models', host, encodeURIComponent(name))
  const recordPath = (version: number): string => join(folder, 'versions', `${version}.json`)
  const aliasPath = (alias: string): string => join(folder, 'aliases', alias)
  const snapshot = (version: ModelVersion): string => join(folder, 'snapshots', snapshotId(version))
  return {
    snapshot,
    async read(version) {
      const bytes = await readRegularFileIfThere(recordPath(version), { where: 'databricks', limit: LARGEST_RECORD })
      const record = bytes && parsed(bytes)
      if (record === undefined) return undefined
      for (const { path, size } of record.files) {
        const found = await stat(join(snapshot(record.version), path)).catch(() => undefined)
        if (!found?.isFile() || found.size !== size) return undefined
      }
      return record
    },
    async write(pulled) {
      await writeFileAtomic(recordPath(pulled.version.version), `${JSON.stringify(pulled)}\n`)
    },
    async readAlias(alias) {
      const bytes = await readRegularFileIfThere(aliasPath(alias), { where: 'databricks', limit: 100 })
      const version = Number(bytes?.toString().trim())
      return Number.isSafeInteger(version) && version > 0 ? version : undefined
    },
    async writeAlias(alias, version) {
      await writeFileAtomic(aliasPath(alias), `${version}\n`)
    },
  }
}

/** Numbers of versions begin anew where a model was deleted and made again, so that a number alone says too little. */
function snapshotId({ source, name, version, createdAt }: ModelVersion): string {
  const origin = `${name}\n${version}\n${createdAt}\n${source}`
  return hashOfSource(source) ?? createHash('sha256').update(origin).digest('hex')
}

function parsed(bytes: Buffer): PulledVersion | undefined {
  try {
    const record: unknown = JSON.parse(bytes.toString())
    const isRecord = isObject(record) && isObject(record.version) && Array.isArray(record.files)
    return isRecord ? (record as unknown as PulledVersion) : undefined
  } catch {
    return undefined
  }
}
