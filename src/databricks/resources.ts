/** @file What lowrank made in Databricks workspaces: its kinds, and the record on this machine that has them. */

import { type Making as MakingOf, resourceRecord } from '../http/resource-record.js'
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

/** How {@link make} makes one thing. */
export interface Making<T> extends MakingOf<T, ResourceKind> {}

const RECORD = resourceRecord('databricks.jsonl', RESOURCE_KINDS)

/**
 * The record's file: `databricks.jsonl` in LOWRANK_STATE, else in `lowrank` in XDG_STATE_HOME, else in ~/.local/state.
 */
export const resourcesPath = RECORD.path

/**
 * What was made and not removed yet, oldest first.
 * @throws Error where the file cannot be read
 */
export const listResources: () => Promise<Resource[]> = RECORD.list

/** Writes down that something is about to be made. @returns its key */
export async function recordIntent(client: DatabricksClient, kind: ResourceKind, name: string): Promise<string> {
  return await RECORD.intent(client.server, kind, name)
}

/** Writes down the id of what was made. */
export const recordCreated = RECORD.created

/** Writes down that something is gone, or was never made. */
export const recordRemoved = RECORD.removed

/** Writes down that what has this id, or this name, is gone. */
export async function recordGone(client: DatabricksClient, kind: ResourceKind, idOrName: string): Promise<void> {
  await RECORD.gone(client.server, kind, idOrName)
}

/**
 * Makes a thing with a line before and one after the call. Where the answer was lost it looks for the thing in place of
 * making a second one; where it cannot be found the line stays, so that `lowrank clean` looks again.
 */
export async function make<T>(client: DatabricksClient, making: Making<T>): Promise<T> {
  return await RECORD.make(client.server, making)
}
