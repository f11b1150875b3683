/**
 * @file What lowrank made in workspaces: a file of lines on this machine, written before and after each call that makes
 * something, so that it is found again after a crash or a lost answer. It holds names and ids, and no secrets.
 */

import { randomUUID } from 'node:crypto'
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { writeError } from '../atomic-write.js'
import { ServiceError } from '../http/service-error.js'
import { readError } from '../regular-file.js'
import { isObject } from '../values.js'
import type { DatabricksClient } from './client/connect.js'

/** Kinds of things in a workspace, in the order in which they are removed. */
export const RESOURCE_KINDS = [
  'run',
  'serving-endpoint',
  'cluster',
  'warehouse',
  'model-version',
  'registered-model',
  'table',
  'volume-file',
  'directory',
] as const

export type ResourceKind = (typeof RESOURCE_KINDS)[number]

/** A thing that lowrank made in a workspace and that it did not remove yet. */
export interface Resource {
  /** Names it in the record; things that have tags or tokens have it there too. */
  readonly key: string
  readonly kind: ResourceKind
  /** Name or path, as people know it. */
  readonly name: string
  /** Id that the workspace gave; undefined: the answer to the call that makes it never came. */
  readonly id: string | undefined
  /** Origin of the workspace. */
  readonly host: string
  /** When it was asked for, as ISO 8601 has it. */
  readonly created: string
}

/**
 * The record's file: `databricks.jsonl` in LOWRANK_STATE, else in `lowrank` in XDG_STATE_HOME, else in ~/.local/state.
 */
export function resourcesPath(): string {
  const { LOWRANK_STATE, XDG_STATE_HOME } = process.env
  const folder = LOWRANK_STATE || join(XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'lowrank')
  return join(resolve(folder), 'databricks.jsonl')
}

/**
 * What was made and not removed yet, oldest first.
 * @throws Error where the file cannot be read
 */
export async function listResources(): Promise<Resource[]> {
  const open = new Map<string, Resource>()
  for (const { key, event, ...line } of await readLines()) {
    if (typeof key !== 'string') continue
    const known = open.get(key)
    if (event === 'intent' && isIntent(line)) open.set(key, { key, ...line, id: undefined })
    else if (event === 'created' && known && typeof line.id === 'string') open.set(key, { ...known, id: line.id })
    else if (event === 'removed') open.delete(key)
  }
  return [...open.values()]
}

/** Writes down that something is about to be made. @returns its key */
export async function recordIntent(client: DatabricksClient, kind: ResourceKind, name: string): Promise<string> {
  const key = randomUUID()
  await append({ event: 'intent', key, kind, name, host: client.server, created: new Date().toISOString() })
  return key
}

/** Writes down the id of what was made. */
export async function recordCreated(key: string, id: string): Promise<void> {
  await append({ event: 'created', key, id })
}

/** Writes down that something is gone, or was never made. */
export async function recordRemoved(key: string): Promise<void> {
  await append({ event: 'removed', key, time: new Date().toISOString() })
}

/** Writes down that what has this id, or this name, is gone. */
export async function recordGone(client: DatabricksClient, kind: ResourceKind, idOrName: string): Promise<void> {
  for (const { key, host, id, name, ...known } of await listResources())
    if (host === client.server && known.kind === kind && (id ?? name) === idOrName) await recordRemoved(key)
}

/** How {@link make} makes one thing. */
export interface Making<T> {
  readonly kind: ResourceKind
  readonly name: string
  /** Sends the call. @param key goes along as a tag or token, where the service has such. */
  create(key: string): Promise<T>
  /** Looks for what a call made whose answer was lost. */
  find?(key: string): Promise<T | undefined>
  idOf(made: T): string
}

/**
 * Makes a thing with a line before and one after the call. Where the answer was lost it looks for the thing in place of
 * making a second one; where it cannot be found the line stays, so that `lowrank clean` looks again.
 */
export async function make<T>(client: DatabricksClient, making: Making<T>): Promise<T> {
  const key = await recordIntent(client, making.kind, making.name)
  let made: T
  try {
    made = await making.create(key)
  } catch (error) {
    if (wasRefused(error)) await recordRemoved(key)
    const found = wasUnclear(error) ? await making.find?.(key).catch(() => undefined) : undefined
    if (found === undefined) throw error
    made = found
  }
  await recordCreated(key, making.idOf(made))
  return made
}

/** The workspace said no: nothing was made. */
function wasRefused(error: unknown): boolean {
  return error instanceof ServiceError && error.status !== undefined && (error.status < 500 || error.status === 503)
}

/** Nobody knows whether it was done. */
export function wasUnclear(error: unknown): boolean {
  return error instanceof ServiceError && !wasRefused(error)
}

function isIntent(line: Record<string, unknown>): line is Record<string, unknown> & Omit<Resource, 'key' | 'id'> {
  const { kind, name, host, created } = line
  const isKind = RESOURCE_KINDS.includes(kind as ResourceKind)
  return isKind && [name, host, created].every((value) => typeof value === 'string')
}

async function readLines(): Promise<Record<string, unknown>[]> {
  let text: string
  try {
    text = await readFile(resourcesPath(), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw readError('resources', resourcesPath(), error)
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
async function append(line: Readonly<Record<string, unknown>>): Promise<void> {
  const path = resourcesPath()
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await appendFile(path, `\n${JSON.stringify(line)}\n`, { mode: 0o600 })
  } catch (error) {
    throw writeError(path, error)
  }
}
