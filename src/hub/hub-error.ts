/** @file What the Hub refuses and why, in words that say what to do. */

import { describeValue } from '../errors.js'
import { retryAfter } from '../http/patience.js'
import { withoutToken } from '../http/secret.js'
import { type ErrorDetails, LowrankError } from '../lowrank-error.js'
import type { HubSettings } from './settings.js'

/** A model, a data set or a file that the Hub, or another server, did not give. */
export class HubError extends LowrankError {
  /** Whether a model that the cache has may stand in, as where the Hub cannot be reached. */
  readonly cacheMayServe: boolean
  /** HTTP status of an answer to a push; undefined where none came, and where files are fetched. */
  readonly status: number | undefined
  /** What the Hub calls the reason, as 'RepoNotFound', where it says so. */
  readonly serverCode: string | undefined

  constructor(
    message: string,
    details: ErrorDetails & {
      readonly cacheMayServe?: boolean
      readonly status?: number
      readonly serverCode?: string | undefined
    } = {},
  ) {
    super('HUB', message, details)
    this.name = 'HubError'
    this.cacheMayServe = details.cacheMayServe ?? true
    this.status = details.status
    this.serverCode = details.serverCode
  }
}

/** What a request is about. */
export interface HubSubject {
  /** @default 'model' */
  readonly type?: 'model' | 'dataset'
  readonly id: string
  readonly revision: string
  /** Undefined: the model itself, or its list of files. */
  readonly file?: string
}

/** The error for an answer that is none of success. */
export function refusal(response: Response, subject: HubSubject, { endpoint, token }: HubSettings): HubError {
  const { id, revision, file } = subject
  const { status, headers } = response
  const code = headers.get('x-error-code')
  const said = withoutToken(headers.get('x-error-message') ?? '', token)
  const page = pageOf(endpoint, subject)
  const got = `HTTP ${status}${said ? `, ${describeValue(said)}` : ''}`
  const access = token
    ? `use a token that may read it (HF_TOKEN; this one is from ${token.source})`
    : 'set HF_TOKEN to an access token of your account'

  if (code === 'RevisionNotFound') {
    return new HubError(
      `[hub] expected a branch, tag or commit of "${id}" for revision, got ${describeValue(revision)}, which it does not ` +
        `have; ${page}/tree/main lists them`,
      { cacheMayServe: false },
    )
  }
  if (file !== undefined && (code === 'EntryNotFound' || (status === 404 && code === null))) {
    return new HubError(
      `[hub] expected ${file} in "${id}" at revision ${revision}, but ${endpoint} does not have it (${got}); try again, or ` +
        'another revision',
    )
  }
  if (code === 'GatedRepo') {
    return new HubError(`[hub] "${id}" is gated (HTTP ${status}): ask for access at ${page}, and ${access}`)
  }
  if (status === 401 && token && said.startsWith('Invalid credentials')) {
    return new HubError(
      `[hub] ${endpoint} does not accept the access token from ${token.source}; make another at ${endpoint}/settings/tokens ` +
        'and set HF_TOKEN to it',
    )
  }
  if (code === 'RepoNotFound' || status === 404 || status === 401) {
    return new HubError(
      `[hub] expected ${subject.type === 'dataset' ? 'a path, or a data set' : 'a directory, or a model'} that ${endpoint} shows, got "${id}" (${got}); check the spelling at ${page}; if it ` +
        `is private or gated, ${access}`,
    )
  }
  if (status === 403) return new HubError(`[hub] ${endpoint} refuses "${id}" (${got}); see ${page}, and ${access}`)
  if (status === 429) {
    const wait = retryAfter(headers)
    const when = wait === undefined ? 'later' : `in ${Math.ceil(wait / 1000)} s`
    const limit = token ? '' : '; with an access token (HF_TOKEN) the limit is higher'
    return new HubError(
      `[hub] ${endpoint} had too many requests (HTTP 429) for ${what(subject)}; try again ${when}${limit}`,
    )
  }
  if (status >= 500) return new HubError(`[hub] ${endpoint} failed at ${what(subject)} (${got}); try again later`)
  return new HubError(`[hub] expected ${what(subject)} from ${endpoint}, got ${got}`)
}

/** Where people see a repository. */
function pageOf(endpoint: string, { id, type }: HubSubject): string {
  return `${endpoint}/${type === 'dataset' ? 'datasets/' : ''}${id}`
}

/** `model.safetensors of "org/name"`, or the model alone. */
export function what({ id, file }: HubSubject): string {
  return file === undefined ? `"${id}"` : `${file} of "${id}"`
}
