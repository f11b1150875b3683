/**
 * @file The lock of an output directory: one run works there at a time, whatever the file system, the machine and the container.
 *
 * 1. A run makes a file of its own, with a name that no other process makes, and then looks for those of others. Of two that begin
 *    at once the later sees the file of the earlier; both may see each other, and then both withdraw and try again.
 * 2. The name says which process made it (src/file-owner.ts), so that nothing has to be read to decide. What is inside is for people.
 * 3. A lock whose process has certainly ended is removed. One of another machine or container is not: only people know whether that run
 *    still goes on, and the error says which file to remove.
 * 4. A lock file that went away while its run goes on is made again, unless another run has come meanwhile.
 */

import { rmSync } from 'node:fs'
import { lstat, readdir, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { OWNER_PATTERN, type OwnerState, ownedName, ownerState } from '../file-owner.js'
import { writeError } from '../files.js'
import { readRegularFile } from '../regular-file.js'

const PREFIX = '.lowrank-lock-'
const LOCK = new RegExp(`^\\${PREFIX}${OWNER_PATTERN}$`)
/** Of two that met; each waits for another time. */
const ATTEMPTS = 4
const LONGEST_WAIT = 100

/** A lock of another run. */
interface Holder {
  readonly path: string
  readonly pid: number
  readonly state: OwnerState
}

/** Held until `release()`; a process that ends otherwise leaves the file, which the next run on this machine takes for what it is. */
export class DirectoryLock {
  readonly #directory: string
  #path: string
  readonly #onExit = () => rmSync(this.#path, { force: true })

  private constructor(directory: string, path: string) {
    this.#directory = directory
    this.#path = path
    process.on('exit', this.#onExit)
  }

  /** @throws naming who holds the lock, and what to do; when the directory cannot be written to */
  static async take(directory: string): Promise<DirectoryLock> {
    return new DirectoryLock(directory, await acquire(directory))
  }

  /** Before everything that is written under the lock. @throws when another run has the directory now */
  async confirm(): Promise<void> {
    const found = await lstat(this.#path).catch(() => undefined)
    if (!found) this.#path = await acquire(this.#directory)
  }

  async release(): Promise<void> {
    process.off('exit', this.#onExit)
    await rm(this.#path, { force: true }).catch(() => {})
  }
}

async function acquire(directory: string): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const path = join(directory, ownedName(PREFIX))
    let holder: Holder | undefined
    try {
      await writeFile(path, description(), { flag: 'wx' })
      holder = await otherHolder(directory, path)
      if (!holder) return path
    } catch (error) {
      await rm(path, { force: true }).catch(() => {})
      throw writeError(directory, error)
    }
    await rm(path, { force: true })
    if (attempt === ATTEMPTS) throw await refusal(directory, holder)
    await sleep(Math.random() * LONGEST_WAIT)
  }
}

/** Removes the locks of processes that have ended. */
async function otherHolder(directory: string, own: string): Promise<Holder | undefined> {
  let holder: Holder | undefined
  for (const name of await readdir(directory)) {
    const [, place, pid, ticks] = LOCK.exec(name) ?? []
    const path = join(directory, name)
    if (place === undefined || path === own) continue
    const state = ownerState(place, Number(pid), Number(ticks))
    if (state === 'ended') await rm(path, { recursive: true, force: true })
    else holder ??= { path, pid: Number(pid), state }
  }
  return holder
}

function description(): string {
  return `${JSON.stringify({ host: hostname(), pid: process.pid, since: new Date().toISOString() })}\n`
}

async function refusal(directory: string, { path, pid, state }: Holder): Promise<Error> {
  const { host, since } = await describedBy(path)
  const began = since && ` since ${since}`
  if (state === 'own' || state === 'running') {
    const who = state === 'own' ? 'this process' : `process ${pid}`
    return new Error(
      `[train] expected ${directory} for this run alone, but another run of ${who} works there${began}; wait for its end, or choose ` +
        'another outputDir',
    )
  }
  return new Error(
    `[train] expected ${directory} for this run alone, but a run of process ${pid} on ${host ? `host ${host}` : 'another machine'} works ` +
      `there${began}, on another machine, in another container, or before this machine was started; if it has ended, remove ${path}`,
  )
}

/** Only for the text: the file may be half written, or anything. */
async function describedBy(path: string): Promise<{ host: string; since: string }> {
  const plain = (value: unknown) => (typeof value === 'string' && /^[\w.:-]{1,64}$/.test(value) ? value : '')
  try {
    const { host, since } = JSON.parse((await readRegularFile(path, { where: 'train', limit: 1000 })).toString())
    return { host: plain(host), since: plain(since) }
  } catch {
    return { host: '', since: '' }
  }
}
