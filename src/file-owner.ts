/**
 * @file Who made a file, as a part of its name, and whether that process can still be there. Neither a clock nor a
 * process id alone says that: file servers have clocks of their own, and in containers every process has the id 1.
 *
 * 1. A place is one start of one kernel, and in it one set of process ids. Processes of different places cannot see
 *    each other.
 * 2. In one place a process is known by its id and by when it began, which the kernel counts in ticks since its own
 *    start.
 * 3. A process of another place is not known to have ended by its name alone.
 *
 * Imports nothing of src/.
 */

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** What is known of the process that made a file. */
export type OwnerState = 'own' | 'running' | 'ended' | 'unknown'

/** A name that `ownedName` made begins with what it was given, then has this. */
export const OWNER_PATTERN = '([0-9a-f]{12})-(\\d+)-(\\d+)-[0-9a-f]{12}'

/** This process. Looked up when it is first needed: where reading is a permission, importing this asks for none. */
let self: { readonly place: string; readonly start: ReturnType<typeof startOf> } | undefined

function own(): NonNullable<typeof self> {
  self ??= { place: place(), start: startOf('self') }
  return self
}

/** `prefix`, this process, and a random part: no other process makes the same name. */
export function ownedName(prefix: string): string {
  const { place, start } = own()
  return `${prefix}${place}-${process.pid}-${start?.ticks ?? 0}-${randomBytes(6).toString('hex')}`
}

/** What is known of the process that `placeHash`, `pid` and `ticks` of a name stand for. */
export function ownerState(placeHash: string, pid: number, ticks: number): OwnerState {
  const { place, start } = own()
  if (placeHash !== place || start === undefined) return 'unknown'
  if (pid === process.pid) return ticks === start.ticks ? 'own' : 'ended'
  const found = startOf(pid)
  if (found) return found.ticks !== ticks || found.isZombie ? 'ended' : 'running'
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'ended'
  }
  // It is there, but the kernel hides processes of other users.
  return 'unknown'
}

/** One start of the kernel. Some containers are shown one of their own. @throws where it is not told */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}

/**
 * Host names repeat among containers, and all of one machine have one kernel: only all three together are one place.
 */
function place(): string {
  const hash = createHash('sha256').update(hostname())
  try {
    hash.update(`${bootId()}\n`).update(readlinkSync('/proc/self/ns/pid'))
  } catch {
    // Without these nothing is known of others: a place that no other process has.
    hash.update(randomBytes(16))
  }
  return hash.digest('hex').slice(0, 12)
}

function startOf(pid: number | 'self'): { ticks: number; isZombie: boolean } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the name of the program, which may hold blanks and brackets.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[19])
    return Number.isSafeInteger(ticks) ? { ticks, isZombie: fields[0] === 'Z' || fields[0] === 'X' } : undefined
  } catch {
    return undefined
  }
}
