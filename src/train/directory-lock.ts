/**
 * @file The lock of an output directory: one run works there at a time, whatever the file system, the machine and the
 * container.
 *
 * 1. A run makes a file of its own, with a name that no other process makes, and then looks for those of others. Of two
 *    that begin at once the later sees the file of the earlier; both may see each other, and then both withdraw and try
 *    again.
 * 2. The name says which process made it (src/file-owner.ts), so that nothing has to be read to decide. What is inside
 *    is for people.
 * 3. A lock whose process has certainly ended is removed, in this place by its name, in another container and after a
 *    restart by a lock of the kernel (lock-proof.ts). Where the kernel cannot tell, as of another machine on a network
 *    volume, only people know whether that run still goes on, and the error says which file to remove.
 * 4. A lock file that went away while its run goes on is made again, unless another run has come meanwhile.
 */

import { rmSync } from 'node:fs'
import { type FileHandle, lstat, open, readdir, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeError } from '../atomic-write.js'
import { OWNER_PATTERN, ownedName, ownerState } from '../file-owner.js'
import { LowrankError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { lockOwnFile, lockState } from './lock-proof.js'

const PREFIX = '.lowrank-lock-'
const LOCK = new RegExp(`^\\${PREFIX}${OWNER_PATTERN}$`)
/** Attempts of two runs that met; each waits for another time. */
const ATTEMPTS = 4
const LONGEST_WAIT = 100

/** A lock of another run. */
interface Holder {
  readonly path: string
  readonly pid: number
  readonly where: 'this process' | 'this place' | 'this kernel' | 'unknown'
}

/** A lock file of this run, open for as long as it is held. */
interface OwnFile {
  readonly path: string
  readonly handle: FileHandle
}

/** Held until `release()`; a process that ends otherwise leaves the file, which the next run takes for what it is. */
export class DirectoryLock {
  readonly #directory: string
  #own: OwnFile
  readonly #onExit = () => rmSync(this.#own.path, { force: true })

  private constructor(directory: string, own: OwnFile) {
    this.#directory = directory
    this.#own = own
    process.on('exit', this.#onExit)
  }

  /** @throws naming who holds the lock, and what to do; when the directory cannot be written to */
  static async take(directory: string): Promise<DirectoryLock> {
    return new DirectoryLock(directory, await acquire(directory))
  }

  /** Before everything that is written under the lock. @throws when another run has the directory now */
  async confirm(): Promise<void> {
    const found = await lstat(this.#own.path).catch(() => undefined)
    if (found) return
    const lost = this.#own
    this.#own = await acquire(this.#directory)
    await lost.handle.close()
  }

  async release(): Promise<void> {
    process.off('exit', this.#onExit)
    await remove(this.#own)
  }
}

async function acquire(directory: string): Promise<OwnFile> {
  for (let attempt = 1; ; attempt++) {
    let own: OwnFile | undefined
    let holder: Holder | undefined
    try {
      own = await create(join(directory, ownedName(PREFIX)))
      holder = await otherHolder(directory, own.path)
      if (!holder) return own
    } catch (error) {
      if (own) await remove(own)
      throw writeError(directory, error)
    }
    await remove(own)
    if (attempt === ATTEMPTS) throw await refusal(directory, holder)
    await sleep(Math.random() * LONGEST_WAIT)
  }
}

async function create(path: string): Promise<OwnFile> {
  const handle = await open(path, 'wx')
  try {
    const proof = await lockOwnFile(handle, path)
    const description = { host: hostname(), pid: process.pid, since: new Date().toISOString(), ...(proof && { proof }) }
    await handle.writeFile(`${JSON.stringify(description)}\n`)
    return { path, handle }
  } catch (error) {
    await remove({ path, handle })
    throw error
  }
}

/** The file goes before the lock of the kernel, so that nobody finds the one without the other. */
async function remove({ path, handle }: OwnFile): Promise<void> {
  await rm(path, { force: true }).catch(() => {})
  await handle.close().catch(() => {})
}

/** Whether a run works in a directory; 'unknown': its lock is of a process that cannot be asked. Changes nothing. */
export async function lockOf(directory: string): Promise<'running' | 'unknown' | 'free'> {
  let found: 'unknown' | 'free' = 'free'
  for (const name of await readdir(directory).catch(() => [])) {
    const [, place, pid, ticks] = LOCK.exec(name) ?? []
    if (place === undefined) continue
    const where = await whereIs(join(directory, name), ownerState(place, Number(pid), Number(ticks)))
    if (where === 'unknown') found = 'unknown'
    else if (where !== 'ended') return 'running'
  }
  return found
}

/** Removes the locks of processes that have ended. */
async function otherHolder(directory: string, own: string): Promise<Holder | undefined> {
  let holder: Holder | undefined
  for (const name of await readdir(directory)) {
    const [, place, pid, ticks] = LOCK.exec(name) ?? []
    const path = join(directory, name)
    if (place === undefined || path === own) continue
    const where = await whereIs(path, ownerState(place, Number(pid), Number(ticks)))
    if (where === 'ended') await rm(path, { recursive: true, force: true })
    else holder ??= { path, pid: Number(pid), where }
  }
  return holder
}

async function whereIs(path: string, byName: ReturnType<typeof ownerState>): Promise<Holder['where'] | 'ended'> {
  if (byName === 'ended') return 'ended'
  // Also of this place: a worker thread that was ended leaves its lock to a process that goes on.
  const byKernel = await lockState(path, (await describedBy(path)).proof)
  if (byKernel === 'ended') return 'ended'
  if (byName === 'own') return 'this process'
  if (byName === 'running') return 'this place'
  return byKernel === 'running' ? 'this kernel' : 'unknown'
}

async function refusal(directory: string, { path, pid, where }: Holder): Promise<Error> {
  const { host, since } = await describedBy(path)
  const began = since && ` since ${since}`
  const expected = `[train] expected ${directory} for this run alone, but`
  if (where === 'unknown') {
    return new LowrankError(
      'FILE',
      `${expected} a run of process ${pid} on ${host ? `host ${host}` : 'another machine'} works ` +
        `there${began}, on another machine, in another container, or before this machine was started; if it has ended, remove ${path}`,
    )
  }
  const who = {
    'this process': 'this process',
    'this place': `process ${pid}`,
    'this kernel': `process ${pid}${host && ` on host ${host}`}, in another container of this machine,`,
  }[where]
  return new LowrankError(
    'FILE',
    `${expected} another run of ${who} works there${began}; wait for its end, or choose another outputDir`,
  )
}

/** The file may be half written, or anything. */
async function describedBy(path: string): Promise<{ host: string; since: string; proof?: unknown }> {
  const plain = (value: unknown) => (typeof value === 'string' && /^[\w.:-]{1,64}$/.test(value) ? value : '')
  try {
    const { host, since, proof } = JSON.parse((await readRegularFile(path, { where: 'train', limit: 1000 })).toString())
    return { host: plain(host), since: plain(since), proof }
  } catch {
    return { host: '', since: '' }
  }
}
