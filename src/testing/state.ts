/** @file What the loopback workspace remembers. Each list of routes keeps its own part, by a key of its own. */

import { randomBytes, randomUUID } from 'node:crypto'
import type { StatementExecutor } from './executor.js'
import type { ObjectStorage } from './object-storage.js'

/** Names one part of the state and makes it where it is asked for first. */
export interface StateKey<T> {
  readonly name: string
  make(): T
}

/** A person or service principal whom a token stands for. */
export interface TokenHolder {
  readonly user: string
  /** Milliseconds since 1970, by the clock of the workspace; undefined: never. */
  readonly expires: number | undefined
}

/** An OAuth client of the workspace. */
export interface OauthClient {
  readonly clientId: string
  readonly clientSecret: string
}

export interface WorkspaceState {
  /** Origin of the workspace, without a slash at the end. */
  readonly url: string
  readonly workspaceId: string
  readonly accountId: string
  readonly user: string
  readonly clients: readonly OauthClient[]
  /** Who may ask, by bearer token; routes add those that they issue. */
  readonly tokens: Map<string, TokenHolder>
  /** Bytes of all files: volumes, models, artifacts, by path. */
  readonly storage: ObjectStorage
  /** What statements are run by. */
  readonly executor: StatementExecutor
  /** Milliseconds by which the clocks of workspace and storage are ahead of this machine's; may be changed. */
  clockOffset: number
  /** The time by the clock of the workspace, in milliseconds since 1970. */
  now(): number
  /** The part of a key. */
  of<T>(key: StateKey<T>): T
  /** Makes a token and lets it in. @param seconds how long; Infinity is for ever */
  issueToken(user: string, seconds: number): string
}

export type StateSetup = Pick<
  WorkspaceState,
  'url' | 'workspaceId' | 'accountId' | 'user' | 'clients' | 'storage' | 'executor' | 'clockOffset'
>

export function createState(setup: StateSetup): WorkspaceState {
  const parts = new Map<StateKey<unknown>, unknown>()
  const state: WorkspaceState = {
    ...setup,
    tokens: new Map(),
    now: () => Date.now() + state.clockOffset,
    of<T>(key: StateKey<T>): T {
      if (!parts.has(key)) parts.set(key, key.make())
      return parts.get(key) as T
    },
    issueToken(user, seconds) {
      const token = `oauth-${randomBytes(24).toString('hex')}`
      state.tokens.set(token, { user, expires: Number.isFinite(seconds) ? state.now() + 1000 * seconds : undefined })
      return token
    },
  }
  return state
}

/** An id as the services make them. */
export function newId(): string {
  return randomUUID()
}
