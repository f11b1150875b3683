/** @file What storage behind presigned addresses says when it refuses, and what of such an address is secret. */

import { shorten } from '../errors.js'
import type { Secret } from './secret.js'
import { ServiceError } from './service-error.js'

/** Who holds a presigned address can read or write the file: all of its query is secret, and so are its headers. */
export function addressSecrets(url: string, headers: Readonly<Record<string, string>> = {}): Secret[] {
  const { search, searchParams } = new URL(url)
  const values = [url, search.slice(1), ...searchParams.values(), ...Object.values(headers)]
  return values.filter((value) => value.length >= 16).map((value) => ({ value }))
}

/**
 * The error for an answer of storage that is none of success. `errorCode` is the code of S3, Azure Blob Storage or
 * Google Cloud Storage, such as `AccessDenied` or `ExpiredToken`.
 */
export function storageError(
  where: string,
  storage: string,
  { status, headers, text }: { readonly status: number; readonly headers: Headers; readonly text: string },
  what: string,
): ServiceError {
  const errorCode = tag(text, 'Code') ?? headers.get('x-ms-error-code') ?? undefined
  const said = [tag(text, 'Message'), tag(text, 'AuthenticationErrorDetail')].filter((part) => part !== undefined)
  const requestId = tag(text, 'RequestId') ?? headers.get('x-amz-request-id') ?? headers.get('x-ms-request-id')
  const got = [`HTTP ${status}`, errorCode, said.length === 0 ? undefined : JSON.stringify(shorten(said.join(' ')))]
  return new ServiceError(
    `[${where}] expected the storage at ${storage} to serve ${what}, got ${got.filter(Boolean).join(', ')}; ${remedy(status)}`,
    { status, errorCode, requestId: requestId ?? undefined },
  )
}

function tag(text: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]?.trim()
}

function remedy(status: number): string {
  if (status === 403 || status === 400)
    return 'the address that was lent for it may have expired, or a firewall lets nobody in from here'
  return status >= 500 || status === 429 || status === 408 ? 'try again later' : 'check that the file is there'
}
