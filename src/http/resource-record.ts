/**
 * @file What lowrank made elsewhere: a file of lines on this machine, written before and after each call that makes
 * something, so that it is found again after a crash or a lost answer. It holds names and ids, and no secrets. Knows no
 * service.
 */

import { randomUUID } from 'node:crypto'
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { writeError } from '../atomic-write.js'
import { readError } from '../regular-file.js'
import { isObject } from '../values.js'
import { ServiceError } from './service-error.js'

/** A thing that lowrank made and did not remove yet. */
export interface RecordedResource<Kind extends string> {
  /** Names it in the record; things that have tags or tokens have it there too. */
  readonly key: string
  readonly kind: Kind
  /** Name or path, as people know it. */
  readonly name: string
  /** Id that the service gave; undefined: the answer to the call that makes it never came. */
  readonly id: string | undefined
  /** Origin of the service. */
  readonly host: string
  /** When it was asked for, as ISO 8601 has it. */
  readonly created: string
}

/** How {@link ResourceRecord.make} makes one thing. */
export interface Making<T, Kind extends string> {
  readonly kind: Kind
  readonly name: string
  /** Sends the call. @param key goes along as a tag or token, where the service has such. */
  create(key: string): Promise<T>
  /** Looks for what a call made whose answer was lost. */
  find?(key: string): Promise<T | undefined>
  idOf(made: T): string
}

/** The record of the things of one family of services. */
export interface ResourceRecord<Kind extends string> {
  path(): string
  /**
   * What was made and not removed yet, oldest first.
   * @throws Error where the file cannot be read
   */
  list(): Promise<RecordedResource<Kind>[]>
  /** Writes down that something is about to be made. @returns its key */
  intent(host: string, kind: Kind, name: string): Promise<string>
  /** Writes down the id of what was made. */
  created(key: string, id: string): Promise<void>
  /** Writes down that something is gone, or was never made. */
  removed(key: string): Promise<void>
  /** Writes down that what has this id, or this name, is gone. */
  gone(host: string, kind: Kind, idOrName: string): Promise<void>
  /**
   * Makes a thing with a line before and one after the call. Where the answer was lost it looks for the thing in place
   * of making a second one; where it cannot be found the line stays, so that cleaning looks again.
   */
  make<T>(host: string, making: Making<T, Kind>): Promise<T>
}

/** @param file Its name in LOWRANK_STATE, else in `lowrank` in XDG_STATE_HOME, else in ~/.local/state. */
export function resourceRecord<Kind extends string>(file: string, kinds: readonly Kind[]): ResourceRecord<Kind> {
  const path = (): string => {
    const { LOWRANK_STATE, XDG_STATE_HOME } = process.env
    const folder = LOWRANK_STATE || join(XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'lowrank')
    return join(resolve(folder), file)
  }
  const isIntent = (
    line: Record<string, unknown>,
  ): line is Record<string, unknown> & Omit<RecordedResource<Kind>, 'key' | 'id'> => {
    const { kind, name, host, created } = line
    return kinds.includes(kind as Kind) && [name, host, created].every((value) => typeof value === 'string')
  }
  const record: ResourceRecord<Kind> = {
    path,
    async list() {
      const open = new Map<string, RecordedResource<Kind>>()
      for (const { key, event, ...line } of await readLines(path())) {
        if (typeof key !== 'string') continue
        const known = open.get(key)
        if (event === 'intent' && isIntent(line)) open.set(key, { key, ...line, id: undefined })
        else if (event === 'created' && known && typeof line.id === 'string') open.set(key, { ...known, id: line.id })
        else if (event === 'removed') open.delete(key)
      }
      return [...open.values()]
    },
    async intent(host, kind, name) {
      const key = randomUUID()
      await append(path(), { event: 'intent', key, kind, name, host, created: new Date().toISOString() })
      return key
    },
    created: (key, id) => append(path(), { event: 'created', key, id }),
    removed: (key) => append(path(), { event: 'removed', key, time: new Date().toISOString() }),
    async gone(host, kind, idOrName) {
      for (const known of await record.list())
        if (known.host === host && known.kind === kind && (known.id ?? known.name) === idOrName)
          await record.removed(known.key)
    },
    async make(host, making) {
      const key = await record.intent(host, making.kind, making.name)
      let made: Awaited<ReturnType<typeof making.create>>
      try {
        made = await making.create(key)
      } catch (error) {
        if (wasRefused(error)) await record.removed(key)
        const found = wasUnclear(error) ? await making.find?.(key).catch(() => undefined) : undefined
        if (found === undefined) throw error
        made = found
      }
      await record.created(key, making.idOf(made))
      return made
    },
  }
  return record
}

/** The service said no: nothing was made. */
function wasRefused(error: unknown): boolean {
  return error instanceof ServiceError && error.status !== undefined && (error.status < 500 || error.status === 503)
}

/** Nobody knows whether it was done. */
export function wasUnclear(error: unknown): boolean {
  return error instanceof ServiceError && !wasRefused(error)
}

async function readLines(path: string): Promise<Record<string, unknown>[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw readError('resources', path, error)
  }
  return text.split('\n').flatMap((line) => {
    try {
      const parsed: unknown = JSON.parse(line)
      return isObject(parsed) ? [parsed] : []
    } catch {
      // A process that was killed leaves half a line.
      return []
    }
  })
}

/** Each line begins with a line end, so that it is whole behind half a line. */
async function append(path: string, line: Readonly<Record<string, unknown>>): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await appendFile(path, `\n${JSON.stringify(line)}\n`, { mode: 0o600 })
  } catch (error) {
    throw writeError(path, error)
  }
}
