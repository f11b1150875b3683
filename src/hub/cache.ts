/**
 * @file The Hub cache on disk, laid out as huggingface_hub does, so that both use what either fetched; data
 * sets lie in datasets--ORG--NAME:
 *
 *   models--ORG--NAME/refs/REVISION            the commit that a branch or tag stood for when it was last asked for
 *   models--ORG--NAME/blobs/ETAG               content, complete and checked
 *   models--ORG--NAME/snapshots/COMMIT/PATH    a relative link to the blob
 */

import { randomBytes } from 'node:crypto'
import { copyFile, readdir, rename, stat, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { makeDirectories, writeFileAtomic } from '../atomic-write.js'
import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { ADAPTER_FILES, INDEX_FILE, type ModelPart, shardsOf } from './model-files.js'

/** A commit has 40 bytes. */
const LARGEST_REF = 1000
export const COMMIT = /^[0-9a-f]{40}$/

/** The part of the cache that belongs to one repository. */
export class RepositoryCache {
  readonly id: string
  readonly path: string

  constructor(cacheDir: string, id: string, type: 'model' | 'dataset' = 'model') {
    this.id = id
    this.path = join(cacheDir, `${type}s--${id.replace('/', '--')}`)
  }

  get blobs(): string {
    return join(this.path, 'blobs')
  }

  snapshot(commit: string): string {
    return join(this.path, 'snapshots', commit)
  }

  /**
   * The commit that a revision stood for when it was last asked for.
   * @throws when the file of a reference holds something else
   */
  async readRef(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision
    const path = join(this.path, 'refs', revision)
    const commit = (await readRegularFileIfThere(path, { where: 'hub', limit: LARGEST_REF }))?.toString().trim()
    if (commit !== undefined && !COMMIT.test(commit)) {
      throw new LowrankError(
        'FILE',
        `[hub] expected a commit in ${path}, got ${describeValue(commit)}; remove that file`,
      )
    }
    return commit
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    const known = await this.readRef(revision).catch(() => undefined)
    if (known !== commit) await writeFileAtomic(join(this.path, 'refs', revision), commit)
  }

  /** Revisions that the cache knows. */
  async revisions(): Promise<string[]> {
    const entries = await readdir(join(this.path, 'refs'), { recursive: true, withFileTypes: true }).catch(() => [])
    const refs = join(this.path, 'refs')
    const files = entries.filter((entry) => entry.isFile())
    return files.map((entry) => relative(refs, join(entry.parentPath, entry.name))).sort()
  }

  async has(commit: string, path: string): Promise<boolean> {
    return (await fileSize(join(this.snapshot(commit), path))) !== undefined
  }

  /** Whether a blob is there, as large as it must be. */
  async hasBlob({ etag, size }: { etag: string; size: number }): Promise<boolean> {
    return (await fileSize(join(this.blobs, etag))) === size
  }

  /** Puts a blob into a snapshot under the name that it has there. */
  async link(commit: string, path: string, etag: string): Promise<void> {
    const target = join(this.snapshot(commit), path)
    const blob = join(this.blobs, etag)
    await makeDirectories(dirname(target))
    // Beside its name first: a link that is there, to an older blob or to none, is replaced and never missing.
    const temporary = `${target}.${randomBytes(6).toString('hex')}.lowrank`
    try {
      await symlink(relative(dirname(target), blob), temporary)
    } catch (error) {
      // Some network file systems have no links; as in huggingface_hub the content itself then stands in the snapshot.
      if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw error
      await copyFile(blob, temporary)
    }
    await rename(temporary, target)
  }

  /** What a snapshot that nobody can be asked about lacks of a model; empty: nothing that matters. */
  async missing(commit: string, part: ModelPart): Promise<string[]> {
    const lacks = async (path: string) => !(await this.has(commit, path))
    if (part === 'adapter') {
      const found = await Promise.all(ADAPTER_FILES.map(lacks))
      return ADAPTER_FILES.filter((_, place) => found[place])
    }
    const config = (await lacks('config.json')) ? ['config.json'] : []
    if (part === 'config' || !(await lacks('model.safetensors'))) return config
    const bytes = await readRegularFileIfThere(join(this.snapshot(commit), INDEX_FILE), { where: 'hub' })
    if (bytes === undefined) return [...config, 'model.safetensors']
    const index = bytes.toString()
    const absent: string[] = []
    for (const shard of shardsOf(this.id, index)) if (await lacks(shard)) absent.push(shard)
    return [...config, ...absent]
  }
}

async function fileSize(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() ? found.size : undefined
}
