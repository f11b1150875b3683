/**
 * @file Whether the run of a lock file has certainly ended, also where its process cannot be seen: in another
 * container, before a restart.
 *
 * 1. A run locks its file in the kernel for as long as its process lives, however that ends, and then writes into it
 *    how others can judge that.
 * 2. Who can lock such a file too knows that its run has ended, if the kernel would have shown the other lock. It does
 *    where both have the file on a file system of one kernel at a time, so that the kernel of the other is this one or
 *    is gone; and on any other, network volumes too, where both see the same mount of it since the same start of the
 *    kernel.
 * 3. Otherwise nothing is known. No time without a sign of life is a proof: a process that is stopped, or cut off from
 *    its file server, gives none and goes on later.
 */

import { type FileHandle, statfs } from 'node:fs/promises'
import { bootId } from '../file-owner.js'
import { openRegularFile } from '../regular-file.js'
import { loadAddon } from '../tensor/addon.js'

/** What a lock file says of itself. */
export interface LockProof {
  readonly boot: string
  readonly device: string
  readonly inode: string
  /** The magic number that statfs(2) gives. */
  readonly fileSystem: number
}

/** What the kernel says of the run of a lock file. */
export type LockState = 'running' | 'ended' | 'unknown'

/**
 * ext2 to 4, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs, overlayfs (a container's own layer): never mounted by two kernels.
 */
const LOCAL = [0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, 0x01021994, 0x794c7630]

/** Locks a file of one's own until it is closed. @returns what others need; undefined where there are no such locks */
export async function lockOwnFile(handle: FileHandle, path: string): Promise<LockProof | undefined> {
  try {
    return (await lock(handle, true)) === true ? await identify(handle, path) : undefined
  } catch {
    // A runtime without the right to ask, or without an engine, which the run itself will say.
    return undefined
  }
}

/** What is known of the run that wrote `proof` into the file at `path`. */
export async function lockState(path: string, proof: unknown): Promise<LockState> {
  if (!isProof(proof)) return 'unknown'
  let handle: FileHandle | undefined
  try {
    handle = await openRegularFile('train', path)
    const here = await identify(handle, path)
    const isSameMount = proof.boot === here.boot && proof.device === here.device
    const isLocal = LOCAL.includes(proof.fileSystem) && LOCAL.includes(here.fileSystem)
    // A copy of the file is no lock.
    if (proof.inode !== here.inode || !(isSameMount || isLocal)) return 'unknown'
    // Shared, so that several may ask at the same time.
    const isLocked = await lock(handle, false)
    if (isLocked === null) return 'unknown'
    return isLocked ? 'ended' : 'running'
  } catch {
    return 'unknown'
  } finally {
    await handle?.close()
  }
}

async function lock(handle: FileHandle, exclusive: boolean): Promise<boolean | null> {
  return (await loadAddon().lockFile?.(handle.fd, exclusive)) ?? null
}

async function identify(handle: FileHandle, path: string): Promise<LockProof> {
  const { dev, ino } = await handle.stat({ bigint: true })
  const { type } = await statfs(path)
  return { boot: bootId(), device: String(dev), inode: String(ino), fileSystem: type }
}

function isProof(value: unknown): value is LockProof {
  if (typeof value !== 'object' || value === null) return false
  const { boot, device, inode, fileSystem } = value as Record<string, unknown>
  return (
    [boot, device, inode].every((part) => typeof part === 'string' && part !== '') && typeof fileSystem === 'number'
  )
}
