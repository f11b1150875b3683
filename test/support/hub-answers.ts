/** @file What the two halves of the loopback Hub share: repositories, requests, and how they are answered. */

import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'

export interface FakeRepository {
  /** Content by path; what is large, or ends in .safetensors, is in LFS. */
  readonly files: Readonly<Record<string, string | Uint8Array>>
  /** Default 'main'. Any of them may be asked for, and the commit. */
  readonly revisions?: readonly string[]
  readonly commit?: string
  /** Metadata of the model card. */
  readonly cardData?: object
  /** Only tokens of this list may read files. */
  readonly gatedFor?: readonly string[]
}

export interface SeenRequest {
  readonly host: 'hub' | 'lfs'
  readonly method: string
  /** Path and query, decoded. */
  readonly path: string
  readonly range: string | undefined
  readonly authorization: string | undefined
}

export const LFS = /\.safetensors$|\.parquet$|\.bin$|\.gguf$|\.onnx$|\.h5$/

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Answers as the Hub does when it does not give something. */
export function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { 'x-error-code': code, 'x-error-message': message, 'content-type': 'application/json' })
  response.end(JSON.stringify({ error: message }))
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, value: unknown): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(value))
}
