/** @file What a route of the loopback workspace is: a method, a path, and what answers. Knows no service. */

import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { isObject } from '../values.js'
import type { WorkspaceState } from './state.js'

export type RouteMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** A request as a route sees it: authorization is checked, the path is matched. */
export interface RouteRequest {
  readonly method: RouteMethod
  /** Path without query, not decoded. */
  readonly path: string
  /** Values of the braces of the route's path, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** Who asks, by `userName`; empty for routes without authorization. */
  readonly user: string
  /** The parsed body of a route whose `body` is 'json': an object, empty where nothing was sent. */
  readonly json: Readonly<Record<string, unknown>>
  /** The body of a route whose `body` is 'form'. */
  readonly form: URLSearchParams
  /** The body of a route whose `body` is 'raw', as it arrives. */
  readonly body: Readable
}

/** What a route answers. Nothing else than `status` makes an empty answer. */
export interface RouteAnswer {
  /** @default 200 */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | number>>
  /** @default no JSON */
  readonly json?: unknown
  /** @default no body */
  readonly body?: Uint8Array | string | Readable
}

/**
 * One call of the workspace. In the path `{name}` is one segment and `{name*}` all that are left, slashes included:
 * '/api/2.0/fs/files/{path*}'. A segment may have more than its braces: '{name}:search'.
 */
export interface Route {
  readonly method: RouteMethod
  readonly path: string
  /** @default 'json', for GET, HEAD and DELETE 'none' */
  readonly body?: 'json' | 'form' | 'raw' | 'none'
  /**
   * Whether anyone may ask.
   * @default false: a bearer token of the workspace is asked for
   */
  readonly isOpen?: boolean
  handle(request: RouteRequest, state: WorkspaceState): RouteAnswer | Promise<RouteAnswer>
}

/** A request that the workspace refuses, thrown by routes: it becomes an answer in Databricks' form. */
export class RefusedRequest extends Error {
  readonly status: number
  readonly errorCode: string
  /** The body, where it has another form than that of most services. */
  readonly json: unknown

  constructor(status: number, errorCode: string, message: string, json?: unknown) {
    super(message)
    this.name = 'RefusedRequest'
    this.status = status
    this.errorCode = errorCode
    this.json = json
  }
}

/** 400 INVALID_PARAMETER_VALUE, what the services answer to a wrong field. */
export function invalid(message: string): RefusedRequest {
  return new RefusedRequest(400, 'INVALID_PARAMETER_VALUE', message)
}

/** 404 with the code of the service: RESOURCE_DOES_NOT_EXIST, NOT_FOUND, ... */
export function missing(message: string, errorCode = 'RESOURCE_DOES_NOT_EXIST'): RefusedRequest {
  return new RefusedRequest(404, errorCode, message)
}

/** Type of a field; with a question mark it may be absent. */
export type FieldKind = 'string' | 'number' | 'boolean' | 'object' | 'array' | 'any'
export type FieldKinds = Readonly<Record<string, FieldKind | `${FieldKind}?`>>

/**
 * Checks the fields of a JSON body: a missing one, one of another type and an unknown one are refused. Real services
 * pass over unknown fields; here a misspelled one has to be seen.
 * @throws RefusedRequest
 */
export function expectFields(json: Readonly<Record<string, unknown>>, kinds: FieldKinds, where = 'body'): void {
  for (const name of Object.keys(json))
    if (!Object.hasOwn(kinds, name)) throw invalid(`Unknown field '${name}' in ${where}.`)
  for (const [name, kind] of Object.entries(kinds)) {
    const value = json[name]
    if (value === undefined || value === null) {
      if (!kind.endsWith('?')) throw invalid(`Missing required field: ${name}`)
    } else if (!isOfKind(value, kind.replace('?', '') as FieldKind)) {
      throw invalid(
        `Could not parse request object: Expected '${kind.replace('?', '')}' for field '${name}' in ${where}.`,
      )
    }
  }
}

/** Checks the names of a query. @throws RefusedRequest */
export function expectQuery(
  query: URLSearchParams,
  required: readonly string[],
  optional: readonly string[] = [],
): void {
  for (const name of query.keys())
    if (!required.includes(name) && !optional.includes(name)) throw invalid(`Unknown query parameter '${name}'.`)
  for (const name of required) if (!query.has(name)) throw invalid(`Missing required query parameter: ${name}`)
}

/**
 * One page of a list, and the token of the next one.
 * @param size Items of a page, where the caller asks for none.
 */
export function pageOf<T>(
  items: readonly T[],
  query: URLSearchParams,
  size = 1000,
): { readonly items: readonly T[]; readonly next_page_token?: string } {
  const asked = Number(query.get('page_size') || query.get('max_results') || query.get('limit') || size)
  if (!Number.isInteger(asked) || asked < 0) throw invalid('page_size must be a whole number.')
  const token = query.get('page_token') || 'at-0'
  const start = Number(/^at-(\d+)$/.exec(token)?.[1] ?? Number.NaN)
  if (Number.isNaN(start)) throw invalid('Invalid page_token.')
  const end = start + Math.min(asked || size, size)
  return { items: items.slice(start, end), ...(end < items.length && { next_page_token: `at-${end}` }) }
}

function isOfKind(value: unknown, kind: FieldKind): boolean {
  if (kind === 'any') return true
  if (kind === 'array') return Array.isArray(value)
  if (kind === 'object') return isObject(value)
  // Protobuf's JSON takes 64-bit numbers as text.
  if (kind === 'number') return typeof value === 'number' || (typeof value === 'string' && /^-?\d+$/.test(value))
  return typeof value === kind
}
