/** @file The requests that the loopback workspace has seen, with every secret masked. */

import type { IncomingHttpHeaders } from 'node:http'
import { isObject } from '../values.js'
import type { Fault } from './faults.js'

/** A request that came, in the order of arrival. */
export interface RecordedRequest {
  readonly host: 'workspace' | 'storage'
  readonly method: string
  /** Path without query, as it was sent. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** By lower-case name; `authorization` says only of which kind it is: 'Bearer ***'. */
  readonly headers: Readonly<Record<string, string>>
  /** The JSON that was sent, or the fields of a form; undefined for other bodies. */
  json: unknown
  /** Bytes of the body, as `content-length` announced them; undefined for a body in chunks. */
  readonly contentLength: number | undefined
  /** Status of the answer; undefined where the connection was ended without one. */
  status: number | undefined
  readonly requestId: string
  /** Who asked, by `userName`; empty for nobody. */
  user: string
  /** The fault that it met, if any. */
  fault: Fault | undefined
}

const HIDDEN = '***'
const SECRET_HEADERS = /^(?:authorization|cookie|x-databricks-azure-sp-management-token|proxy-authorization|api-key)$/
const SECRET_FIELDS =
  /^(?:client_secret|subject_token|assertion|access_token|refresh_token|session_token|token|token_value|password|string_value|sig|x-(?:amz|goog)-(?:signature|credential|security-token))$/i

export function recordOf(
  host: RecordedRequest['host'],
  request: { readonly method?: string | undefined; readonly headers: IncomingHttpHeaders },
  address: URL,
  requestId: string,
): RecordedRequest {
  const length = request.headers['content-length']
  return {
    host,
    method: request.method ?? '',
    path: address.pathname,
    query: Object.fromEntries([...address.searchParams].map(([name, value]) => [name, maskedField(name, value)])),
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, maskedHeader(name, value)]),
    ),
    json: undefined,
    contentLength: length === undefined ? undefined : Number(length),
    status: undefined,
    requestId,
    user: '',
    fault: undefined,
  }
}

/** A parsed body whose secret fields are masked, at any depth. */
export function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      typeof field === 'string' ? maskedField(name, field) : masked(field),
    ]),
  )
}

function maskedField(name: string, value: string): string {
  return SECRET_FIELDS.test(name) ? HIDDEN : value
}

function maskedHeader(name: string, value: string | string[] | undefined): string {
  const text = String(value ?? '')
  if (!SECRET_HEADERS.test(name)) return text
  const [kind, ...rest] = text.split(' ')
  return rest.length > 0 ? `${kind} ${HIDDEN}` : HIDDEN
}
