/**
 * @file The workspace's own store of objects: files in a temporary folder, and a server beside the workspace that takes
 * and gives them at signed addresses which end. It refuses an `authorization` header, as the storage of clouds does.
 */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { FAULTS, type Fault } from './faults.js'
import { closeServer, listen } from './listen.js'
import type { ObjectStorage, PresignedAccess, StoredObject, UploadedPart } from './object-storage.js'
import { invalid, missing } from './route.js'

/** Bytes in a file of the folder. */
interface Piece {
  readonly file: string
  readonly size: number
  readonly etag: string
}

/** What lies under a key: the pieces that make it up, one after the other. */
interface Kept extends StoredObject {
  readonly pieces: readonly Piece[]
}

export interface LoopbackStorage extends ObjectStorage {
  readonly url: string
}

export interface LoopbackStorageSetup {
  readonly cloud: ObjectStorage['cloud']
  /** The time by the clock of the storage. */
  now(): number
  /** Sees each request first, and whether it answers it. */
  intercept(request: IncomingMessage, response: ServerResponse): Promise<boolean>
}

export async function startLoopbackStorage(setup: LoopbackStorageSetup): Promise<LoopbackStorage> {
  const { cloud } = setup
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-storage-'))
  const objects = new Map<string, Kept>()
  const uploads = new Map<string, { readonly key: string; readonly parts: Map<number, Piece> }>()
  const secret = randomBytes(32)
  const names = SIGNED_NAMES[cloud]
  let made = 0

  const write = async (body: AsyncIterable<Uint8Array>): Promise<Piece> => {
    const file = join(folder, String(++made))
    let size = 0
    try {
      await pipeline(
        body,
        async function* count(pieces: AsyncIterable<Uint8Array>) {
          for await (const piece of pieces) {
            size += piece.length
            yield piece
          }
        },
        createWriteStream(file),
      )
    } catch (error) {
      await rm(file, { force: true })
      throw error
    }
    return { file, size, etag: `"${randomBytes(16).toString('hex')}"` }
  }
  const drop = async (pieces: Iterable<Piece>): Promise<void> => {
    for (const { file } of pieces) await rm(file, { force: true })
  }
  const keep = async (key: string, pieces: readonly Piece[], etag: string): Promise<StoredObject> => {
    const before = objects.get(key)
    const size = pieces.reduce((sum, piece) => sum + piece.size, 0)
    const kept: Kept = { key, size, modified: setup.now(), etag, pieces }
    objects.set(key, kept)
    await drop(before?.pieces ?? [])
    return publicOf(kept)
  }
  const sign = (text: string): string => createHmac('sha256', secret).update(text).digest('hex')
  const textOf = ({ method, key, expires, part }: PresignedAccess): string =>
    JSON.stringify([method, key, expires, part?.uploadId, part?.number])

  const storage: LoopbackStorage = {
    cloud,
    url: '',
    put: async (key, body) => {
      const piece = await write(body)
      return keep(key, [piece], piece.etag)
    },
    get: (key, range) => {
      const kept = objects.get(key)
      if (kept === undefined) return Promise.reject(missing(`The object ${key} is not there.`, 'NOT_FOUND'))
      return Promise.resolve(
        Readable.from(piecesOf(kept, range?.start ?? 0, range?.end ?? kept.size), { objectMode: false }),
      )
    },
    stat: (key) => {
      const kept = objects.get(key)
      return Promise.resolve(kept && publicOf(kept))
    },
    delete: async (key) => {
      const kept = objects.get(key)
      objects.delete(key)
      await drop(kept?.pieces ?? [])
      return kept !== undefined
    },
    list: (prefix) => {
      const found = [...objects.values()].filter(({ key }) => key.startsWith(prefix)).map(publicOf)
      return Promise.resolve(found.sort((a, b) => (a.key < b.key ? -1 : 1)))
    },
    presign: (access) => {
      const address = new URL(`/${access.key.split('/').map(encodeURIComponent).join('/')}`, storage.url)
      if (access.part) {
        address.searchParams.set('uploadId', access.part.uploadId)
        address.searchParams.set('partNumber', String(access.part.number))
      }
      address.searchParams.set(names.expires, String(access.expires))
      address.searchParams.set(names.signature, sign(textOf(access)))
      // Azure's single PUT says what kind of blob it makes.
      const isBlob = cloud === 'Azure' && access.method === 'PUT' && access.part === undefined
      return { url: address.href, headers: isBlob ? [{ name: 'x-ms-blob-type', value: 'BlockBlob' }] : [] }
    },
    startUpload: (key) => {
      const id = randomBytes(12).toString('hex')
      uploads.set(id, { key, parts: new Map() })
      return Promise.resolve(id)
    },
    completeUpload: async (key, uploadId, parts) => {
      const upload = uploads.get(uploadId)
      if (upload?.key !== key) throw missing(`The object ${key} is not there.`, 'NOT_FOUND')
      const pieces = parts.map((part) => pieceOf(upload.parts, part, cloud))
      uploads.delete(uploadId)
      const used = new Set(pieces)
      await drop([...upload.parts.values()].filter((piece) => !used.has(piece)))
      return keep(key, pieces, `"${randomBytes(16).toString('hex')}-${parts.length}"`)
    },
    abortUpload: async (_key, uploadId) => {
      const upload = uploads.get(uploadId)
      uploads.delete(uploadId)
      await drop(upload?.parts.values() ?? [])
    },
    openParts: () => Promise.resolve([...uploads.values()].reduce((sum, { parts }) => sum + parts.size, 0)),
    close: async () => {
      await closeServer(server)
      await rm(folder, { recursive: true, force: true })
    },
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (await setup.intercept(request, response)) return
    const address = new URL(request.url ?? '/', storage.url)
    const key = address.pathname.slice(1).split('/').map(decodeURIComponent).join('/')
    const [uploadId, number] = [address.searchParams.get('uploadId'), address.searchParams.get('partNumber')]
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const access = {
      method: method as PresignedAccess['method'],
      key,
      expires: Number(address.searchParams.get(names.expires)),
      ...(uploadId !== null && { part: { uploadId, number: Number(number) } }),
    }
    if (request.headers.authorization !== undefined)
      return refuse(response, 400, 'InvalidArgument', 'Only one auth mechanism allowed')
    if (!isSame(sign(textOf(access)), address.searchParams.get(names.signature) ?? ''))
      return refuse(response, 403, 'SignatureDoesNotMatch', 'The request signature does not match.')
    if (access.expires <= setup.now()) return answerWith(response, FAULTS.expired(cloud))
    if (method === 'GET') return sendObject(request, response, key)
    if (cloud === 'Azure' && !access.part && request.headers['x-ms-blob-type'] === undefined)
      return refuse(response, 400, 'MissingRequiredHeader', 'An HTTP header that is mandatory was not specified.')
    if (request.headers['content-length'] === undefined)
      return refuse(response, 411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.')
    const upload = uploadId === null ? undefined : uploads.get(uploadId)
    if (uploadId !== null && upload === undefined)
      return refuse(response, 404, 'NoSuchUpload', 'The specified upload does not exist.')
    const piece = await write(request)
    if (upload === undefined || uploadId === null) await keep(key, [piece], piece.etag)
    else if (!uploads.has(uploadId)) {
      await drop([piece])
      return refuse(response, 404, 'NoSuchUpload', 'The specified upload does not exist.')
    } else {
      const before = upload.parts.get(Number(number))
      upload.parts.set(Number(number), piece)
      await drop(before === undefined ? [] : [before])
    }
    // Azure's Put Block has no ETag.
    response.writeHead(cloud === 'AWS' ? 200 : 201, cloud === 'Azure' && access.part ? {} : { etag: piece.etag }).end()
  }

  const sendObject = async (request: IncomingMessage, response: ServerResponse, key: string): Promise<void> => {
    const kept = objects.get(key)
    if (kept === undefined) return refuse(response, 404, 'NoSuchKey', 'The specified key does not exist.')
    const range = rangeOf(request.headers.range, kept.size)
    if (range === 'outside')
      return refuse(response, 416, 'InvalidRange', 'The requested range is not satisfiable', {
        'content-range': `bytes */${kept.size}`,
      })
    const { start, end } = range ?? { start: 0, end: kept.size }
    response.writeHead(range ? 206 : 200, {
      etag: kept.etag,
      'accept-ranges': 'bytes',
      'last-modified': new Date(kept.modified).toUTCString(),
      'content-length': end - start,
      'content-type': 'application/octet-stream',
      ...(range && { 'content-range': `bytes ${start}-${end - 1}/${kept.size}` }),
    })
    if (request.method === 'HEAD') response.end()
    else await pipeline(Readable.from(piecesOf(kept, start, end), { objectMode: false }), response).catch(() => {})
  }

  const server = createServer((request, response) => {
    // A body that was cut off leaves nobody to answer.
    answer(request, response).catch(() => response.destroy())
  })
  return Object.assign(storage, { url: await listen(server) })
}

/** How the clouds call the two things in a signed address. */
const SIGNED_NAMES = {
  AWS: { expires: 'X-Amz-Expires', signature: 'X-Amz-Signature' },
  Azure: { expires: 'se', signature: 'sig' },
  GCP: { expires: 'X-Goog-Expires', signature: 'X-Goog-Signature' },
} as const

/** First byte and the one behind the last of a `Range` header; undefined for none. */
export function rangeOf(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'outside' | undefined {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (from === undefined || (from === '' && to === '')) return undefined
  if (from === '') return size === 0 ? 'outside' : { start: Math.max(0, size - Number(to)), end: size }
  if (Number(from) >= size) return 'outside'
  return { start: Number(from), end: to ? Math.min(Number(to) + 1, size) : size }
}

async function* piecesOf({ pieces }: Kept, start: number, end: number): AsyncGenerator<Uint8Array> {
  let offset = 0
  for (const { file, size } of pieces) {
    const from = Math.max(start - offset, 0)
    const to = Math.min(end - offset, size)
    offset += size
    if (from < to) yield* createReadStream(file, { start: from, end: to - 1, highWaterMark: 256 * 1024 })
  }
}

function publicOf({ key, size, modified, etag }: Kept): StoredObject {
  return { key, size, modified, etag }
}

function pieceOf(parts: ReadonlyMap<number, Piece>, part: UploadedPart, cloud: ObjectStorage['cloud']): Piece {
  const piece = parts.get(part.part_number)
  const isNamed = cloud === 'Azure' || piece?.etag === part.etag
  if (piece === undefined || !isNamed)
    throw invalid(`Part ${part.part_number} was not uploaded, or not with this ETag.`)
  return piece
}

function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/xml', ...headers })
  response.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`)
}

function answerWith(response: ServerResponse, fault: Fault): void {
  if (typeof fault === 'object' && 'status' in fault)
    response.writeHead(fault.status, { ...fault.headers }).end(String(fault.body ?? ''))
}
